//! What the story plays on: the stand-ins, and the real sidecar in front of them.

use std::time::Duration;

use ferrata_sandbox::accounts::{Accounts, CLIENT_ID, CLIENT_SECRET};
use ferrata_sandbox::slack::Slack;
use ferrata_sandbox::{Clock, Sandbox};
use ferrata_test_postgres::{Installation, Options, Server};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::{Result, artifacts, company, connectors};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::page::Page;

/// Names of the connectors.
pub const DATABASE: &str = "db";
pub const CHAT: &str = "chat";
pub const IDENTITY: &str = "id";

/// Where the refresh token is in the folder of the configuration.
pub const REFRESH_TOKEN: &str = "secrets/refresh";

/// How long the access tokens live here; an hour is usual.
const TOKEN_LIFE: Duration = Duration::from_secs(10);

/// The package of the connector with a login.
const LOGIN: &str = "ferrata-login";

/// How long the sidecar may take to end after Ctrl-C: it has nothing to finish.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a machine without PostgreSQL misses.
const NO_DATABASE: (&str, &str) =
    ("the scenes with the database", "no PostgreSQL on this machine (Debian: apt-get install postgresql)");

#[derive(Debug)]
pub struct Stage {
    pub slack: Sandbox<Slack>,
    pub accounts: Sandbox<Accounts>,
    pub database: Option<Server>,
    pub ferrata: Ferrata,
    /// What the sidecar keeps over restarts.
    _state: TempDir,
}

impl Stage {
    /// Builds and starts everything, and says so.
    ///
    /// # Errors
    /// When something does not compile or start; also when PostgreSQL is missing and the environment demands everything.
    pub async fn build(page: &mut Page) -> Result<Self> {
        let (_, took) = timed(blocking(built)).await?;
        page.prepared("built", format!("the connectors as WebAssembly, the sidecar as a binary ({took})"));
        let slack = Sandbox::start(Slack::acme(Clock::real())).await?;
        page.prepared("Slack", format!("a stand-in with Slack's manners and walls: {}", slack.url()));
        let accounts = Sandbox::start(Accounts::new(Clock::real(), TOKEN_LIFE)).await?;
        page.prepared("accounts", format!("a stand-in for an identity provider: {}", accounts.url()));
        let (database, took) = timed(blocking(database)).await?;
        match &database {
            Some(_) => page.prepared("PostgreSQL", filled(&took)),
            None => page.skipped(NO_DATABASE.0, NO_DATABASE.1),
        }
        let mut setup = Setup::new()?;
        let mut chat = connectors::slack(&setup, &slack)?;
        chat["fallback"] = json!({ "list_channels": [{ "stale": "15m" }] });
        let identity = identity(&setup, &accounts)?;
        setup = setup.connector(CHAT, chat).connector(IDENTITY, identity);
        if let Some(server) = &database {
            let postgres = connectors::postgres(&setup, server)?;
            setup = setup.connector(DATABASE, postgres);
        }
        let state = TempDir::with_prefix("ferrata-demo-")?;
        setup = durable(setup, &state)?;
        let (ferrata, took) = timed(Ferrata::start(setup)).await?;
        page.prepared("Ferrata", format!("{} ({took})", ferrata.agent_url()));
        page.prepared("status", ferrata.status_url());
        Ok(Self { slack, accounts, database, ferrata, _state: state })
    }

    /// What was skipped, and why.
    pub fn lacks(&self) -> Vec<(&'static str, &'static str)> {
        if self.database.is_none() { vec![NO_DATABASE] } else { Vec::new() }
    }

    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        let mut addresses = vec![
            ("MCP", self.ferrata.agent_url()),
            ("status", self.ferrata.status_url()),
            ("HTTP", format!("curl -s {}", self.ferrata.agent_url().replace("/mcp", "/v1/tools"))),
            ("Slack", self.slack.url()),
            ("accounts", self.accounts.url()),
        ];
        addresses.extend(self.database.as_ref().map(|server| ("PostgreSQL", server.url())));
        addresses
    }

    /// Waits for a sidecar that has heard the same Ctrl-C, for a moment; what is left then is killed.
    pub async fn leave(mut self) {
        let _ = tokio::time::timeout(FAREWELL, self.ferrata.ended()).await;
    }

    /// Ends the sidecar as an orchestrator would; the stand-ins end with it.
    ///
    /// # Errors
    /// When it does not end, or not with status 0.
    pub async fn strike(self) -> Result<()> {
        let status = self.ferrata.stop().await?;
        if status.success() { Ok(()) } else { Err(format!("ferrata ended with {status}").into()) }
    }
}

/// Builds whatever is not built.
fn built() -> Result<()> {
    artifacts::connectors()?;
    artifacts::guest(LOGIN)?;
    artifacts::ferrata().map(drop)
}

/// A connector whose system has a login, with a refresh token that an administrator has consented to.
fn identity(setup: &Setup, accounts: &Sandbox<Accounts>) -> Result<Value> {
    Ok(json!({
        "component": artifacts::guest(LOGIN)?,
        "upstreams": { "api": { "url": accounts.url() } },
        "credentials": { "account": {
            "kind": "refresh-token",
            "client_id": { "value": CLIENT_ID },
            "client_secret": setup.file("secrets/client", CLIENT_SECRET)?,
            "refresh_token": setup.file(REFRESH_TOKEN, accounts.system().consent())?,
        } },
    }))
}

/// Refresh tokens are replaced with each use, and the newest must outlive the sidecar: sealed with a key, in a file.
fn durable(setup: Setup, state: &TempDir) -> Result<Setup> {
    let key = setup.file("secrets/state-key", "07".repeat(32))?;
    Ok(setup.with(&["state"], json!({ "file": state.path().join("state.redb"), "key": key })))
}

/// A throw-away PostgreSQL with the company's data, if there is one on the machine.
fn database() -> Result<Option<Server>> {
    let Some(installation) = ferrata_test_postgres::installation_or_skip() else { return Ok(None) };
    start(&installation).map(Some)
}

fn start(installation: &Installation) -> Result<Server> {
    let server = Server::start(installation, &Options::default())?;
    company::create(&server)?;
    Ok(server)
}

fn filled(took: &str) -> String {
    format!(
        "a throw-away server with {} customers and {} orders ({took})",
        company::CUSTOMERS,
        company::ORDERS
    )
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, String)> {
    let before = Instant::now();
    let made = work.await?;
    let seconds = (Instant::now() - before).max(Duration::from_millis(100)).as_secs_f64();
    Ok((made, format!("{seconds:.1} s")))
}
