//! One running sidecar.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::http::Client;
use crate::mcp::Mcp;
use crate::setup::Setup;
use crate::{Result, artifacts, wait};

/// Longest run of a command that is meant to end by itself; compiling a large component takes the most of it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A `ferrata run` on free ports. Dropping it kills the process; [`Ferrata::stop`] asks it to end.
#[derive(Debug)]
pub struct Ferrata {
    child: Child,
    log: Log,
    addresses: Addresses,
    /// Holds the folder that the configuration lies in.
    setup: Setup,
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

#[derive(Clone, Copy, Debug)]
struct Addresses {
    agent: SocketAddr,
    admin: SocketAddr,
    control: SocketAddr,
}

impl Ferrata {
    /// Starts the binary and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready; the text holds its log.
    pub async fn start(setup: Setup) -> Result<Self> {
        let config = setup.write()?;
        let mut command = command()?;
        command.args(["run", "--config"]).arg(config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log.clone().follow(stderr));
        }
        let announced = wait::until("the addresses of the listeners", async || {
            let ended = child.try_wait().ok().flatten();
            ended.map(Err).or_else(|| log.addresses().map(Ok))
        });
        let addresses = match announced.await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(status)) => return Err(format!("ferrata ended with {status}:\n{}", log.text()).into()),
            Err(error) => return Err(format!("{error}:\n{}", log.text()).into()),
        };
        let ferrata = Self { child, log, addresses, setup };
        ferrata.ready().await?;
        Ok(ferrata)
    }

    async fn ready(&self) -> Result<()> {
        let admin = self.admin();
        let ready = wait::until("/readyz", async || {
            admin.get("/readyz").await.is_ok_and(|answer| answer.status.is_success()).then_some(())
        });
        ready.await.map_err(|error| format!("{error}:\n{}", self.log()).into())
    }

    /// The agent listener.
    pub fn agent(&self) -> Client {
        Client::new(format!("http://{}", self.addresses.agent))
    }

    /// An MCP client of an agent without a token.
    pub fn mcp(&self) -> Mcp {
        Mcp::new(self.agent())
    }

    /// Probes and metrics.
    pub fn admin(&self) -> Client {
        Client::new(format!("http://{}", self.addresses.admin))
    }

    /// `/status`.
    pub fn control(&self) -> Client {
        Client::new(format!("http://{}", self.addresses.control))
    }

    pub fn agent_url(&self) -> String {
        format!("http://{}/mcp", self.addresses.agent)
    }

    pub fn status_url(&self) -> String {
        format!("http://{}/status", self.addresses.control)
    }

    /// The configuration it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Sends SIGTERM, without waiting for the end.
    ///
    /// # Errors
    /// When the process has ended already.
    pub fn terminate(&self) -> Result<()> {
        let id = self.child.id().ok_or("ferrata has ended already")?;
        let pid = Pid::from_raw(i32::try_from(id)?).ok_or("no process")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits for the end, as long as a drain may take.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(wait::PATIENCE, self.child.wait()).await;
        Ok(ended.map_err(|_| format!("ferrata does not end:\n{}", self.log.text()))??)
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.terminate()?;
        self.ended().await
    }
}

/// Runs a `ferrata` command that ends by itself, in `folder`.
///
/// # Errors
/// When it cannot be started or does not end within [`COMMAND_TIMEOUT`].
pub async fn cli<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
    let mut command = command()?;
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    Ok(tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await??)
}

/// The binary with an environment that is the same everywhere.
///
/// # Errors
/// When it cannot be built.
pub fn command() -> Result<Command> {
    let mut command = Command::new(artifacts::ferrata()?);
    command.env_remove("RUST_LOG").kill_on_drop(true);
    Ok(command)
}

impl Log {
    async fn follow(self, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The addresses that the process said it listens on, once it has.
    fn addresses(&self) -> Option<Addresses> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let address = |name: &str| event["fields"][name].as_str()?.parse().ok();
            Some(Addresses {
                agent: address("agent")?,
                admin: address("admin")?,
                control: address("control")?,
            })
        })
    }
}
