//! `ferrata stdio` and its agent's end of the pipes: one JSON-RPC message per line.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::setup::Setup;
use crate::{Result, artifacts, ferrata, wait};

/// A running one; killed when dropped.
#[derive(Debug)]
pub struct Pipe {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Pipe {
    /// Starts it with that configuration.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(setup: &Setup) -> Result<Self> {
        let mut command = Command::new(artifacts::ferrata()?);
        command.args(["stdio", "--config"]).arg(setup.write()?);
        command.arg("--cache").arg(ferrata::component_cache()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or("the pipes are missing")?;
        Ok(Self { input, lines: BufReader::new(output).lines(), _child: child })
    }

    /// # Errors
    /// When nobody reads it.
    pub async fn say(&mut self, message: &Value) -> Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes, or what comes is no message.
    pub async fn hear(&mut self) -> Result<Value> {
        let line = tokio::time::timeout(wait::PATIENCE, self.lines.next_line()).await??;
        Ok(serde_json::from_str(&line.ok_or("the pipe has ended")?)?)
    }
}
