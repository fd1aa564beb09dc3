//! Answers end at their caps and say so; what is too large never gets into memory.

use ferrata::egress::sql::{StoppedBy, Value};
use ferrata::fault::FaultKind;

use crate::support::{self, Database, parsed, read, session, soon, value};

#[tokio::test]
async fn an_answer_says_whether_it_is_complete_and_why_not() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| (settings.max_rows, settings.pool_size) = (1_000, 1));
    let session = session(&upstream).await;
    for (available, asked, count, stopped_by) in [
        (0, 10, 0, None),
        (9, 10, 9, None),
        (10, 10, 10, None),
        (11, 10, 10, Some(StoppedBy::MaxRows)),
        (1_000, 1_000, 1_000, None),
        (1_001, 1_000, 1_000, Some(StoppedBy::MaxRows)),
        (1_001, 1_001, 1_000, Some(StoppedBy::RowCap)),
        (5_000_000, u32::MAX, 1_000, Some(StoppedBy::RowCap)),
        (1, 0, 0, Some(StoppedBy::MaxRows)),
    ] {
        let mut query = read("select n from generate_series(1, $1::int) n", &[Value::Integer(available)]);
        query.max_rows = asked;
        let rows = upstream.query(query, soon()).await.unwrap();
        assert_eq!((rows.row_count, rows.stopped_by), (count, stopped_by), "{available} {asked}");
        assert_eq!(rows.is_complete(), stopped_by.is_none());
        assert_eq!(parsed(&rows).as_array().unwrap().len(), count as usize);
    }
    assert_eq!(support::session(&upstream).await, session, "stopping at a cap costs no session");
}

#[tokio::test]
async fn the_byte_cap_stops_between_rows() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.max_bytes = 1_000);
    let mut query = read("select repeat('x', 90) from generate_series(1, 1000)", &[]);
    query.max_rows = 1_000;
    let rows = upstream.query(query, soon()).await.unwrap();
    // Ten rows of 94 bytes, nine commas, two brackets.
    assert_eq!((rows.row_count, rows.stopped_by), (10, Some(StoppedBy::ByteCap)));
    assert!(rows.rows.len() <= 1_000);
    assert_eq!(parsed(&rows)[9][0].as_str().unwrap().len(), 90);
}

#[tokio::test]
async fn a_first_row_over_the_cap_is_a_fault_and_not_an_empty_answer() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.max_bytes = 1_000);
    // Over the cap as JSON; far over what is let in at all; small on the wire and large as text.
    for (expression, bound) in [
        ("repeat('x', 2000)", "the 1000 bytes"),
        ("repeat('x', 200000000)", "than 69536 bytes"),
        ("array_fill(1e4000::numeric, array[100])", "the 1000 bytes"),
    ] {
        let fault = upstream.query(read(&format!("select {expression}"), &[]), soon()).await.unwrap_err();
        assert_eq!(
            (fault.kind, fault.code.as_deref()),
            (FaultKind::Rejected, Some("row_too_large")),
            "{fault:?}"
        );
        assert!(fault.message.contains(bound), "{fault:?}");
    }
    assert_eq!(value(&upstream, "select 1").await, 1);
}

#[tokio::test]
async fn wide_rows_are_not_drained_in_the_background() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.max_bytes = 100_000);
    let query = read("select repeat('x', 90000) from generate_series(1, 100000)", &[]);
    let rows = upstream.query(query, soon()).await.unwrap();
    assert_eq!((rows.row_count, rows.stopped_by), (1, Some(StoppedBy::ByteCap)));
    // Sixty-three more rows of the chunk would be five megabytes: the session was given up instead.
    database.await_sessions("true", 0).await;
    assert_eq!(value(&upstream, "select 1").await, 1);
}

#[tokio::test]
async fn statements_and_parameters_have_a_largest_size() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|_| {});
    let long = format!("select 1 -- {}", "x".repeat(300_000));
    let large = Value::Text("x".repeat(5_000_000));
    for query in [read(&long, &[]), read("select $1::text", &[large]), read("select '\0'", &[])] {
        assert_eq!(upstream.query(query, soon()).await.unwrap_err().kind, FaultKind::InvalidArguments);
    }
}
