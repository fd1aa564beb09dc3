//! Who may call what, and from where.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use http::{Method, StatusCode};
use serde_json::json;

use crate::{done, fault};

const READER: &str = "token-of-the-reader";
const OTHER: &str = "token-of-the-other";

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    setup.file("agents/reader", format!("{READER}\n")).unwrap();
    setup.file("agents/other", OTHER).unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let only_reports = json!({ "properties": { "path": { "pattern": "^reports/" } }, "required": ["path"] });
    let setup =
        setup.connector("probe", connector).with(&["agent", "auth"], json!({ "tokens": "agents" })).with(
            &["access", "reader"],
            json!({ "allow": ["probe_re*"], "arguments": { "probe_read": only_reports } }),
        );
    (upstream, Ferrata::start(setup).await.unwrap())
}

fn agent(ferrata: &Ferrata, token: &str) -> Mcp {
    Mcp::new(ferrata.agent().with("authorization", &format!("Bearer {token}")).unwrap())
}

#[tokio::test]
async fn without_a_known_token_nobody_is_an_agent() {
    let (_upstream, ferrata) = start().await;
    for client in [ferrata.agent(), ferrata.agent().with("authorization", "Bearer nobody").unwrap()] {
        let refused = client.get("/v1/tools").await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(Mcp::new(client).tools().await.is_err());
    }
}

#[tokio::test]
async fn an_agent_sees_and_calls_what_it_was_given() {
    let (upstream, ferrata) = start().await;
    let reader = agent(&ferrata, READER);
    let names: Vec<_> = reader.tools().await.unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["probe_read", "probe_remember"]);
    assert!(reader.call("probe_trap", json!({})).await.is_err(), "a tool that it cannot see is unknown");
    done(reader.call("probe_read", json!({ "path": "reports/1" })).await.unwrap());
    fault(reader.call("probe_read", json!({ "path": "salaries" })).await.unwrap(), "permission_denied");
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(
        agent(&ferrata, OTHER).tools().await.unwrap().len(),
        0,
        "an agent without an entry has nothing"
    );
}

#[tokio::test]
async fn no_second_or_misspelled_argument_passes_a_constraint() {
    let (upstream, ferrata) = start().await;
    let reader = ferrata.agent().with("authorization", &format!("Bearer {READER}")).unwrap();
    for (arguments, member) in [
        (r#"{"path":"salaries","path":"reports/1"}"#, "`path`"),
        (r#"{"path":"reports/1","Path":"salaries"}"#, "`Path`"),
    ] {
        let refused = reader.send(Method::POST, "/v1/tools/probe_read", arguments.into()).await.unwrap();
        let problem = refused.json();
        assert_eq!(problem["kind"], "invalid_arguments", "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(member), "{problem}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_browser_page_from_elsewhere_is_refused() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    for (name, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        let client = ferrata.agent().with(name, value).unwrap();
        let refused = client.get("/v1/tools").await.unwrap();
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}: {}", refused.text());
    }
}
