//! The tools against scripted answers. That the catalog's statements fit a real PostgreSQL is shown end to end.

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Harness, sql};

use crate::connector;

#[test]
fn a_query_returns_its_rows_and_says_that_they_are_all() {
    let mut db = Harness::new(connector());
    db.expect(
        sql("query")
            .containing("SELECT id, total FROM orders WHERE customer = $1")
            .parameters(&[json!(7)])
            .max_rows(100)
            .rows(
                &[("id", "int8"), ("total", "numeric")],
                json!([[1, "12.50"], ["9007199254740993", "0.10"]]),
            ),
    );
    let call = json!({ "sql": "SELECT id, total FROM orders WHERE customer = $1", "params": [7] });
    let expected = json!({
        "columns": [{ "name": "id", "type": "int8" }, { "name": "total", "type": "numeric" }],
        "rows": [[1, "12.50"], ["9007199254740993", "0.10"]],
        "row_count": 2,
        "complete": true,
    });
    assert_eq!(db.call("query", call).unwrap(), expected);
}

#[test]
fn a_capped_query_says_why_and_how_to_go_on() {
    let mut db = Harness::new(connector());
    db.expect(sql("query").max_rows(2).rows(&[("id", "int4")], json!([[1], [2]])).stopped_by("max_rows"));
    let result = db.call("query", json!({ "sql": "SELECT id FROM orders", "limit": 2 })).unwrap();
    assert_eq!((&result["complete"], &result["stopped_by"]), (&json!(false), &json!("max_rows")));
    assert!(result["how_to_go_on"].as_str().unwrap().contains("WHERE"));
}

