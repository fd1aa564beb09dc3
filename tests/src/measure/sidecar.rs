//! The real `ferrata run`, with its log in a file as a container's is, and the configurations that it is measured with.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{Instant, MissedTickBehavior, interval};

use ferrata_tests::setup::Setup;
use ferrata_tests::{Result, artifacts, connectors, ferrata};

/// The package of the connector that makes the exchange.
pub const MEASURED: &str = "ferrata-measured";

/// How often is looked whether it is ready: the grain of a start's duration.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Longest start: a hundred components to compile, on a machine that is busy with something else.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// A running sidecar; dropping it ends it.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    pub address: SocketAddr,
    /// From its start until agents could connect.
    pub start: Duration,
    /// Holds the configuration's folder.
    setup: Setup,
    _log: Log,
}

/// Its log, and where it says that it is ready. Not beside the configuration, where every line would be a change to look at.
#[derive(Debug)]
struct Log(TempDir);

impl Sidecar {
    /// Starts it, with compiled components kept in `cache`.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(setup: Setup, cache: &Path) -> Result<Self> {
        Self::start_binary(artifacts::ferrata()?, setup, cache).await
    }

    /// As [`Sidecar::start`], of another binary.
    ///
    /// # Errors
    /// As [`Sidecar::start`].
    pub async fn start_binary(binary: &Path, setup: Setup, cache: &Path) -> Result<Self> {
        let (config, log) = (setup.write()?, Log(TempDir::with_prefix("ferrata-log-")?));
        let ready = log.0.path().join("ready.json");
        let mut command = ferrata::command_of(binary)?;
        // As in the image: the allocator asks for huge pages before the program can refuse them.
        command.env("MIMALLOC_ALLOW_THP", "0");
        command.env("FERRATA_CACHE_FOLDER", cache).arg("run").arg("--config").arg(config);
        command.arg("--ready-file").arg(&ready).stdout(Stdio::null()).stderr(File::create(log.file())?);
        let began = Instant::now();
        let mut child = command.spawn()?;
        let failed = |error| format!("{error}:\n{}", log.text());
        let address = tokio::select! {
            address = announced(&ready) => address,
            _ = child.wait() => return Err(failed("ferrata ended").into()),
            () = tokio::time::sleep(START_PATIENCE) => return Err(failed("ferrata does not get ready").into()),
        };
        let start = began.elapsed();
        // A connector that is not loaded stops no start, and would make it look fast.
        if log.text().contains("\"ERROR\"") {
            return Err(failed("a connector is not loaded").into());
        }
        Ok(Self { child, address, start, setup, _log: log })
    }

    /// # Errors
    /// When it has ended.
    pub fn id(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| "ferrata ended".into())
    }

    /// Ends it at once and hands back its configuration.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn end(mut self) -> Result<Setup> {
        self.child.kill().await?;
        Ok(self.setup)
    }
}

impl Log {
    fn file(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }
}

async fn announced(ready: &Path) -> SocketAddr {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        let written = std::fs::read(ready).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let address = written.as_ref().and_then(|written| written["agent"].as_str()?.strip_prefix("http://"));
        if let Some(address) = address.and_then(|address| address.parse().ok()) {
            return address;
        }
    }
}

/// The connector that makes the exchange.
///
/// # Errors
/// When it does not compile or a file cannot be written.
pub fn measured(setup: &Setup, component: &Path, upstream: SocketAddr) -> Result<Value> {
    Ok(json!({
        "component": component,
        "upstreams": { "api": { "url": format!("http://{upstream}") } },
        "credentials": { "bot": {
            "kind": "static",
            "token": setup.file("secrets/guest", connectors::GUEST_TOKEN)?,
        } },
        // The same call again and again is not one.
        "coalesce": false,
    }))
}

/// A configuration with that connector alone.
///
/// # Errors
/// As [`measured`].
pub fn one(upstream: SocketAddr, reuse: bool) -> Result<Setup> {
    let setup = Setup::new()?.with(&["sandbox"], json!({ "reuse": reuse }));
    let connector = measured(&setup, &artifacts::guest(MEASURED)?, upstream)?;
    Ok(setup.connector("echo", connector))
}

/// A configuration with all five connectors in Rust that there are.
///
/// # Errors
/// As [`measured`].
pub fn five(upstream: SocketAddr) -> Result<Setup> {
    let setup = one(upstream, false)?;
    let fixed = |fields: Value| {
        let mut credential = json!({ "kind": "static" });
        for (name, value) in fields.as_object().into_iter().flatten() {
            credential[name] = json!({ "value": value });
        }
        credential
    };
    let api = json!({ "api": { "url": format!("http://{upstream}") } });
    let token = fixed(json!({ "token": connectors::GUEST_TOKEN }));
    let client = json!({ "kind": "client-credentials", "client_id": { "value": "a" }, "client_secret": { "value": "b" } });
    let mut both = api.clone();
    both["other"] = both["api"].clone();
    let db = json!({ "db": { "url": "postgres://127.0.0.1/none", "sql": { "tls": "disable" } } });
    let all = [
        ("chat", artifacts::connector("ferrata-slack")?, api.clone(), json!({ "bot": token })),
        (
            "db",
            artifacts::connector("ferrata-postgres")?,
            db,
            json!({ "db": fixed(json!({ "user": "a", "password": "b" })) }),
        ),
        ("id", artifacts::guest("ferrata-login")?, api, json!({ "account": client })),
        ("probe", artifacts::probe()?, both, json!({ "bot": token })),
    ];
    let add = |setup: Setup, (name, component, upstreams, credentials): (&str, PathBuf, Value, Value)| {
        let connector = json!({ "component": component, "upstreams": upstreams, "credentials": credentials });
        setup.connector(name, connector)
    };
    Ok(all.into_iter().fold(setup, add))
}

/// A configuration with so many connectors, each with a component of its own.
///
/// # Errors
/// As [`measured`].
pub fn many(upstream: SocketAddr, count: usize) -> Result<Setup> {
    let mut setup = Setup::new()?;
    let component = std::fs::read(artifacts::guest(MEASURED)?)?;
    for number in 0..count {
        let file = setup.file(&format!("components/{number}.wasm"), distinct(&component, number)?)?;
        let connector = measured(&setup, &file, upstream)?;
        setup = setup.connector(&format!("echo{number}"), connector);
    }
    Ok(setup)
}

/// The same component with other bytes: a custom section (0, its length, a name with its length, nothing more) at the end.
fn distinct(component: &[u8], number: usize) -> Result<Vec<u8>> {
    let name = format!("copy-{number}");
    let length = u8::try_from(name.len())?;
    Ok([component, &[0, length + 1, length], name.as_bytes()].concat())
}
