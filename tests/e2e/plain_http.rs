//! `/v1/tools`, for agents without MCP.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use serde_json::json;

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

#[tokio::test]
async fn tools_are_listed_in_a_stable_order() {
    let (_upstream, ferrata) = start().await;
    let listed = ferrata.agent().get("/v1/tools").await.unwrap();
    assert_eq!(listed.status, StatusCode::OK);
    let names = |answer: &ferrata_tests::http::Answer| {
        let tools = answer.json()["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&listed).contains(&"probe_read".to_owned()), "{}", listed.text());
    let again = ferrata.agent().get("/v1/tools").await.unwrap();
    assert_eq!(names(&listed), names(&again));
}

#[tokio::test]
async fn a_result_is_the_body_and_a_fault_a_problem() {
    let (upstream, ferrata) = start().await;
    let agent = ferrata.agent();
    let read = agent.post("/v1/tools/probe_read", &json!({ "path": "x" })).await.unwrap();
    assert_eq!(read.status, StatusCode::OK, "{}", read.text());

    upstream.reply(Reply::Answer(StatusCode::TOO_MANY_REQUESTS, vec![("retry-after", "30")], String::new()));
    let limited = agent.post("/v1/tools/probe_read", &json!({ "path": "x" })).await.unwrap();
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.header("content-type"), "application/problem+json");
    let seconds: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
    let problem = limited.json();
    assert_eq!(problem["status"], 429);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");

    let unknown = agent.post("/v1/tools/probe_nothing", &json!({})).await.unwrap();
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let wrong = agent.post("/v1/tools/probe_read", &json!([])).await.unwrap();
    assert!(wrong.status.is_client_error(), "{}", wrong.text());
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_trace_goes_on_to_the_upstream() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (upstream, ferrata) = start().await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let agent = ferrata.agent().with("traceparent", &parent).unwrap();
    agent.post("/v1/tools/probe_read", &json!({ "path": "x" })).await.unwrap();
    let passed_on = upstream.seen()[0].header("traceparent").to_owned();
    assert!(passed_on.contains(TRACE) && passed_on != parent, "{passed_on}");
    assert!(ferrata.log().contains(TRACE), "{}", ferrata.log());
}