#[test]
fn no_rows_are_an_empty_answer_and_not_a_failure() {
    let mut db = Harness::new(connector());
    db.expect(sql("query").rows(&[("id", "int4")], json!([])));
    let result = db.call("query", json!({ "sql": "SELECT id FROM orders WHERE false" })).unwrap();
    assert_eq!((&result["rows"], &result["complete"]), (&json!([]), &json!(true)));
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let mut db = Harness::new(connector());
    let columns = [("id", "int4"), ("id", "int4"), ("id_2", "text"), ("id", "int4")];
    db.expect(sql("query").rows(&columns, json!([[1, 2, "x", 3]])));
    let result = db.call("query", json!({ "sql": "SELECT a.id, b.id, id_2, c.id FROM a, b, c" })).unwrap();
    let names: Vec<&str> =
        result["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["id", "id_3", "id_2", "id_4"]);
}

#[test]
fn what_the_host_refuses_is_passed_on_unchanged() {
    let mut db = Harness::new(connector());
    for kind in [FaultKind::Rejected, FaultKind::DeadlineExceeded, FaultKind::Unavailable] {
        db.expect(sql("query").fault(kind));
        let fault = db.call("query", json!({ "sql": "SELECT * FROM events" })).unwrap_err();
        assert_eq!((fault.kind(), fault.is_the_hosts()), (kind, true));
    }
}

#[test]
fn arguments_out_of_bounds_reach_no_database() {
    let mut db = Harness::new(connector());
    for wrong in
        [json!({}), json!({ "sql": "SELECT 1", "limit": 0 }), json!({ "sql": "SELECT 1", "parameters": [] })]
    {
        assert_eq!(db.call("query", wrong).unwrap_err().kind(), FaultKind::InvalidArguments);
    }
}

#[test]
fn a_plan_is_summed_up() {
    let scan = |table: &str| json!({ "Node Type": "Seq Scan", "Relation Name": table });
    let join = json!({ "Node Type": "Hash Join", "Total Cost": 912.5, "Plan Rows": 300, "Plans": [
        scan("orders"),
        { "Node Type": "Hash", "Plans": [scan("customers")] },
    ]});
    let mut db = Harness::new(connector());
    db.expect(sql("explain").plan(json!([{ "Plan": join }])));
    let result =
        db.call("explain", json!({ "sql": "SELECT * FROM orders JOIN customers USING (id)" })).unwrap();
    assert_eq!((&result["total_cost"], &result["estimated_rows"]), (&json!(912.5), &json!(300.0)));
    assert_eq!(result["full_scans"], json!(["orders", "customers"]));
    assert_eq!(result["plan"], join);
}

#[test]
fn a_plan_of_another_shape_is_drift() {
    let mut db = Harness::new(connector());
    db.expect(sql("explain").plan(json!([{ "Plan": { "Total Cost": 1.0 } }])));
    let fault = db.call("explain", json!({ "sql": "SELECT 1" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::SchemaMismatch, Some("/0/Plan/Plan Rows")));
}

#[test]
fn schemas_are_listed_and_the_list_goes_on_after_the_last_name() {
    let columns = [("name", "name"), ("comment", "text"), ("tables", "int4"), ("views", "int4")];
    let mut db = Harness::new(connector());
    let list = sql("catalog").containing("FROM pg_namespace").parameters(&[Value::Null]).max_rows(1);
    db.expect(list.rows(&columns, json!([["billing", "Invoices", 4, 0]])).stopped_by("max_rows"));
    let page = db.call("list_schemas", json!({ "limit": 1 })).unwrap();
    assert_eq!(
        page["items"][0],
        json!({ "name": "billing", "comment": "Invoices", "tables": 4, "views": 0 })
    );
    assert_eq!((&page["complete"], &page["next"]), (&json!(false), &json!("billing")));

    let list = sql("catalog").parameters(&[json!("billing")]);
    db.expect(list.rows(&columns, json!([["public", null, 1, 2]])));
    let page = db.call("list_schemas", json!({ "limit": 1, "cursor": "billing" })).unwrap();
    assert_eq!((&page["complete"], page.get("next")), (&json!(true), None));
}

const OBJECT: [(&str, &str); 5] = [
    ("name", "text"),
    ("kind", "text"),
    ("comment", "text"),
    ("estimated_rows", "int8"),
    ("readable", "bool"),
];

#[test]
fn an_empty_schema_is_not_an_unknown_one() {
    let mut db = Harness::new(connector());
    db.expect(sql("catalog").rows(&OBJECT, json!([[null, null, null, null, null]])));
    let page = db.call("list_objects", json!({ "schema": "empty" })).unwrap();
    assert_eq!(page, json!({ "items": [], "complete": true }));

    db.expect(sql("catalog").rows(&OBJECT, json!([])));
    let fault = db.call("list_objects", json!({ "schema": "nowhere" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::NotFound, Some("/schema")));
}

#[test]
fn objects_can_be_narrowed_to_a_kind() {
    let mut db = Harness::new(connector());
    let list = sql("catalog").parameters(&[json!("shop"), json!("materialized_view"), Value::Null]);
    db.expect(list.rows(&OBJECT, json!([["daily_sales", "materialized_view", null, 365, true]])));
    let page = db.call("list_objects", json!({ "schema": "shop", "kind": "materialized_view" })).unwrap();
    assert_eq!(page["items"][0]["name"], "daily_sales");
}

#[test]
fn a_table_is_described() {
    let columns =
        ["kind", "comment", "estimated_rows", "readable", "row_security"].map(|name| (name, "text"));
    let lists = ["columns", "constraints", "referenced_by", "indexes"].map(|name| (name, "json"));
    let column = json!({ "name": "state", "type": "shop.state", "nullable": false, "default": null, "generated": false,
        "comment": null, "values": ["open", "paid"] });
    let row = json!(["table", null, 120, true, false, [column], ["PRIMARY KEY (id)"], null, null]);
    let mut db = Harness::new(connector());
    let statement = sql("catalog").containing("pg_attribute").parameters(&[json!("shop"), json!("orders")]);
    db.expect(statement.rows(&[columns.as_slice(), &lists].concat(), json!([row])));
    let table = db.call("describe_table", json!({ "schema": "shop", "table": "orders" })).unwrap();
    assert_eq!(table["columns"][0]["values"], json!(["open", "paid"]));
    assert_eq!((&table["constraints"][0], &table["indexes"]), (&json!("PRIMARY KEY (id)"), &json!([])));
}

#[test]
fn an_unknown_table_is_not_found_and_others_are_suggested() {
    let mut db = Harness::new(connector());
    db.expect(sql("catalog").containing("pg_attribute"));
    db.expect(
        sql("catalog")
            .containing("format('%I.%I'")
            .max_rows(5)
            .rows(&[("format", "text")], json!([["shop.orders"]])),
    );
    let fault = db.call("describe_table", json!({ "schema": "shop", "table": "order" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::NotFound, Some("/table")));
    assert!(fault.message().ends_with("Of a similar name: shop.orders."));
}
