//! Resources: read as a tool is called, named below their connector, and seen by those who may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use serde_json::{Value, json};

/// How often a read is sent before it is given up.
const ATTEMPTS: usize = 3;

/// Two connectors of one component, so that each could take the other's for its own.
async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::desk_and_shop(&upstream).unwrap()).await.unwrap();
    (upstream, ferrata)
}

async fn listed(mcp: &Mcp, method: &str, list: &str, member: &str) -> Vec<Value> {
    let result = mcp.request(method, json!({})).await.unwrap();
    result[list].as_array().unwrap().iter().map(|entry| entry[member].clone()).collect()
}

async fn uris(mcp: &Mcp) -> Vec<Value> {
    listed(mcp, "resources/list", "resources", "uri").await
}

async fn read(mcp: &Mcp, uri: &str) -> Value {
    mcp.exchange("resources/read", json!({ "uri": uri })).await.unwrap()
}

#[tokio::test]
async fn each_connectors_resources_stand_below_its_name() {
    let (upstream, ferrata) = start().await;
    let mcp = ferrata.mcp();
    let all = ["desk://static-text", "desk://static-binary", "shop://static-text", "shop://static-binary"];
    assert_eq!(uris(&mcp).await, all);
    let templates = listed(&mcp, "resources/templates/list", "resourceTemplates", "uriTemplate").await;
    assert_eq!(templates, ["desk://template/{id}/data", "shop://template/{id}/data"]);

    upstream.reply(Reply::Answer(StatusCode::OK, Vec::new(), "All is well.".to_owned()));
    let text = read(&mcp, "desk://static-text").await["result"].take();
    let content = json!({ "uri": "desk://static-text", "mimeType": "text/plain", "text": "All is well." });
    assert_eq!(text["contents"], json!([content]));
    assert_eq!((&text["ttlMs"], &text["cacheScope"]), (&json!(0), &json!("private")));
    assert_eq!(upstream.seen().len(), 1);
    let picture = read(&mcp, "shop://static-binary").await["result"]["contents"][0].take();
    let bytes = STANDARD.decode(picture["blob"].as_str().unwrap()).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{picture}");
    let data = read(&mcp, "shop://template/123/data").await["result"]["contents"][0].take();
    assert_eq!(data["uri"], "shop://template/123/data");
    assert!(data["text"].as_str().unwrap().contains("Data for ID: 123"), "{data}");
}

#[tokio::test]
async fn what_does_not_exist_is_said_and_never_empty() {
    let (upstream, ferrata) = start().await;
    let mcp = ferrata.mcp();
    for uri in [
        "desk://nothing",
        "desk://template/999/data",
        "desk://template/a%2Fb/data",
        "desk://template/123/data?x=y",
        "desk://template/../static-text",
        "desk:///static-text",
        "Desk://static-text",
        "nobody://static-text",
        "static-text",
    ] {
        let error = read(&mcp, uri).await["error"].take();
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32602), &json!(uri)), "{error}");
        assert_eq!(error["data"]["dev.ferrata/fault"]["kind"], "not_found", "{error}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_system_that_is_down_is_no_missing_resource() {
    let (upstream, ferrata) = start().await;
    for _ in 0..ATTEMPTS {
        upstream.reply(Reply::Answer(StatusCode::SERVICE_UNAVAILABLE, Vec::new(), String::new()));
    }
    let error = read(&ferrata.mcp(), "desk://static-text").await["error"].take();
    let record = &error["data"]["dev.ferrata/fault"];
    assert_eq!((&error["code"], &record["kind"]), (&json!(-32603), &json!("unavailable")), "{error}");
    assert_eq!((&record["system"], &record["retryable"]), (&json!("desk"), &json!(true)), "{error}");
    assert!(error["message"].as_str().unwrap().contains("unknown, not empty"), "{error}");
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    let counted = "ferrata_requests_total{method=\"resources/read\",name=\"desk://static-text\",outcome=\"unavailable\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn values_are_suggested_for_a_variable() {
    let (_upstream, ferrata) = start().await;
    let mcp = ferrata.mcp();
    let complete = async |template: &str, argument: &str, value: &str| {
        let reference = json!({ "type": "ref/resource", "uri": template });
        let argument = json!({ "name": argument, "value": value });
        mcp.exchange("completion/complete", json!({ "ref": reference, "argument": argument })).await.unwrap()
    };
    let suggested = complete("desk://template/{id}/data", "id", "12").await;
    assert_eq!(suggested["result"]["completion"], json!({ "values": ["123", "124"], "hasMore": false }));
    for (template, argument) in [
        ("desk://template/{id}/data", "other"),
        ("desk://static-text", "id"),
        ("nobody://template/{id}/data", "id"),
    ] {
        assert_eq!(complete(template, argument, "12").await["error"]["code"], -32602, "{template}");
    }
}

#[tokio::test]
async fn an_agent_sees_and_reads_what_it_was_given() {
    let upstream = Upstream::start().await.unwrap();
    let setup =
        connectors::desk_and_shop(&upstream).unwrap().with(&["agent", "auth"], json!({ "tokens": "agents" }));
    // A connector's tools are not its resources.
    let rules = [
        ("tools", json!(["desk_*"])),
        ("all", json!(["desk://*"])),
        ("one", json!(["desk://template/123/*", "shop://template/*"])),
        ("none", json!([])),
    ];
    let setup = rules.iter().fold(setup, |setup, (agent, allow)| {
        setup.file(&format!("agents/{agent}"), format!("token-of-the-agent-{agent}")).unwrap();
        setup.with(&["access", agent], json!({ "allow": allow }))
    });
    let ferrata = Ferrata::start(setup).await.unwrap();
    let agent = |name: &str| {
        let bearer = format!("Bearer token-of-the-agent-{name}");
        Mcp::new(ferrata.agent().with("authorization", &bearer).unwrap())
    };
    for (name, single, templates) in [
        ("tools", &[][..], &[][..]),
        ("all", &["desk://static-text", "desk://static-binary"], &["desk://template/{id}/data"]),
        ("one", &[], &["shop://template/{id}/data"]),
        ("none", &[], &[]),
    ] {
        let mcp = agent(name);
        assert_eq!(uris(&mcp).await, single, "{name}");
        let listed = listed(&mcp, "resources/templates/list", "resourceTemplates", "uriTemplate").await;
        assert_eq!(listed, templates, "{name}");
        let announced = mcp.request("server/discover", json!({})).await.unwrap()["capabilities"].take();
        let some = !single.is_empty() || !templates.is_empty();
        assert_eq!(announced.get("resources").is_some(), some, "{name}: {announced}");
    }
    let may = async |name: &str, uri: &str| read(&agent(name), uri).await.get("result").is_some();
    assert!(may("all", "desk://template/200/data").await && may("one", "desk://template/123/data").await);
    for (name, uri) in [
        ("tools", "desk://static-text"),
        ("all", "shop://static-text"),
        ("one", "desk://template/124/data"),
        ("one", "desk://template/123/../124/data"),
        ("one", "desk://static-text"),
        ("none", "desk://static-text"),
    ] {
        assert!(!may(name, uri).await, "{name} {uri}");
    }
}
