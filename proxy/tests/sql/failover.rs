//! Servers die, move and change roles; the next call works without a restart.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferrata::call::Deadline;
use ferrata::egress::sql::{Resolver, SqlUpstream};
use ferrata::fault::{FaultKind, Outcome};
use ferrata_test_postgres::{HOST, Options, Server, server_or_skip};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{own_settings, read, select, session, soon, value, write};

fn upstream_of(server: &Server, read_only: bool) -> SqlUpstream {
    let mut settings = own_settings(server);
    settings.read_only = read_only;
    SqlUpstream::new("shop", settings).unwrap()
}

#[tokio::test]
async fn a_restarted_server_is_found_again_at_once() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    let upstream = upstream_of(&server, true);
    // Several idle sessions, all of which die.
    futures_util::future::join_all((0..4).map(|_| value(&upstream, "select 1"))).await;
    server.restart().unwrap();
    assert_eq!(value(&upstream, "select 1").await, 1);
    server.crash().unwrap();
    let fault = select(&upstream, "select 1").await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Unavailable, Outcome::NotSent), "{fault:?}");
    server.restart().unwrap();
    assert_eq!(value(&upstream, "select 1").await, 1);
}

#[tokio::test]
async fn a_server_that_dies_under_a_statement_is_unavailable() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    server.execute("create table t (a int)").unwrap();
    let upstream = upstream_of(&server, false);
    let sleeping = async {
        let statement = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        while server.execute(statement).unwrap().trim() != "2" {
            tokio::task::yield_now().await;
        }
        server.crash().unwrap();
    };
    let (read, written, ()) = futures_util::join!(
        upstream.query(read("select pg_sleep(600)", &[]), soon()),
        upstream.query(write("insert into t select 1 from pg_sleep(600)", &[]), soon()),
        sleeping
    );
    let (read, written) = (read.unwrap_err(), written.unwrap_err());
    assert_eq!(read.kind, FaultKind::Unavailable, "{read:?}");
    assert_eq!((written.kind, written.outcome), (FaultKind::Unavailable, Outcome::Rejected), "{written:?}");
    server.restart().unwrap();
    assert_eq!(value(&upstream, "select count(*) from t").await, 0);
}

#[tokio::test]
async fn a_lost_commit_is_an_unknown_outcome() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    // The commit waits for a standby that does not exist.
    server.execute("create table t (a int); alter system set synchronous_standby_names = 'nobody'; select pg_reload_conf()").unwrap();
    let upstream = upstream_of(&server, false);
    let crash = async {
        let statement = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
        while server.execute(statement).unwrap().trim() != "1" {
            tokio::task::yield_now().await;
        }
        server.crash().unwrap();
    };
    let (answer, ()) =
        futures_util::join!(upstream.query(write("insert into t values (1)", &[]), soon()), crash);
    let fault = answer.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::OutcomeUnknown, Outcome::Unknown), "{fault:?}");
}

/// A name whose address can be changed.
fn moving(address: &Arc<Mutex<SocketAddr>>) -> Resolver {
    let address = Arc::clone(address);
    Arc::new(move |_, _| {
        let address = *address.lock().unwrap();
        Box::pin(async move { io::Result::Ok(vec![address]) })
    })
}

fn address_of(server: &Server) -> SocketAddr {
    format!("{HOST}:{}", server.port()).parse().unwrap()
}

#[tokio::test]
async fn a_failover_moves_the_name_to_the_new_primary() {
    let Some(primary) = server_or_skip(&Options::default()) else { return };
    primary.execute("create table t (a int)").unwrap();
    let address = Arc::new(Mutex::new(address_of(&primary)));
    let mut settings = own_settings(&primary);
    settings.hosts = vec![("db.internal".to_owned(), 5432)];
    settings.resolver = moving(&address);
    settings.read_only = false;
    let upstream = SqlUpstream::new("shop", settings).unwrap();
    let insert = || upstream.query(write("insert into t values (1)", &[]), soon());
    insert().await.unwrap();

    let replica = primary.replica().unwrap();
    *address.lock().unwrap() = address_of(&replica);
    primary.crash().unwrap();
    let fault = loop {
        // A session hears of the new setting between two statements, so one more may still get through.
        if let Err(fault) = insert().await {
            break fault;
        }
    };
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Unavailable, Outcome::NotSent), "{fault:?}");
    assert!(fault.message.contains("takes no writes"), "{fault:?}");

    replica.promote().unwrap();
    insert().await.unwrap();
    assert_eq!(value(&upstream, "select count(*) from t").await, 2);
}

