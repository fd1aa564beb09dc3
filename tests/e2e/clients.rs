//! MCP clients of others list and call tools: PyPI `mcp`, npm `@modelcontextprotocol/client` and `sdk`, the Inspector.
//! Their scripts are in `tests/clients`.

use std::path::{Path, PathBuf};

use ferrata_tests::ferrata::{self, Ferrata};
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, needs};
use serde_json::Value;
use tokio::process::Command;

/// Name of the script, arguments before the tool.
const CLIENTS: [(&str, &[&str]); 6] = [
    ("mcp_python.py", &["auto"]),
    ("mcp_python.py", &["legacy"]),
    ("mcp_javascript.mjs", &["legacy"]),
    ("mcp_javascript.mjs", &["auto"]),
    ("mcp_javascript.mjs", &["sdk1"]),
    ("mcp_inspector.mjs", &[]),
];
const TOOL: &str = "probe_read";
const ARGUMENTS: &str = r#"{"path":"x"}"#;

pub fn installed() -> Option<PathBuf> {
    needs("the clients of tests/clients/install", std::env::var_os("FERRATA_TEST_CLIENTS").map(PathBuf::from))
}

#[tokio::test]
async fn over_http() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::probe_alone(&upstream).unwrap()).await.unwrap();
    for (script, arguments) in CLIENTS {
        lists_and_calls(&installed, script, arguments, &[&ferrata.agent_url()]).await;
    }
}

#[tokio::test]
async fn over_stdio() {
    let Some(installed) = installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let setup = connectors::probe_alone(&upstream).unwrap();
    let config = setup.write().unwrap();
    // The Inspector takes `--config` for its own, and hands on no environment.
    let binary = artifacts::ferrata().unwrap().display();
    let cache = ferrata::component_cache().unwrap();
    let command =
        format!("exec '{binary}' stdio --config '{}' --cache '{}'\n", config.display(), cache.display());
    let command = setup.file("stdio.sh", command).unwrap();
    for (script, arguments) in CLIENTS {
        lists_and_calls(&installed, script, arguments, &["sh", command.to_str().unwrap()]).await;
    }
}

async fn lists_and_calls(installed: &Path, script: &str, arguments: &[&str], target: &[&str]) {
    let mut command = client(installed, script);
    command.args(arguments).args([TOOL, ARGUMENTS]).args(target).kill_on_drop(true);
    let run = tokio::time::timeout(ferrata_tests::wait::PATIENCE, command.output()).await;
    let output = run.unwrap_or_else(|_| panic!("{script} {arguments:?} does not end")).unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?} failed:\n{out}\n{err}");
    let lines: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let all = serde_json::to_string(&lines).unwrap();
    assert!(all.contains(TOOL), "{script} {arguments:?} lists no {TOOL}: {all}");
    assert!(all.contains("authorization: Bearer [redacted]"), "{script} {arguments:?} got no result: {all}");
}

pub fn client(installed: &Path, script: &str) -> Command {
    let scripts = artifacts::workspace().join("tests/clients");
    let mut command = match script.rsplit('.').next() {
        Some("py") => Command::new(installed.join("python/bin/python")),
        _ => Command::new(installed.join(artifacts::NODE)),
    };
    command.arg(scripts.join(script)).env("FERRATA_TEST_CLIENTS", installed);
    command
}
