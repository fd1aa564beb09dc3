//! The list of tools changes while agents are connected: each hears of it, in the way of its era.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ferrata_tests::ferrata::{self, Ferrata};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::clients::{client, installed};

/// Name of the script, and which client it is to use.
const CLIENTS: [(&str, &str); 5] = [
    ("mcp_changes_python.py", "auto"),
    ("mcp_changes_python.py", "legacy"),
    ("mcp_changes_javascript.mjs", "auto"),
    ("mcp_changes_javascript.mjs", "legacy"),
    ("mcp_changes_javascript.mjs", "sdk1"),
];

/// A tool of the connector that comes later.
const LATER: &str = "later_read";

/// A client that prints the tools' names, once now and once after a change.
struct Listener {
    what: String,
    lines: Lines<BufReader<ChildStdout>>,
    /// Killed when dropped.
    _child: Child,
}

impl Listener {
    fn start(installed: &Path, (script, which): (&str, &str), target: &[&str]) -> Self {
        let mut command = client(installed, script);
        command.arg(which).args(target).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { what: format!("{script} {which}"), lines, _child: child }
    }

    async fn lists_the_later_tool(&mut self) -> bool {
        let line = tokio::time::timeout(wait::PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{} says nothing", self.what)).unwrap();
        let line = line.unwrap_or_else(|| panic!("{} ended early", self.what));
        let said: Value = serde_json::from_str(&line).unwrap();
        said["tools"].as_array().unwrap().contains(&Value::from(LATER))
    }
}

/// Lets every client listen, adds a connector to the configuration, and waits until each has heard.
async fn all_hear(installed: &Path, setup: &Setup, target: &[&str]) {
    let mut listeners = CLIENTS.map(|which| Listener::start(installed, which, target));
    for listener in &mut listeners {
        assert!(!listener.lists_the_later_tool().await, "{}", listener.what);
    }
    let config = setup.write().unwrap();
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    changed["connectors"]["later"] = changed["connectors"]["probe"].clone();
    // Put in place as a whole, as an operator's tools do.
    let aside = setup.file("changed.yaml", changed.to_string()).unwrap();
    std::fs::rename(aside, config).unwrap();
    for listener in &mut listeners {
        assert!(listener.lists_the_later_tool().await, "{}", listener.what);
    }
}

async fn setup(upstream: &Upstream) -> Setup {
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, upstream).unwrap();
    setup.connector("probe", connector)
}

#[tokio::test]
async fn over_http() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(setup(&upstream).await).await.unwrap();
    all_hear(&installed, ferrata.setup(), &[&ferrata.agent_url()]).await;
}

#[tokio::test]
async fn over_stdio() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let setup = setup(&upstream).await;
    let config: PathBuf = setup.write().unwrap();
    let cache = ferrata::component_cache().unwrap();
    let binary = artifacts::ferrata().unwrap().to_str().unwrap();
    let target = [binary, "stdio", "--config", config.to_str().unwrap(), "--cache", cache.to_str().unwrap()];
    all_hear(&installed, &setup, &target).await;
}
