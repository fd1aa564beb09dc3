//! Sessions are shared by callers who must not notice each other.

use std::time::Duration;

use ferrata::egress::sql::Value;
use ferrata::fault::FaultKind;
use serde_json::json;

use crate::support::{self, Database, read, session, soon, value, write};

/// Leaves things behind that a rollback does not take away.
const SCHEMA: &str = "
    create table t (a int unique deferrable initially deferred);
    create sequence s;
    grant usage, update on sequence s to public;
    grant create, usage on schema public to public;
    create function hoard() returns int language plpgsql as $$
    begin
        perform set_config('work_mem', '77MB', false), nextval('s'), pg_advisory_lock(7);
        create temp table left_behind (a int);
        execute 'listen left_behind';
        return 1;
    end $$;
    create function prepares() returns int language plpgsql as $$
    begin execute 'prepare mine as select 42'; return 1; end $$;
";

#[tokio::test]
async fn what_a_write_leaves_is_gone_before_the_next_caller() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| (settings.pool_size, settings.read_only) = (1, false));
    let session = session(&upstream).await;
    upstream.query(write("select hoard()", &[]), soon()).await.unwrap();
    for (look, clean) in [
        ("select current_setting('work_mem')", json!("4MB")),
        ("select count(*) from pg_class where relname = 'left_behind'", json!(0)),
        ("select count(*) from pg_locks where locktype = 'advisory'", json!(0)),
        ("select count(*) from pg_listening_channels()", json!(0)),
    ] {
        assert_eq!(value(&upstream, look).await, clean, "{look}");
    }
    let fault = upstream.query(read("select currval('s')", &[]), soon()).await.unwrap_err();
    assert_eq!(fault.code.as_deref(), Some("55000"), "{fault:?}");
    assert_eq!(support::session(&upstream).await, session, "the session was cleaned, not replaced");
}

#[tokio::test]
async fn a_session_with_prepared_statements_of_a_caller_is_given_up() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.pool_size = 1);
    let first = session(&upstream).await;
    upstream.query(read("select prepares()", &[]), soon()).await.unwrap();
    assert_ne!(session(&upstream).await, first);
    assert_eq!(value(&upstream, "select count(*) from pg_prepared_statements where from_sql").await, 0);
}

#[tokio::test]
async fn the_drivers_own_knowledge_of_types_survives_the_reset() {
    let Some(database) =
        Database::new("create type mood as enum ('sad'); create type pair as (a mood, b mood[])")
    else {
        return;
    };
    let upstream = database.upstream(|settings| settings.pool_size = 1);
    let first = session(&upstream).await;
    for _ in 0..3 {
        assert_eq!(value(&upstream, "select 'sad'::mood").await, "sad");
        assert_eq!(
            value(&upstream, "select row('sad', array['sad'])::pair").await,
            json!({"a": "sad", "b": ["sad"]})
        );
    }
    assert_eq!(session(&upstream).await, first);
}

#[tokio::test]
async fn a_failed_statement_leaves_a_usable_session() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| (settings.pool_size, settings.read_only) = (1, false));
    let first = session(&upstream).await;
    for (query, kind) in [
        (read("select 1/0", &[]), FaultKind::InvalidArguments),
        (read("selec 1", &[]), FaultKind::InvalidArguments),
        (read("select * from nowhere", &[]), FaultKind::InvalidArguments),
        (read("select 1/(n - 900) from generate_series(1, 1000) n", &[]), FaultKind::InvalidArguments),
        (write("insert into t values (1), (1)", &[]), FaultKind::Conflict),
        (write("insert into t values ($1)", &[Value::Text("x".into())]), FaultKind::InvalidArguments),
    ] {
        let query = ferrata::egress::sql::Query { max_rows: 1_000, ..query };
        let statement = query.statement.clone();
        assert_eq!(upstream.query(query, soon()).await.unwrap_err().kind, kind, "{statement}");
    }
    assert_eq!(session(&upstream).await, first);
}

#[tokio::test]
async fn a_full_pool_refuses_within_its_wait() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| {
        (settings.pool_size, settings.pool_wait) = (1, Duration::from_millis(20));
    });
    let busy = upstream.query(read("select pg_sleep(60)", &[]), soon());
    let refused = async {
        database.await_sessions("wait_event = 'PgSleep'", 1).await;
        upstream.query(read("select 1", &[]), soon()).await.unwrap_err()
    };
    let fault = tokio::select! {
        _ = busy => panic!("it slept for a minute"),
        fault = refused => fault,
    };
    assert_eq!(fault.kind, FaultKind::Overloaded);
    assert!(fault.message.contains("all 1 sessions are busy"), "{fault:?}");
}

#[tokio::test]
async fn many_callers_share_few_sessions() {
    let Some(database) = Database::new("") else { return };
    let upstream =
        database.upstream(|settings| (settings.pool_size, settings.pool_wait) = (3, Duration::from_secs(20)));
    let calls = (0..60).map(|n| upstream.query(read("select $1::int", &[Value::Integer(n)]), soon()));
    let answers = futures_util::future::join_all(calls).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().rows, format!("[[{n}]]"));
    }
    assert!(database.sessions("true") <= 3);
}
