//! A database for one test, and an upstream that uses it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferrata::call::Deadline;
use ferrata::egress::sql::{Access, Login, LoginSource, Query, Rows, SqlSettings, SqlUpstream, Value};
use ferrata::fault::Fault;
use ferrata_test_postgres::{DATABASE, HOST, Options, PASSWORD, Server, USER, server_or_skip};
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// Longer than anything here takes, shorter than a hanging test is watched.
const PATIENCE: Duration = Duration::from_secs(20);

/// The login that upstreams use: one with few rights, as an operator would make it.
pub const AGENT: &str = "agent";
pub const AGENT_PASSWORD: &str = "an-agents-password";

/// One database of the server that most tests share.
pub struct Database {
    pub server: &'static Server,
    pub name: String,
}

impl Database {
    /// `None` when there is no PostgreSQL and nothing demands one.
    pub fn new(schema: &str) -> Option<Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.get_or_init(start).as_ref()?;
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        server.execute(&format!("create database {name}")).unwrap();
        let database = Self { server, name };
        database.execute(schema);
        database.execute(&format!(
            "grant select, insert, update, delete on all tables in schema public to {AGENT}"
        ));
        Some(database)
    }

    /// Runs statements as the superuser.
    pub fn execute(&self, statements: &str) -> String {
        let statements = format!("\\connect {}\n{statements}", self.name);
        self.server.execute(&statements).unwrap().trim().to_owned()
    }

    /// How many sessions of upstreams there are in some state (a condition on `pg_stat_activity`).
    pub fn sessions(&self, condition: &str) -> u32 {
        let own = format!("datname = '{}' and application_name like 'ferrata/%'", self.name);
        let count =
            self.execute(&format!("select count(*) from pg_stat_activity where {own} and ({condition})"));
        count.parse().unwrap()
    }

    /// Asks until there are `expected` of them.
    pub async fn await_sessions(&self, condition: &str, expected: u32) {
        let reached = async {
            while self.sessions(condition) != expected {
                tokio::task::yield_now().await;
            }
        };
        let so_many = tokio::time::timeout(PATIENCE, reached).await;
        so_many.unwrap_or_else(|_| panic!("never {expected} sessions with {condition}"));
    }

    pub fn settings(&self) -> SqlSettings {
        settings(self.server, &self.name, login(AGENT, AGENT_PASSWORD))
    }

    pub fn upstream(&self, change: impl FnOnce(&mut SqlSettings)) -> SqlUpstream {
        let mut settings = self.settings();
        change(&mut settings);
        SqlUpstream::new("shop", settings).unwrap()
    }
}

fn start() -> Option<Server> {
    let server = server_or_skip(&Options::default())?;
    server.execute(&format!("create role {AGENT} login password '{AGENT_PASSWORD}'")).unwrap();
    Some(server)
}

pub fn settings(server: &Server, database: &str, login: LoginSource) -> SqlSettings {
    SqlSettings::new(vec![(HOST.to_owned(), server.port())], database, login, None)
}

/// The settings of a server of the test's own, with its superuser.
pub fn own_settings(server: &Server) -> SqlSettings {
    settings(server, DATABASE, login(USER, PASSWORD))
}

pub fn login(user: &str, password: &str) -> LoginSource {
    let (user, password) = (user.to_owned(), password.to_owned());
    Arc::new(move |_| {
        let password = Zeroizing::new(password.clone().into_bytes());
        Ok(Login { user: user.clone(), password, version: 1, accepted: Box::new(|| ()) })
    })
}

pub fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

pub fn read(statement: &str, parameters: &[Value]) -> Query {
    Query {
        access: Access::Read,
        statement: statement.to_owned(),
        parameters: parameters.to_vec(),
        max_rows: 100,
    }
}

pub fn write(statement: &str, parameters: &[Value]) -> Query {
    Query { access: Access::Write, ..read(statement, parameters) }
}

/// Runs a read and gives its rows.
pub async fn select(upstream: &SqlUpstream, statement: &str) -> Result<Json, Fault> {
    upstream.query(read(statement, &[]), soon()).await.map(|rows| parsed(&rows))
}

/// The only value of a read.
pub async fn value(upstream: &SqlUpstream, statement: &str) -> Json {
    select(upstream, statement).await.unwrap_or_else(|fault| panic!("{statement}: {fault:?}"))[0][0].take()
}

/// Which of the server's sessions answers.
pub async fn session(upstream: &SqlUpstream) -> Json {
    value(upstream, "select pg_backend_pid()").await
}

pub fn parsed(rows: &Rows) -> Json {
    serde_json::from_str(&rows.rows).unwrap()
}
