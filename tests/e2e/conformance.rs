//! The official MCP conformance suite against the real binary, with the tools of `tests/guests/conformance`.
//!
//! What fails is listed, each check with its reason, in `tests/conformance.expected`. The list is held to be true: a failure that is not in
//! it and an entry that does not fail are both an error. Warnings count as failures: some checks warn where they could not look.

use std::collections::BTreeSet;
use std::path::Path;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, wait};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::clients;

const EXPECTED: &str = include_str!("../conformance.expected");
const SUITE: &str = "javascript/node_modules/@modelcontextprotocol/conformance/dist/index.js";
/// Length of what the suite puts behind a scenario's name: `-2026-07-28T12-00-00-000Z`.
const STAMP: usize = 25;

/// The connectors' names make the tools' names the suite's: `test_simple_text`, `json_schema_2020_12_tool`.
async fn start(upstream: &Upstream) -> Ferrata {
    let component = artifacts::guest("ferrata-conformance").unwrap();
    let connector = json!({ "component": component, "upstreams": { "api": { "url": upstream.url() } } });
    let setup = Setup::new().unwrap().connector("test", connector.clone()).connector("json", connector);
    Ferrata::start(setup).await.unwrap()
}

#[tokio::test]
async fn of_2026_07_28() {
    fails_as_listed("2026-07-28").await;
}

#[tokio::test]
async fn of_2025_11_25() {
    fails_as_listed("2025-11-25").await;
}

async fn fails_as_listed(revision: &str) {
    let Some(installed) = clients::installed() else { return };
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    let results = TempDir::new().unwrap();
    let scenarios = run(&installed, &ferrata.agent_url(), revision, results.path()).await;
    let failed = failed_checks(results.path(), scenarios);
    let listed = listed(revision);
    let (new, gone): (Vec<_>, Vec<_>) =
        (failed.difference(&listed).collect(), listed.difference(&failed).collect());
    assert!(new.is_empty(), "{revision}: fail and are not listed: {new:#?}");
    assert!(gone.is_empty(), "{revision}: are listed and do not fail: {gone:#?}");
}

/// Lets the suite write its results, and returns how many scenarios it set out to run.
async fn run(installed: &Path, url: &str, revision: &str, results: &Path) -> usize {
    let mut suite = Command::new(installed.join(artifacts::NODE));
    suite.arg(installed.join(SUITE)).args(["server", "--url", url, "--requirements", revision]);
    suite.arg("--output-dir").arg(results).kill_on_drop(true);
    let output =
        tokio::time::timeout(wait::PATIENCE, suite.output()).await.expect("the suite does not end").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("\nTotal: "), "the suite did not come to its end:\n{out}\n{err}");
    let announced = out.split_once(" scenarios)").and_then(|(before, _)| before.rsplit_once('('));
    announced.and_then(|(_, number)| number.parse().ok()).expect("the suite says how many scenarios it runs")
}

/// `scenario/check` of all that failed.
fn failed_checks(results: &Path, scenarios: usize) -> BTreeSet<String> {
    let folders: Vec<_> = std::fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), scenarios, "every scenario leaves a result");
    folders.iter().flat_map(|folder| failed_in(folder)).collect()
}

fn failed_in(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let scenario = name.strip_prefix("server-").unwrap();
    let scenario = &scenario[..scenario.len() - STAMP];
    let checks = std::fs::read(folder.join("checks.json")).unwrap();
    let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap();
    assert!(!checks.is_empty(), "{scenario} checked nothing");
    let failed =
        checks.iter().filter(|check| matches!(check["status"].as_str(), Some("FAILURE" | "WARNING")));
    failed.map(|check| format!("{scenario}/{}", check["id"].as_str().unwrap())).collect()
}

fn listed(revision: &str) -> BTreeSet<String> {
    let lines = EXPECTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries = lines.map(|line| {
        let mut words = line.splitn(3, ' ');
        let (Some(of), Some(check), Some(_reason)) = (words.next(), words.next(), words.next()) else {
            panic!("not a revision, a check and a reason: {line}");
        };
        (of, check.to_owned())
    });
    entries.filter(|(of, _)| *of == revision).map(|(_, check)| check).collect()
}
