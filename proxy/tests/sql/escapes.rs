//! A read changes nothing and leaves nothing, whatever its statement says.

use ferrata::egress::sql::SqlUpstream;
use ferrata::fault::{Fault, FaultKind};
use serde_json::json;

use crate::support::{self, AGENT, Database, read, select, session, soon, value};

const SCHEMA: &str = "
    create table t (a int);
    insert into t values (1);
    create sequence s;
    grant usage, update on sequence s to public;
    grant create, usage on schema public to public;
    create procedure proc(inout a int) language plpgsql as $$ begin commit; insert into t values (9); end $$;
    create function writes() returns int language sql as $$ insert into t values (9) returning a $$;
    create function boom() returns int volatile language plpgsql as $$ begin raise exception 'it ran'; end $$;
";

async fn refused(upstream: &SqlUpstream, statement: &str) -> Fault {
    match upstream.query(read(statement, &[]), soon()).await {
        Err(fault) => fault,
        Ok(rows) => panic!("{statement}: {rows:?}"),
    }
}

#[tokio::test]
async fn only_one_statement_runs_at_a_time() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    for statement in [
        "commit; create table broken_out(a int)",
        "select 1; commit",
        "select 1; drop table t",
        "select 1; select 2",
        "select 1 /* */ ; -- \n insert into t values (2)",
        "; ; commit; insert into t values (2)",
    ] {
        assert_eq!(refused(&upstream, statement).await.kind, FaultKind::InvalidArguments, "{statement}");
    }
    assert!(refused(&upstream, "select 1; select 2").await.message.contains("one statement"));
    for fine in ["select 1;", "select 1 ; ", "select 1; -- the end", "; select 1"] {
        assert_eq!(value(&upstream, fine).await, 1, "{fine}");
    }
    assert_eq!(database.execute("select count(*) from pg_tables where tablename = 'broken_out'"), "0");
}

#[tokio::test]
async fn statements_about_the_session_are_refused() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.pool_size = 1);
    let session = session(&upstream).await;
    for statement in [
        "commit",
        "commit and chain",
        "rollback",
        "rollback and chain",
        "/* a /* nested */ comment */ -- and one more\n end",
        "begin",
        "start transaction read write",
        "savepoint a",
        "set transaction read write",
        "set transaction_read_only = off",
        "set session characteristics as transaction read write",
        "set role none",
        "reset role",
        "set session authorization default",
        "reset all",
        "discard all",
        "prepare p as select 1",
        "execute p",
        "deallocate all",
        "listen c",
        "notify c",
        "unlisten *",
        "copy t to stdout",
        "copy t from stdin",
        "copy (select 1) to program 'touch /tmp/broken-out'",
        "declare c cursor with hold for select 1",
        "fetch c",
        "lock table t",
        "load 'plpgsql'",
        "do $$ begin insert into t values (2); end $$",
        "create temp table x (a int)",
        "create table x (a int)",
        "select 1 into x",
        "vacuum",
        "prepare transaction 'x'",
    ] {
        let fault = refused(&upstream, statement).await;
        assert!(
            matches!(fault.kind, FaultKind::InvalidArguments | FaultKind::PermissionDenied),
            "{statement}: {fault:?}"
        );
        assert_eq!(
            value(&upstream, "select current_setting('transaction_read_only')").await,
            "on",
            "{statement}"
        );
    }
    assert_eq!(support::session(&upstream).await, session, "a refused statement costs no session");
}

#[tokio::test]
async fn a_read_cannot_write() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.read_only = false);
    for statement in [
        "insert into t values (2) returning a",
        "with x as (insert into t values (2) returning a) select * from x",
        "update t set a = 2 returning a",
        "delete from t returning a",
        "select writes()",
        "select nextval('s')",
        "select * from t for update",
        "call proc(1)",
        "explain analyze insert into t values (2)",
        "select set_config('transaction_read_only', 'off', true)",
        "select set_config('transaction_read_only', 'off', false)",
    ] {
        let fault = refused(&upstream, statement).await;
        assert_ne!(fault.kind, FaultKind::Unavailable, "{statement}: {fault:?}");
    }
    assert_eq!(database.execute("select string_agg(a::text, ',') from t"), "1");
    assert_eq!(database.execute("select is_called from s"), "f");
}

