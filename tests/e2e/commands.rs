//! The command line and its exit codes: 0, 64 usage, 65 bad configuration.

use std::process::Output;

use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors};
use serde_json::{Value, json};

const USAGE: i32 = 64;
const BAD_CONFIGURATION: i32 = 65;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn probe(upstream: &Upstream) -> Setup {
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, upstream).unwrap();
    let setup = setup.connector("probe", connector);
    setup.write().unwrap();
    setup
}

#[tokio::test]
async fn what_nobody_understands_is_a_usage_error() {
    let setup = Setup::new().unwrap();
    for arguments in [vec!["fly"], vec!["run", "--sideways"], vec!["call"]] {
        let output = cli(setup.folder(), &arguments).await.unwrap();
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}: {}", err(&output));
    }
    assert!(cli(setup.folder(), ["--help"]).await.unwrap().status.success());
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_all_its_mistakes() {
    let setup = Setup::new().unwrap();
    let file = "agent: { listen: nowhere }\nconnectors:\n  under_score: { components: x.wasm }\nlimits: 3\n";
    setup.file("ferrata.yaml", file).unwrap();
    for command in ["check", "run"] {
        let output = cli(setup.folder(), [command]).await.unwrap();
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{}", err(&output));
        let said = out(&output) + &err(&output);
        for place in ["ferrata.yaml:3:", "ferrata.yaml:4:"] {
            assert!(said.contains(place), "{place} is not in: {said}");
        }
    }
    setup.file("ferrata.yaml", "connectors: { crm: { component: crm.wasm, mapping: {} } }\n").unwrap();
    let output = cli(setup.folder(), ["check"]).await.unwrap();
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    assert!((out(&output) + &err(&output)).contains("not yet"), "{}", err(&output));
}

