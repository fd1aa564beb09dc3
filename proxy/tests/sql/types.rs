//! Every type goes in as a parameter and comes out as JSON.

use ferrata::egress::sql::Value;
use ferrata::fault::FaultKind;
use serde_json::{Value as Json, json};

use crate::support::{Database, parsed, read, select, soon, value};

const SCHEMA: &str = "
    create type mood as enum ('sad', 'happy');
    create domain percent as numeric check (value between 0 and 100);
    create type address as (street text, moods mood[], share percent);
    create type span as range (subtype = float8);
";

#[tokio::test]
async fn values_of_every_type_are_written_as_json() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    let cases: Vec<(&str, Json)> = vec![
        ("null::int", json!(null)),
        ("true", json!(true)),
        ("7::int2", json!(7)),
        ("-7::int4", json!(-7)),
        ("9007199254740992::int8", json!(9_007_199_254_740_992_i64)),
        ("9007199254740993::int8", json!("9007199254740993")),
        ("1.5::float4", json!(1.5)),
        ("0.1::float8", json!(0.1)),
        ("'NaN'::float8", json!("NaN")),
        ("'-Infinity'::float4", json!("-Infinity")),
        ("19.99::numeric(10,2)", json!(19.99)),
        ("-0.00001234::numeric", json!(-0.00001234)),
        ("123456789012345678.9::numeric", json!("123456789012345678.9")),
        ("'infinity'::numeric", json!("Infinity")),
        ("'é\"\\\n'::text", json!("é\"\\\n")),
        ("'ab'::char(4)", json!("ab  ")),
        ("'x'::\"char\"", json!("x")),
        ("'n'::name", json!("n")),
        ("'{\"a\": [1, 2.50]}'::json", json!({"a": [1, 2.5]})),
        ("'{\"a\": null}'::jsonb", json!({"a": null})),
        ("'\\x00ff10'::bytea", json!("AP8Q")),
        ("'2026-02-03 04:05:06.789+02'::timestamptz", json!("2026-02-03T02:05:06.789Z")),
        ("'2026-02-03 04:05:06'::timestamp", json!("2026-02-03T04:05:06")),
        ("'infinity'::timestamptz", json!("infinity")),
        ("'-infinity'::date", json!("-infinity")),
        ("'2026-02-03'::date", json!("2026-02-03")),
        ("'04:05:06.5'::time", json!("04:05:06.5")),
        ("'04:05:06+05:30'::timetz", json!("04:05:06+05:30")),
        ("'1 year 2 mons 3 days 04:05:06.7'::interval", json!("P1Y2M3DT4H5M6.7S")),
        ("'-1 day -00:00:01'::interval", json!("P-1DT-1S")),
        ("'0'::interval", json!("PT0S")),
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("'10.1.2.3'::inet", json!("10.1.2.3")),
        ("'10.1.2.3/24'::inet", json!("10.1.2.3/24")),
        ("'10.1.2.0/24'::cidr", json!("10.1.2.0/24")),
        ("'::1/128'::cidr", json!("::1/128")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("B'10100000011'", json!("10100000011")),
        ("'16/B374D848'::pg_lsn", json!("16/B374D848")),
        ("'(4,5)'::tid", json!("(4,5)")),
        ("'$.a'::jsonpath", json!("$.\"a\"")),
        ("'happy'::mood", json!("happy")),
        ("12.5::percent", json!(12.5)),
        ("array[1,null,3]", json!([1, null, 3])),
        ("array[[1,2],[3,4]]", json!([[1, 2], [3, 4]])),
        ("'{}'::text[]", json!([])),
        ("array['a,b','\"']", json!(["a,b", "\""])),
        ("array['sad','happy']::mood[]", json!(["sad", "happy"])),
        ("array[now() - now()]", json!(["PT0S"])),
        ("row(1,'a',null)", json!([1, "a", null])),
        (
            "row('Main', array['sad']::mood[], 5)::address",
            json!({"street": "Main", "moods": ["sad"], "share": 5}),
        ),
        ("'[1,10)'::int4range", json!({"lower": 1, "upper": 10, "bounds": "[)"})),
        ("'(,2026-01-01]'::tsrange", json!({"lower": null, "upper": "2026-01-01T00:00:00", "bounds": "(]"})),
        ("'empty'::int8range", json!({"empty": true})),
        ("'[0.5,1.5]'::span", json!({"lower": 0.5, "upper": 1.5, "bounds": "[]"})),
        (
            "'{[1,2),[5,6)}'::int4multirange",
            json!([{"lower": 1, "upper": 2, "bounds": "[)"}, {"lower": 5, "upper": 6, "bounds": "[)"}]),
        ),
        ("pg_sleep(0)", json!(null)),
    ];
    for (expression, expected) in cases {
        assert_eq!(value(&upstream, &format!("select {expression}")).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn parameters_take_the_type_that_the_server_infers() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    let text = |text: &str| Value::Text(text.into());
    let json_text = |text: &str| Value::Json(text.into());
    let cases: Vec<(&str, Value, Json)> = vec![
        ("bool", Value::Boolean(true), json!(true)),
        ("int8", Value::Integer(i64::MIN), json!("-9223372036854775808")),
        ("int4", Value::Float(3.0), json!(3)),
        ("float8", Value::Float(0.1), json!(0.1)),
        ("float8", Value::Float(f64::INFINITY), json!("Infinity")),
        ("numeric", text("123456789012345678901234567890.5"), json!("123456789012345678901234567890.5")),
        ("text", text("it's; \"fine\" \\ $1 -- "), json!("it's; \"fine\" \\ $1 -- ")),
        ("text", Value::Null, json!(null)),
        ("date", text("2026-02-03"), json!("2026-02-03")),
        ("timestamptz", text("2026-02-03T04:05:06"), json!("2026-02-03T04:05:06Z")),
        ("uuid", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("bytea", Value::Bytes(vec![0, 255, 16]), json!("AP8Q")),
        ("jsonb", json_text("{\"a\": [1]}"), json!({"a": [1]})),
        ("int8[]", json_text("[1, null, 9007199254740993]"), json!([1, null, "9007199254740993"])),
        ("text[]", json_text(r#"["a,b}", "\"\\", "NULL", null]"#), json!(["a,b}", "\"\\", "NULL", null])),
        ("int4[]", json_text("[[1,2],[3,4]]"), json!([[1, 2], [3, 4]])),
        ("jsonb[]", json_text(r#"[{"a":1},[2]]"#), json!([{"a": 1}, [2]])),
        ("mood", text("happy"), json!("happy")),
        ("mood[]", json_text(r#"["sad"]"#), json!(["sad"])),
        ("percent", Value::Integer(50), json!(50)),
    ];
    for (ty, parameter, expected) in cases {
        let query = read(&format!("select $1::{ty}"), std::slice::from_ref(&parameter));
        let rows = upstream.query(query, soon()).await.unwrap_or_else(|fault| panic!("{ty}: {fault:?}"));
        assert_eq!(parsed(&rows)[0][0], expected, "{ty} {parameter:?}");
    }
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_named() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    for (ty, parameter) in [
        ("date", Value::Text("yesterday-ish".into())),
        ("int4", Value::Text("seven".into())),
        ("int4", Value::Float(1.5)),
        ("int2", Value::Integer(40_000)),
        ("mood", Value::Text("angry".into())),
        ("int4", Value::Bytes(vec![1])),
        ("text[]", Value::Json("{}".into())),
        ("jsonb", Value::Json("{".into())),
        ("uuid", Value::Boolean(true)),
    ] {
        let query = read(&format!("select $1::int, $2::{ty}"), &[Value::Integer(1), parameter.clone()]);
        let fault = upstream.query(query, soon()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArguments, "{fault:?}");
        assert_eq!(fault.path.as_deref(), Some("/parameters/1"), "{parameter:?} {fault:?}");
        assert!(fault.message.contains("$2"), "{fault:?}");
    }
    let fault = upstream.query(read("select $1::int, $2::int", &[Value::Null]), soon()).await.unwrap_err();
    assert!(fault.message.contains("2 parameters, and 1 were given"), "{fault:?}");
}

#[tokio::test]
async fn columns_have_names_and_types() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    let query =
        read("select 1 as a, 'x'::text as \"B c\", now() as t, array[1::int8] as l, 'sad'::mood as m", &[]);
    let rows = upstream.query(query, soon()).await.unwrap();
    let columns: Vec<_> = rows.columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(
        columns,
        [("a", "int4"), ("B c", "text"), ("t", "timestamptz"), ("l", "int8[]"), ("m", "mood")]
    );
    assert!(rows.is_complete());
    assert_eq!((rows.row_count, rows.affected), (1, None));
}

#[tokio::test]
async fn a_type_that_has_no_json_is_refused_before_it_runs() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|_| {});
    for expression in ["'a b'::tsvector", "'pg_class'::regclass", "point(1,2)", "array[point(1,2)]"] {
        let fault =
            select(&upstream, &format!("select 1 as fine, {expression} as odd, 1/0")).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArguments);
        assert!(fault.message.contains("\"odd\"") && fault.message.contains("cast it to text"), "{fault:?}");
        assert!(value(&upstream, &format!("select ({expression})::text")).await.is_string());
    }
}