#[tokio::test]
async fn what_a_read_sets_is_gone_with_it() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|settings| settings.pool_size = 1);
    let session = session(&upstream).await;
    for (statement, look, clean) in [
        ("select set_config('work_mem', '77MB', false)", "select current_setting('work_mem')", json!("4MB")),
        (
            "select set_config('search_path', 'pg_temp', false)",
            "select current_setting('search_path')",
            json!("\"$user\", public"),
        ),
        (
            "select set_config('statement_timeout', '0', false)",
            "select current_setting('statement_timeout') <> '0'",
            json!(true),
        ),
        (
            "select set_config('my.own', 'left behind', false)",
            "select coalesce(current_setting('my.own', true), '')",
            json!(""),
        ),
        ("select pg_advisory_lock(7)", "select count(*) from pg_locks where locktype = 'advisory'", json!(0)),
        ("select set_config('role', 'none', false)", "select current_user::text", json!(AGENT)),
        ("select pg_notify('c', 'x')", "select count(*) from pg_listening_channels()", json!(0)),
    ] {
        select(&upstream, statement).await.unwrap();
        assert_eq!(value(&upstream, look).await, clean, "{statement}");
    }
    assert_eq!(support::session(&upstream).await, session);
}

#[tokio::test]
async fn an_explanation_never_runs_the_statement() {
    let Some(database) = Database::new(SCHEMA) else { return };
    let upstream = database.upstream(|_| {});
    for statement in [
        "select boom()",
        "insert into t values (2)",
        "delete from t",
        "select boom() from t where a = $1::int;",
    ] {
        let parameters =
            if statement.contains('$') { vec![ferrata::egress::sql::Value::Integer(1)] } else { vec![] };
        let plan = upstream.explain(read(statement, &parameters), soon()).await.unwrap();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        assert!(
            plan[0]["Plan"]["Total Cost"].is_number() && plan[0].get("Execution Time").is_none(),
            "{plan}"
        );
    }
    for statement in [
        "analyze select boom()",
        "(analyze) select boom()",
        "(analyze true, format json) select boom()",
        ", analyze) select boom()",
        ") select boom()",
        "explain analyze select boom()",
        "/**/ analyze select boom()",
        "select 1; select boom()",
        "execute p",
    ] {
        let fault = upstream.explain(read(statement, &[]), soon()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArguments, "{statement}: {fault:?}");
    }
    let fault = upstream.explain(read("select nothing from t", &[]), soon()).await.unwrap_err();
    assert_eq!(fault.details.clone().unwrap()["position"], 8, "{fault:?}");
    assert_eq!(database.execute("select count(*) from t"), "1");
}

#[tokio::test]
async fn a_configured_role_holds_for_each_statement() {
    let Some(database) = Database::new("create table secret (a int); create table open (a int)") else {
        return;
    };
    database.execute(&format!(
        "do $$ begin create role narrow; exception when duplicate_object then null; end $$;
         grant narrow to {AGENT}; grant select on open to narrow"
    ));
    let upstream = database.upstream(|settings| settings.role = Some("narrow".into()));
    assert_eq!(value(&upstream, "select current_user::text").await, "narrow");
    assert_eq!(refused(&upstream, "select * from secret").await.kind, FaultKind::PermissionDenied);
    select(&upstream, "select set_config('role', 'none', false)").await.unwrap();
    assert_eq!(refused(&upstream, "select * from secret").await.kind, FaultKind::PermissionDenied);
    select(&upstream, "select * from open").await.unwrap();

    let upstream = database.upstream(|settings| settings.role = Some("no\"such role".into()));
    let fault = refused(&upstream, "select 1").await;
    assert!(fault.message.contains("while Ferrata began the transaction"), "{fault:?}");
}