/// Of every sort: keys, types, units, walls, relations.
const TEN_MISTAKES: &str = "\
agent: { listen: nowhere, colour: red }
defaults: { deadline: 48h }
sandbox: { memory: 2GB }
state: { redis: http://quota }
connectors:
  under_score: { component: a.wasm }
  crm:
    component: crm.wasm
    limits: { api: [\"100/fortnight\"] }
    upstreams:
      api: { url: ftp://example }
    credentials:
      bot: { kind: statik, token: /t }
      app: { kind: static, token: /t, positions: [nowhere] }
";

#[tokio::test]
async fn ten_mistakes_are_named_at_once_each_with_its_place() {
    let setup = Setup::new().unwrap();
    setup.file("ferrata.yaml", TEN_MISTAKES).unwrap();
    let output = cli(setup.folder(), ["check"]).await.unwrap();
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{}", err(&output));
    let said = out(&output) + &err(&output);
    let places = ["1:10", "1:27", "2:13", "3:12", "4:10", "6:3", "9:21", "11:14", "13:14", "14:51"];
    for place in places {
        assert!(said.contains(&format!("ferrata.yaml:{place}:")), "{place} is not in: {said}");
    }
    assert_eq!(said.matches("ferrata.yaml:").count(), places.len(), "{said}");
}

/// Right as a configuration, and wrong on this machine.
const LACKING: &str = "\
agent: { users: { issuer: 'https://id.example', audience: ferrata, algorithms: [EdDSA], jwks: ./keys.json } }
audit: { to: { file: ./nowhere/audit.jsonl } }
state: { file: ./state.redb, key: ./nowhere/key }
connectors: {}
";

#[tokio::test]
async fn what_the_machine_lacks_is_named_at_once_and_nothing_is_made_by_looking() {
    let setup = Setup::new().unwrap();
    setup.file("keys.json", r#"{ "keys": [] }"#).unwrap();
    setup.file("ferrata.yaml", LACKING).unwrap();
    let output = cli(setup.folder(), ["check"]).await.unwrap();
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{}", err(&output));
    let said = out(&output);
    for lacking in ["keys.json: no key", "nowhere/audit.jsonl: No such file", "state.key: "] {
        assert!(said.contains(lacking), "{lacking} is not in: {said}");
    }
    setup
        .file("ferrata.yaml", LACKING.replace("nowhere", "there").replace(", jwks: ./keys.json", ""))
        .unwrap();
    setup.file("there/key", "07".repeat(32)).unwrap();
    let output = cli(setup.folder(), ["check"]).await.unwrap();
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    let made = ["there/audit.jsonl", "state.redb"].map(|name| setup.folder().join(name).exists());
    assert_eq!(made, [false, false]);
}

#[tokio::test]
async fn tools_can_be_checked_listed_and_called_without_an_agent() {
    let upstream = Upstream::start().await.unwrap();
    let setup = probe(&upstream).await;
    let checked = cli(setup.folder(), ["check"]).await.unwrap();
    assert!(checked.status.success(), "{}", err(&checked));
    let listed = cli(setup.folder(), ["tools"]).await.unwrap();
    assert!(listed.status.success() && out(&listed).contains("probe_read"), "{}", err(&listed));
    let called = cli(setup.folder(), ["call", "probe_read", r#"{"path":"x"}"#]).await.unwrap();
    assert!(called.status.success(), "{}", err(&called));
    let result: Value = serde_json::from_slice(&called.stdout).unwrap();
    assert!(result["text"].is_string(), "{result}");
    let failed = cli(setup.folder(), ["call", "probe_trap", "{}"]).await.unwrap();
    assert!(!failed.status.success(), "a fault is not a success");
    assert!((out(&failed) + &err(&failed)).contains("connector_failed"), "{}", err(&failed));
}

#[tokio::test]
async fn components_can_be_compiled_ahead() {
    let setup = Setup::new().unwrap();
    let component = artifacts::probe().unwrap();
    let arguments = ["compile", "--cache", "compiled", component.to_str().unwrap()];
    let compiled = cli(setup.folder(), arguments).await.unwrap();
    assert!(compiled.status.success(), "{}", err(&compiled));
    assert_eq!(std::fs::read_dir(setup.folder().join("compiled")).unwrap().count(), 1);
    setup.file("broken.wasm", "not a component").unwrap();
    let refused = cli(setup.folder(), ["compile", "broken.wasm"]).await.unwrap();
    assert_eq!(refused.status.code(), Some(BAD_CONFIGURATION), "{}", err(&refused));
}

#[tokio::test]
async fn a_running_one_is_asked_for_its_status_over_either_kind_of_control() {
    let upstream = Upstream::start().await.unwrap();
    let setup = probe(&upstream).await;
    let socket = setup.folder().join("control.sock");
    let over_a_socket = Ferrata::start(setup.with(&["admin", "control"], json!(socket))).await.unwrap();
    let status = cli(over_a_socket.setup().folder(), ["status"]).await.unwrap();
    let said: Value = serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("{}", err(&status)));
    assert_eq!(said["connectors"]["probe"]["state"], "ready", "{said}");

    let over_tcp = Ferrata::start(probe(&upstream).await).await.unwrap();
    let address = over_tcp.status_url().replace("http://", "").replace("/status", "");
    let status = cli(over_tcp.setup().folder(), ["status", "--control", &address]).await.unwrap();
    assert!(out(&status).contains("probe_read"), "{}", err(&status));

    over_tcp.stop().await.unwrap();
    let nobody = cli(over_a_socket.setup().folder(), ["status", "--control", &address]).await.unwrap();
    assert!(!nobody.status.success() && err(&nobody).contains("does not answer"), "{}", err(&nobody));
}

#[tokio::test]
async fn the_schema_of_the_configuration_is_published() {
    let setup = Setup::new().unwrap();
    let schema = cli(setup.folder(), ["schema"]).await.unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["type"], json!("object"));
    assert!(schema["properties"]["connectors"].is_object());
}
