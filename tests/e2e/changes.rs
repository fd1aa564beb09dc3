//! The list of tools changes while agents are connected: each hears of it, in the way of its era.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ferrata_tests::ferrata::{self, Ferrata};
use ferrata_tests::mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
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

#[tokio::test]
async fn over_http() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::probe_alone(&upstream).unwrap()).await.unwrap();
    all_hear(&installed, ferrata.setup(), &[&ferrata.agent_url()]).await;
}

#[tokio::test]
async fn over_stdio() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let setup = connectors::probe_alone(&upstream).unwrap();
    let config: PathBuf = setup.write().unwrap();
    let cache = ferrata::component_cache().unwrap();
    let binary = artifacts::ferrata().unwrap().to_str().unwrap();
    let target = [binary, "stdio", "--config", config.to_str().unwrap(), "--cache", cache.to_str().unwrap()];
    all_hear(&installed, &setup, &target).await;
}

/// One event stream of the agents' endpoint.
struct Stream(Lines<BufReader<TcpStream>>);

impl Stream {
    async fn open(ferrata: &Ferrata, what: &str, headers: &str, body: &str) -> Self {
        let url = ferrata.agent_url();
        let address = url.trim_start_matches("http://").trim_end_matches(mcp::PATH);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head =
            format!("{what} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}");
        let request = format!("{head}content-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        // From here on it is heard what changes.
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.contains("200"), "{status}");
        Self(lines)
    }

    /// A subscription to these lists, acknowledged.
    async fn subscribed(ferrata: &Ferrata, lists: Value) -> Self {
        let (headers, body) = mcp::request("subscriptions/listen", json!({ "notifications": lists }));
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = Self::open(ferrata, "POST /mcp", &headers, &body.to_string()).await;
        let acknowledged = stream.next().await;
        assert_eq!(acknowledged["params"]["notifications"], lists);
        stream
    }

    async fn next(&mut self) -> Value {
        let event = async {
            loop {
                let line = self.0.next_line().await.unwrap().expect("the stream ends");
                if let Some(data) = line.strip_prefix("data: ") {
                    return serde_json::from_str(data).unwrap();
                }
            }
        };
        tokio::time::timeout(wait::PATIENCE, event).await.expect("nothing is heard")
    }

    async fn next_method(&mut self) -> String {
        self.next().await["method"].as_str().unwrap().to_owned()
    }
}

/// Adds a connector to the configuration, and waits until its tools are there.
async fn add(ferrata: &Ferrata, name: &str, connector: Value) {
    let config = ferrata.setup().folder().join("ferrata.yaml");
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    changed["connectors"][name] = connector;
    let aside = ferrata.setup().file("changed.yaml", changed.to_string()).unwrap();
    std::fs::rename(aside, config).unwrap();
    let there = async || {
        let tools = ferrata.mcp().tools().await.ok()?;
        tools.iter().any(|tool| tool["name"].as_str().unwrap().starts_with(name)).then_some(())
    };
    wait::until("the tools of the new connector", there).await.unwrap();
}

#[tokio::test]
async fn each_list_has_its_own_news() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::probe_alone(&upstream).unwrap()).await.unwrap();
    let both = json!({ "resourcesListChanged": true, "promptsListChanged": true });
    let mut readers = Stream::subscribed(&ferrata, both).await;
    let mut legacy = Stream::open(&ferrata, "GET /mcp", "accept: text/event-stream\r\n", "").await;

    let upstreams = json!({ "api": { "url": upstream.url() } });
    let tools_only = artifacts::guest("ferrata-measured").unwrap();
    let secret = ferrata.setup().file("secrets/measured", "a-secret-of-the-measured").unwrap();
    let credentials = json!({ "bot": { "kind": "static", "token": secret } });
    let measured = json!({ "component": tools_only, "upstreams": upstreams, "credentials": credentials });
    add(&ferrata, "measured", measured).await;
    assert_eq!(legacy.next_method().await, "notifications/tools/list_changed");

    let all = artifacts::guest("ferrata-conformance").unwrap();
    add(&ferrata, "desk", json!({ "component": all, "upstreams": upstreams })).await;
    // Had the first change been told, it would come before.
    let news = ["resources", "prompts"].map(|list| format!("notifications/{list}/list_changed"));
    assert_eq!([readers.next_method().await, readers.next_method().await], news);
    assert_eq!(legacy.next_method().await, "notifications/tools/list_changed");
    assert_eq!([legacy.next_method().await, legacy.next_method().await], news);
}
