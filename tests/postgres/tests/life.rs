//! A server answers, survives a crash, is followed by a replica, and leaves nothing behind.

use ferrata_test_postgres::{Options, Server, installation_or_skip};

#[test]
fn a_server_lives_and_leaves_nothing() {
    let Some(installation) = installation_or_skip() else { return };
    let server = Server::start(&installation, &Options::default()).unwrap();
    assert_eq!(server.execute("create table t as select 7 as n; select n from t").unwrap().trim(), "7");
    server.crash().unwrap();
    assert!(server.execute("select 1").is_err());
    server.restart().unwrap();
    assert_eq!(server.execute("select n from t").unwrap().trim(), "7");

    let replica = server.replica().unwrap();
    assert!(replica.execute("insert into t values (8)").unwrap_err().to_string().contains("read-only"));
    replica.promote().unwrap();
    replica.execute("insert into t values (8)").unwrap();

    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
}
