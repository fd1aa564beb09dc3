//! Throw-away Redis servers: each on a socket in a folder of its own, gone when it is dropped.
//!
//! What is said to them is the caller's.

#![deny(unsafe_code)]

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Set when a test that cannot run is a failed test; either does.
const REQUIRED: [&str; 2] = ["CI", "FERRATA_TESTS_REQUIRE_ALL"];

/// What a server says when it can be asked.
const READY: &str = "eady to accept connections";

/// One server; it ends with this.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    folder: TempDir,
}

impl RedisServer {
    /// `None`, after saying so, when the machine has no `redis-server` (Debian: redis-server).
    ///
    /// # Panics
    /// When it does not start, or when there is none and the environment demands every test.
    pub fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let required = REQUIRED.iter().any(|name| std::env::var_os(name).is_some());
                assert!(!required, "no redis-server on this machine, and the environment demands every test");
                eprintln!("skipped: no redis-server on this machine (Debian: redis-server)");
                None
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        }
    }

    fn try_start() -> io::Result<Self> {
        let folder = TempDir::with_prefix("ferrata-redis-")?;
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().map(BufReader::new);
        let server = Self { child, folder };
        let mut said = output.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        if said.any(|line| line.contains(READY)) {
            return Ok(server);
        }
        Err(io::Error::other("it ended before it was ready"))
    }

    /// As `state: { redis: … }` names it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // One that has ended already is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
