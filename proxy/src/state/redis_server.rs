//! A real `redis-server` for tests, on a socket in a folder of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// One server; it ends with this.
pub struct RedisServer {
    child: Child,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// None if this machine has no `redis-server` (Debian: redis-server), which is an error where no test may be skipped.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let started = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            let required =
                ["CI", "FERRATA_TESTS_REQUIRE_ALL"].iter().any(|name| std::env::var_os(name).is_some());
            assert!(!required, "no redis-server on this machine");
            return None;
        };
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(
            { said }.any(|line| line.contains("eady to accept connections")),
            "redis-server did not start"
        );
        Some(Self { child, folder })
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
