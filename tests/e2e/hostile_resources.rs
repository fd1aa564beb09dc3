//! Connectors whose resources or prompts break their contract, tried by the probe: refused where they are loaded, or where they are read.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use serde_json::{Value, json};

use crate::idle;

async fn start(sandbox: Value, settings: Value) -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap().with(&["sandbox"], sandbox);
    let mut connector = connectors::probe(&setup, &upstream).unwrap();
    connector["settings"] = settings;
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

/// How reading each of the probe's resources ends. One that is missing here, or there, fails the test.
const READINGS: [(&str, &str); 8] = [
    ("spin", "it used more than"),
    ("write", "inside a call of effect `read`"),
    ("nothing", "0 documents"),
    ("flood", "failed"),
    ("many", "1000 documents"),
    ("stranger", "//other/x"),
    ("elsewhere", "a/../../x"),
    ("unmedia", "no media type"),
];

#[tokio::test]
async fn what_is_read_is_bounded_and_the_connectors_own() {
    let (upstream, ferrata) = start(json!({ "memory": "512MiB", "cpu": "1s" }), json!({})).await;
    let mcp = ferrata.mcp();
    let listed = mcp.request("resources/list", json!({})).await.unwrap();
    let listed: Vec<_> = listed["resources"].as_array().unwrap().iter().map(|r| r["uri"].clone()).collect();
    let known: Vec<_> = READINGS.iter().map(|(path, _)| Value::from(format!("probe://{path}"))).collect();
    assert_eq!(listed, known);
    for (path, why) in READINGS {
        let read = mcp.exchange("resources/read", json!({ "uri": format!("probe://{path}") })).await.unwrap();
        let fault = &read["error"]["data"]["dev.ferrata/fault"];
        assert_eq!(fault["kind"], "connector_failed", "{path}: {read}");
        assert!(read["error"]["message"].as_str().unwrap().contains(why), "{path}: {read}");
    }
    assert_eq!(upstream.seen().len(), 0, "something was sent");
    idle(&ferrata).await;
}

#[tokio::test]
async fn suggestions_are_bounded() {
    let (_upstream, ferrata) = start(json!({}), json!({})).await;
    let complete = async |value: &str| {
        let reference = json!({ "type": "ref/resource", "uri": "probe://suggest/{any}" });
        let argument = json!({ "name": "any", "value": value });
        let params = json!({ "ref": reference, "argument": argument });
        ferrata.mcp().exchange("completion/complete", params).await.unwrap()
    };
    let completion = complete("").await["result"]["completion"].take();
    assert_eq!(completion["values"].as_array().unwrap().len(), 100);
    assert_eq!(completion["hasMore"], true);
    let long = complete("long").await;
    assert_eq!(long["error"]["data"]["dev.ferrata/fault"]["kind"], "connector_failed", "{long}");
}

#[tokio::test]
async fn a_list_that_breaks_the_rules_is_not_loaded_and_the_status_says_why() {
    for (list, why) in [
        ("crowd", "resources"),
        ("flood", "resources"),
        ("twice", "two resources `a`"),
        ("none", "it could not list its resources"),
        ("chat://x", "its resource `chat://x`"),
        ("a/../../b", "`.` or `..`"),
        ("a/{b}{c}", "letters, digits"),
        ("", "empty"),
    ] {
        let (_upstream, ferrata) = start(json!({ "memory": "512MiB" }), json!({ "list": list })).await;
        let status = ferrata.control().get("/status").await.unwrap().json();
        let probe = &status["connectors"]["probe"];
        assert_eq!(probe["state"], "unavailable", "{list}: {probe}");
        assert!(probe["reason"].as_str().unwrap().contains(why), "{list}: {probe}");
    }
}

#[tokio::test]
async fn a_prompts_messages_are_some_and_well_formed() {
    let (_upstream, ferrata) = start(json!({ "memory": "512MiB" }), json!({})).await;
    let mcp = ferrata.mcp();
    let listed = mcp.request("prompts/list", json!({})).await.unwrap();
    let listed: Vec<_> = listed["prompts"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
    let expected = [
        ("babble", "not JSON"),
        ("garbled", "not base64"),
        ("silent", "0 messages"),
        ("torrent", "failed"),
        ("unknown_block", "unknown `type`"),
    ];
    assert_eq!(listed, expected.map(|(name, _)| format!("probe_{name}")));
    for (name, why) in expected {
        let got = mcp.exchange("prompts/get", json!({ "name": format!("probe_{name}") })).await.unwrap();
        assert_eq!(got["error"]["data"]["dev.ferrata/fault"]["kind"], "connector_failed", "{name}: {got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(why), "{name}: {got}");
    }
    idle(&ferrata).await;
}
