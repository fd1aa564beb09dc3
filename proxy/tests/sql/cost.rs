//! A read that the planner finds too dear does not run.

use ferrata::egress::sql::{Query, Value};
use ferrata::fault::{FaultKind, Outcome};

use crate::support::{self, Database, read, session, soon};

const SCHEMA: &str = "
    create table orders (id int primary key, customer int, note text);
    insert into orders select n, n % 1000, 'order ' || n from generate_series(1, 100000) n;
    create function boom() returns int volatile language plpgsql as $$ begin raise exception 'it ran'; end $$;
    analyze orders;
";

#[tokio::test]
async fn a_dear_read_is_refused_with_its_reason() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| (settings.max_cost, settings.pool_size) = (Some(500.0), 1));
    let session = session(&upstream).await;
    let query = read("select boom(), * from orders where customer = $1", &[Value::Integer(7)]);
    let fault = upstream.query(query, soon()).await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Rejected, Outcome::NotSent));
    assert!(
        fault.message.contains("Seq Scan of \"orders\"") && fault.message.contains("LIMIT"),
        "{}",
        fault.message
    );
    let details = fault.details.clone().unwrap();
    assert!(details["estimated_cost"].as_f64().unwrap() > 500.0);
    assert_eq!(details["max_cost"], 500.0);
    assert_eq!(details["dearest"]["relation"], "orders");

    let rows = upstream
        .query(read("select * from orders where id = $1", &[Value::Integer(7)]), soon())
        .await
        .unwrap();
    assert_eq!(rows.row_count, 1);
    assert!(rows.estimated_cost.unwrap() < 500.0);
    let rows = upstream.query(read("select * from orders limit 5", &[]), soon()).await.unwrap();
    assert_eq!(rows.row_count, 5);
    assert_eq!(support::session(&upstream).await, session);
}

#[tokio::test]
async fn what_has_no_estimate_does_not_slip_through() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.max_cost = Some(500.0));
    for statement in ["explain analyze select count(*) from orders", "call nothing()", "analyze select 1"] {
        let fault = upstream.query(read(statement, &[]), soon()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArguments, "{statement}");
    }
    let rows = upstream.query(read("show server_version_num", &[]), soon()).await.unwrap();
    assert_eq!((rows.row_count, rows.estimated_cost), (1, None));
    let query: Query = read("select nothing from orders", &[]);
    let fault = upstream.query(query, soon()).await.unwrap_err();
    assert_eq!(
        (fault.code.as_deref(), &fault.details.clone().unwrap()["position"]),
        (Some("42703"), &8.into())
    );
}