#[tokio::test]
async fn a_primary_that_becomes_read_only_under_a_session_is_left() {
    let Some(first) = server_or_skip(&Options::default()) else { return };
    let Some(second) = server_or_skip(&Options::default()) else { return };
    for server in [&first, &second] {
        server.execute("create table t (a int)").unwrap();
    }
    let mut settings = own_settings(&first);
    settings.hosts.push((HOST.to_owned(), second.port()));
    settings.read_only = false;
    let upstream = SqlUpstream::new("shop", settings).unwrap();
    let insert = || upstream.query(write("insert into t values (1)", &[]), soon());
    // Several sessions, none of which is to be used again.
    futures_util::future::join_all((0..4).map(|_| insert())).await;

    // As a planned switch does it: sessions stay, writes are refused.
    first.execute("alter system set default_transaction_read_only = on; select pg_reload_conf()").unwrap();
    while first.execute("show default_transaction_read_only").unwrap().trim() != "on" {}
    let fault = loop {
        // A session hears of the new setting between two statements, so one more may still get through.
        if let Err(fault) = insert().await {
            break fault;
        }
    };
    assert_eq!((fault.kind, fault.code.as_deref()), (FaultKind::Unavailable, Some("25006")), "{fault:?}");
    let on_second = || second.execute("select count(*) from t").unwrap().trim().parse::<u32>().unwrap();
    let before = on_second();
    for _ in 0..4 {
        insert().await.unwrap();
    }
    assert_eq!(on_second(), before + 4);
}

/// Passes bytes on to a server until it is told to fall silent: connections then stay open and nothing moves.
async fn relay(server: SocketAddr, silent: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut silent = silent.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                let until_silent = async {
                    let _ = silent.wait_for(|is_silent| *is_silent).await;
                };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = until_silent => std::future::pending().await,
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_falls_silent_costs_no_more_than_the_deadline() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    let (silence, silent) = watch::channel(false);
    let address = Arc::new(Mutex::new(relay(address_of(&server), silent).await));
    let mut settings = own_settings(&server);
    settings.resolver = moving(&address);
    settings.connect_timeout = Duration::from_millis(100);
    let upstream = SqlUpstream::new("shop", settings).unwrap();
    assert_eq!(value(&upstream, "select 1").await, 1);

    silence.send(true).unwrap();
    let brief = || Deadline::after(Duration::from_millis(50));
    for _ in 0..3 {
        let fault = upstream.query(read("select 1", &[]), brief()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault:?}");
    }
    let fault = select(&upstream, "select 1").await.unwrap_err();
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Unavailable, Outcome::NotSent), "{fault:?}");

    *address.lock().unwrap() = address_of(&server);
    assert_eq!(value(&upstream, "select 1").await, 1);
}

#[tokio::test]
async fn readers_are_served_by_a_replica_and_its_sessions_are_reset_there_too() {
    let Some(primary) = server_or_skip(&Options::default()) else { return };
    let replica = primary.replica().unwrap();
    let mut settings = own_settings(&replica);
    settings.hosts.insert(0, (HOST.to_owned(), primary.port()));
    settings.pool_size = 1;
    let upstream = SqlUpstream::new("shop", settings).unwrap();
    primary.crash().unwrap();
    assert_eq!(value(&upstream, "select pg_is_in_recovery()").await, true);
    let first = session(&upstream).await;
    assert_eq!(session(&upstream).await, first);
}
