//! The PostgreSQL connector: caps, cost, rights, failover.

use ferrata_test_postgres::{Options, Server, server_or_skip};
use ferrata_tests::connectors::{self, MAX_ROWS};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::{company, wait};
use serde_json::{Value, json};

use crate::{done, fault, idle};

/// Enough that a scan of all orders costs more than the limit.
const MANY_ORDERS: u32 = 250_000;
const FEW_ORDERS: u32 = 1_000;

pub struct Database {
    server: Server,
    pub ferrata: Ferrata,
}

impl Database {
    async fn start(orders: u32) -> Option<Self> {
        Self::start_in(Setup::new().unwrap(), orders).await
    }

    pub async fn start_in(setup: Setup, orders: u32) -> Option<Self> {
        let server = server_or_skip(&Options::default())?;
        company::create_sized(&server, 500, orders).unwrap();
        let connector = connectors::postgres(&setup, &server).unwrap();
        let ferrata = Ferrata::start(setup.connector("db", connector)).await.unwrap();
        Some(Self { server, ferrata })
    }

    pub async fn query(&self, sql: &str, params: Value) -> Outcome {
        self.ferrata.mcp().call("db_query", json!({ "sql": sql, "params": params })).await.unwrap()
    }
}

#[tokio::test]
async fn answers_are_typed_capped_and_say_so() {
    let Some(db) = Database::start(FEW_ORDERS).await else { return };
    let found =
        done(db.query("select id, name, since from customers where name = $1", json!(["Globex"])).await);
    assert_eq!(found["complete"], true);
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);

    let all = json!({ "sql": "select id from customers order by id", "limit": 10_000 });
    let capped = done(db.ferrata.mcp().call("db_query", all).await.unwrap());
    assert_eq!((&capped["complete"], &capped["stopped_by"]), (&json!(false), &json!("row_cap")));
    assert_eq!(capped["rows"].as_array().unwrap().len(), MAX_ROWS as usize);

    let schemas = done(db.ferrata.mcp().call("db_list_schemas", json!({})).await.unwrap());
    assert!(schemas.to_string().contains("public"), "{schemas}");
    let table = done(
        db.ferrata
            .mcp()
            .call("db_describe_table", json!({ "schema": "public", "table": "orders" }))
            .await
            .unwrap(),
    );
    assert!(table.to_string().contains("customer_id"), "{table}");
}

#[tokio::test]
async fn what_is_too_expensive_forbidden_or_wrong_does_not_run() {
    let Some(db) = Database::start(MANY_ORDERS).await else { return };
    fault(db.query("select count(*) from orders where note like '%Anna%'", json!([])).await, "rejected");
    let written = db.query("delete from orders", json!([])).await;
    assert_ne!(written.kind(), "ok", "{written:?}");
    let twice = db.query("select 1; drop table orders", json!([])).await;
    assert_ne!(twice.kind(), "ok", "{twice:?}");
    let mistaken = fault(db.query("select nope from customers", json!([])).await, "invalid_arguments");
    assert_eq!(mistaken.data["code"], "42703");
    assert_eq!(db.server.execute("select count(*) from orders").unwrap().trim(), MANY_ORDERS.to_string());
}

#[tokio::test]
async fn a_database_that_was_away_is_back_without_a_restart_of_ours() {
    let Some(db) = Database::start(FEW_ORDERS).await else { return };
    let count = async || db.query("select count(*) from customers", json!([])).await;
    done(count().await);
    db.server.crash().unwrap();
    let away = fault(count().await, "unavailable");
    assert!(away.sentence.contains("not empty"), "{}", away.sentence);
    db.server.restart().unwrap();
    wait::until("the database to answer", async || matches!(count().await, Outcome::Done(_)).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_password_is_replaced_here_first_or_there_first_and_no_call_fails() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    company::create_sized(&server, 5, 5).unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::postgres(&setup, &server).unwrap();
    connector["credentials"]["db"]["overlap"] = json!("10m");
    let ferrata = Ferrata::start(setup.connector("db", connector)).await.unwrap();
    let db = Database { server, ferrata };
    // A session that was ended may be found so only when it is used.
    let ask = async || match db.query("select count(*) from customers", json!([])).await {
        Outcome::Done(_) => Some(()),
        Outcome::Fault(fault) => {
            assert_eq!(fault.kind(), "unavailable", "{}", fault.sentence);
            None
        }
    };
    let count = async || wait::until("an answer", async || ask().await).await.unwrap();
    let forget_sessions = || {
        let others = "select pg_terminate_backend(pid) from pg_stat_activity where usename = '";
        db.server.execute(&format!("{others}{}'", company::READER)).unwrap();
    };
    let change = |password: &str| {
        let change = format!("alter role {} password '{password}'", company::READER);
        db.server.execute(&change).unwrap();
    };
    count().await;
    // The operator is first: the database still wants the old one.
    db.ferrata.setup().file("secrets/postgres-password", "the-second-password").unwrap();
    forget_sessions();
    count().await;
    change("the-second-password");
    forget_sessions();
    count().await;
    // The database is first: the file is read again when the old one is refused.
    change("the-third-password");
    forget_sessions();
    db.ferrata.setup().file("secrets/postgres-password", "the-third-password").unwrap();
    count().await;
}

/// How many others run the query that sleeps.
const SLEEPERS: &str = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' and query like '%pg_sleep(60)%'";

#[tokio::test]
async fn a_database_that_dies_in_mid_query_gives_no_answer() {
    let Some(db) = Database::start(FEW_ORDERS).await else { return };
    let mcp = db.ferrata.mcp();
    let asleep = json!({ "sql": "select pg_sleep(60)::text as slept", "params": [] });
    let query = tokio::spawn(async move { mcp.call("db_query", asleep).await.unwrap() });
    let sleeps = async || (db.server.execute(SLEEPERS).unwrap().trim() == "1").then_some(());
    wait::until("the query to run", sleeps).await.unwrap();
    db.server.crash().unwrap();
    let cut = fault(query.await.unwrap(), "unavailable");
    assert_eq!(cut.data["outcome"], "unknown", "{cut:?}");
    db.server.restart().unwrap();
    let answers = async || matches!(db.query("select 1", json!([])).await, Outcome::Done(_)).then_some(());
    wait::until("the database to answer", answers).await.unwrap();
    idle(&db.ferrata).await;
}

#[tokio::test]
async fn one_sick_system_does_not_slow_another() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    company::create_sized(&server, 10, 10).unwrap();
    let upstream = ferrata_tests::upstream::Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let (db, probe) =
        (connectors::postgres(&setup, &server).unwrap(), connectors::probe(&setup, &upstream).unwrap());
    let ferrata = Ferrata::start(setup.connector("db", db).connector("probe", probe)).await.unwrap();
    server.crash().unwrap();
    let mcp = ferrata.mcp();
    let sick = mcp.call("db_query", json!({ "sql": "select 1", "params": [] }));
    let well = mcp.call("probe_read", json!({ "path": "x" }));
    let (sick, well) = tokio::join!(sick, well);
    fault(sick.unwrap(), "unavailable");
    done(well.unwrap());
}
