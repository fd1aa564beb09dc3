//! One running sidecar.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
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

/// Longest run of a command that is meant to end by itself: compiling a component of Python or JavaScript, which gives way to
/// everything else, on a machine that is busy with the other tests.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);

/// Where the process says that agents can connect, in the folder of the configuration.
const READY_FILE: &str = "ready.json";

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

/// Base URLs of the listeners.
#[derive(Clone, Debug)]
struct Addresses {
    agent: String,
    admin: String,
    control: String,
}

impl Ferrata {
    /// Starts the binary and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready; the text holds its log.
    pub async fn start(setup: Setup) -> Result<Self> {
        let (config, ready) = (setup.write()?, setup.folder().join(READY_FILE));
        // One that was started here before has left its own.
        let _ = std::fs::remove_file(&ready);
        let mut command = command()?;
        command.arg("run").arg("--config").arg(config).arg("--ready-file").arg(&ready);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log.clone().follow(stderr));
        }
        let announced = wait::until("the addresses of the listeners", async || {
            let ended = child.try_wait().ok().flatten();
            ended.map(Err).or_else(|| Addresses::read(&ready).map(Ok))
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
        Client::new(self.addresses.agent.as_str())
    }

    /// An MCP client of an agent without a token.
    pub fn mcp(&self) -> Mcp {
        Mcp::new(self.agent())
    }

    /// Probes and metrics.
    pub fn admin(&self) -> Client {
        Client::new(self.addresses.admin.as_str())
    }

    /// `/status`.
    pub fn control(&self) -> Client {
        Client::new(self.addresses.control.as_str())
    }

    pub fn agent_url(&self) -> String {
        format!("{}/mcp", self.addresses.agent)
    }

    pub fn status_url(&self) -> String {
        format!("{}/status", self.addresses.control)
    }

    /// The configuration it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running sidecar")
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

    /// Kills it without a word. Returns what it was started with, to start it again.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> Result<Setup> {
        self.child.kill().await?;
        Ok(self.setup)
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

/// The binary, without what a user's environment may say.
///
/// # Errors
/// When it cannot be built.
pub fn command() -> Result<Command> {
    command_of(artifacts::ferrata()?)
}

/// As [`command`], of another binary.
///
/// # Errors
/// As [`command`].
pub fn command_of(binary: &Path) -> Result<Command> {
    let mut command = Command::new(binary);
    command.env("FERRATA_CACHE_FOLDER", component_cache()?).kill_on_drop(true);
    for variable in ["FERRATA_CONFIG", "FERRATA_LOG"] {
        command.env_remove(variable);
    }
    Ok(command)
}

/// Where compiled components are kept: beside the binary, not in the user's folder.
///
/// # Errors
/// When the binary cannot be built.
pub fn component_cache() -> Result<PathBuf> {
    Ok(artifacts::ferrata()?.with_file_name("ferrata-components"))
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
}

impl Addresses {
    /// What the process wrote once agents could connect.
    fn read(file: &Path) -> Option<Self> {
        let written: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let text = |name: &str| written[name].as_str().map(str::to_owned);
        Some(Self {
            agent: text("agent")?,
            admin: text("admin")?,
            control: format!("http://{}", text("control")?),
        })
    }
}
