//! Writes are committed when everything went well, and only then.

use ferrata::egress::sql::{StoppedBy, Value};
use ferrata::fault::{FaultKind, Outcome};

use crate::support::{Database, parsed, read, soon, write};

const SCHEMA: &str = "
    create table t (a int primary key, b int unique deferrable initially deferred, check (a < 1000));
    insert into t values (1, 1);
";

#[tokio::test]
async fn a_write_says_how_many_rows_it_changed_or_returns_them() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.read_only = false);
    let query = write("insert into t select n, n from generate_series($1::int, 30) n", &[Value::Integer(2)]);
    let rows = upstream.query(query, soon()).await.unwrap();
    assert_eq!((rows.affected, rows.row_count, rows.rows.as_str()), (Some(29), 0, "[]"));

    let mut query = write("update t set b = b + 100 returning a", &[]);
    query.max_rows = 5;
    let rows = upstream.query(query, soon()).await.unwrap();
    assert_eq!((rows.affected, rows.row_count, rows.stopped_by), (None, 5, Some(StoppedBy::MaxRows)));
    assert_eq!(parsed(&rows).as_array().unwrap().len(), 5);
    assert_eq!(database.execute("select count(*) from t where b > 100"), "30");
}

#[tokio::test]
async fn a_failure_undoes_everything_even_at_the_commit() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.read_only = false);
    for (statement, kind, code) in [
        ("insert into t values (2, 2), (1, 3)", FaultKind::Conflict, "23505"),
        ("insert into t values (2, 1)", FaultKind::Conflict, "23505"),
        ("insert into t values (2, 2), (1000, 3)", FaultKind::Rejected, "23514"),
        ("insert into t values (2, 2), (null, 3)", FaultKind::InvalidArguments, "23502"),
        ("insert into t values (2, 2) returning a / 0", FaultKind::InvalidArguments, "22012"),
        ("create table u (a int)", FaultKind::PermissionDenied, "42501"),
    ] {
        let fault = upstream.query(write(statement, &[]), soon()).await.unwrap_err();
        assert_eq!((fault.kind, fault.code.as_deref()), (kind, Some(code)), "{statement}: {fault:?}");
        assert_eq!(fault.outcome, Outcome::Rejected);
    }
    assert_eq!(database.execute("select count(*) from t"), "1");
}

#[tokio::test]
async fn an_answer_that_cannot_be_given_undoes_the_write() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| (settings.read_only, settings.max_bytes) = (false, 1_000));
    for statement in [
        "insert into t values (2, 2) returning repeat('x', 5000)",
        // The second row is let in and does not fit; what is left of the chunk is more than is read to keep a session.
        "insert into t select n, n from generate_series(2, 60) n returning repeat('x', case a when 2 then 9 else 60000 end)",
        "insert into t values (2, 2) returning point(1, 2)",
    ] {
        assert!(upstream.query(write(statement, &[]), soon()).await.is_err(), "{statement}");
        assert_eq!(database.execute("select count(*) from t"), "1", "{statement}");
    }
}

#[tokio::test]
async fn a_read_only_upstream_sends_no_write() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    let fault = upstream.query(write("delete from t", &[]), soon()).await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::PermissionDenied, Outcome::NotSent));
    let fault = upstream.query(read("delete from t returning a", &[]), soon()).await.unwrap_err();
    assert_eq!((fault.kind, fault.code.as_deref()), (FaultKind::PermissionDenied, Some("25006")));
    assert_eq!(database.execute("select count(*) from t"), "1");
}
