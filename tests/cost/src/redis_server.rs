//! A `redis-server` on a socket, if this machine has one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// One server; it ends with this.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    socket: PathBuf,
}

impl RedisServer {
    /// None if there is none to be started (Debian: redis-server).
    pub fn start(folder: &Path) -> Option<Self> {
        let socket = folder.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
        let said = BufReader::new(child.stdout.take()?).lines().map_while(std::result::Result::ok);
        let is_ready = { said }.any(|line| line.contains("eady to accept connections"));
        let server = Self { child, socket };
        is_ready.then_some(server)
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
