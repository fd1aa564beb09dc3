//! A real `redis-server`, on a socket in a folder of its own.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::{Result, needs, wait};

/// One server. Dropping it kills the process.
#[derive(Debug)]
pub struct Redis {
    _child: Child,
    folder: TempDir,
}

impl Redis {
    /// None if this machine has no `redis-server` (Debian: redis-server).
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start() -> Result<Option<Self>> {
        let folder = TempDir::with_prefix("ferrata-redis-")?;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(folder.path().join("redis.sock")).stdout(Stdio::piped()).kill_on_drop(true);
        let Some(mut child) = needs("redis-server", command.spawn().ok()) else { return Ok(None) };
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("eady to accept connections") {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(wait::PATIENCE, ready).await {
            Ok(true) => Ok(Some(Self { _child: child, folder })),
            _ => Err("redis-server does not get ready".into()),
        }
    }

    /// Has it do something, and waits until it is done.
    ///
    /// # Errors
    /// When it does not say that it is.
    pub async fn told(&self, command: &str) -> Result<()> {
        let mut stream = BufReader::new(UnixStream::connect(self.folder.path().join("redis.sock")).await?);
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut said = String::new();
        tokio::time::timeout(wait::PATIENCE, stream.read_line(&mut said)).await??;
        if said.starts_with('-') { Err(said.into()) } else { Ok(()) }
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}
