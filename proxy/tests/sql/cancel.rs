//! What nobody waits for does not go on.

use std::time::Duration;

use ferrata::call::Deadline;
use ferrata::fault::{FaultKind, Outcome};

use crate::support::{self, Database, read, session, soon, value, write};

const SLEEPING: &str = "wait_event = 'PgSleep'";

#[tokio::test]
async fn a_dropped_query_is_cancelled_on_the_server() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.statement_timeout = Duration::from_secs(600));
    let query = upstream.query(read("select pg_sleep(600)", &[]), Deadline::after(Duration::from_secs(600)));
    tokio::select! {
        _ = query => panic!("it slept for ten minutes"),
        () = database.await_sessions(SLEEPING, 1) => {}
    }
    database.await_sessions("true", 0).await;
    assert_eq!(value(&upstream, "select 1").await, 1);
}

#[tokio::test]
async fn many_dropped_queries_leave_nothing() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.pool_size = 4);
    for _ in 0..3 {
        let queries = (0..4).map(|_| upstream.query(read("select pg_sleep(600)", &[]), soon()));
        tokio::select! {
            _ = futures_util::future::join_all(queries) => panic!("they slept for ten minutes"),
            () = database.await_sessions(SLEEPING, 4) => {}
        }
    }
    database.await_sessions("true", 0).await;
    assert!(format!("{upstream:?}").contains("open: 0"), "{upstream:?}");
}

#[tokio::test]
async fn the_statement_timeout_is_the_servers() {
    let Some(database) = Database::new("create table t (a int)") else { return };
    let upstream = database.upstream(|settings| {
        (settings.statement_timeout, settings.read_only) = (Duration::from_millis(200), false);
        settings.pool_size = 1;
    });
    let session = session(&upstream).await;
    let fault = upstream.query(read("select pg_sleep(600)", &[]), soon()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.code.as_deref()),
        (FaultKind::DeadlineExceeded, Some("57014")),
        "{fault:?}"
    );
    let statement = "insert into t select 1 from pg_sleep(600)";
    let fault = upstream.query(write(statement, &[]), soon()).await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::DeadlineExceeded, Outcome::Rejected));
    assert_eq!(
        support::session(&upstream).await,
        session,
        "a timeout that the server reports costs no session"
    );
}

#[tokio::test]
async fn a_deadline_is_the_servers_timeout_too() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|_| {});
    value(&upstream, "select 1").await;
    let query = read("select pg_sleep(600)", &[]);
    let fault = upstream.query(query, Deadline::after(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded);
    database.await_sessions(SLEEPING, 0).await;
    let fault = upstream.query(read("select 1", &[]), Deadline::after(Duration::ZERO)).await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::DeadlineExceeded, Outcome::NotSent));
}

#[tokio::test]
async fn a_lock_is_not_waited_for_longer_than_allowed() {
    let Some(database) = Database::new("create table t (a int); insert into t values (1)") else { return };
    let upstream = database.upstream(|settings| {
        (settings.lock_timeout, settings.read_only) = (Duration::from_millis(50), false);
    });
    let holding = upstream
        .query(write("with l as (update t set a = 2 returning a) select pg_sleep(600) from l", &[]), soon());
    let refused = async {
        database.await_sessions(SLEEPING, 1).await;
        upstream.query(write("update t set a = 3", &[]), soon()).await.unwrap_err()
    };
    let fault = tokio::select! {
        _ = holding => panic!("it slept for ten minutes"),
        fault = refused => fault,
    };
    assert_eq!((fault.kind, fault.code.as_deref()), (FaultKind::Unavailable, Some("55P03")), "{fault:?}");
}
