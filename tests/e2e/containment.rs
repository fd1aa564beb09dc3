//! What a connector cannot do, tried by the probe (`tests/guests/probe`).

use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use http::StatusCode;
use serde_json::json;

use crate::{done, fault};

struct Probe {
    upstream: Upstream,
    ferrata: Ferrata,
}

impl Probe {
    async fn start() -> Self {
        let upstream = Upstream::start().await.unwrap();
        let setup = Setup::new()
            .unwrap()
            .with(&["sandbox"], json!({ "memory": "32MiB", "cpu": "500ms", "result": "64KiB" }));
        let connector = connectors::probe(&setup, &upstream).unwrap();
        let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
        Self { upstream, ferrata }
    }

    async fn call(&self, tool: &str) -> ferrata_tests::mcp::Outcome {
        self.ferrata.mcp().call(&format!("probe_{tool}"), json!({})).await.unwrap()
    }
}

#[tokio::test]
async fn a_secret_reaches_the_upstream_and_never_the_guest() {
    let probe = Probe::start().await;
    // The upstream answers with the request's headers: whatever the guest can see, the agent sees.
    let reflected = done(probe.call("read").await)["text"].to_string();
    let seen = probe.upstream.seen();
    assert_eq!(seen[0].header("authorization"), format!("Bearer {GUEST_TOKEN}"));
    assert!(reflected.contains("authorization: Bearer [redacted]"), "{reflected}");
    assert!(!reflected.contains(GUEST_TOKEN) && !probe.ferrata.log().contains(GUEST_TOKEN));
}

#[tokio::test]
async fn a_secret_goes_nowhere_but_where_it_belongs() {
    let probe = Probe::start().await;
    for misdeed in ["secret_in_body", "secret_in_header", "secret_elsewhere", "undeclared", "stronger"] {
        let outcome = probe.call(misdeed).await;
        assert_ne!(outcome.kind(), "ok", "{misdeed}: {outcome:?}");
    }
    assert_eq!(probe.upstream.seen().len(), 0, "something was sent");
}

#[tokio::test]
async fn a_runaway_guest_is_ended_and_the_next_call_is_served() {
    let probe = Probe::start().await;
    for (misdeed, kind) in [
        ("spin", "connector_failed"),
        ("grow", "connector_failed"),
        ("trap", "connector_failed"),
        ("nonsense", "connector_failed"),
        ("usurp", "connector_failed"),
        ("wrong_shape", "schema_mismatch"),
    ] {
        fault(probe.call(misdeed).await, kind);
        done(probe.call("read").await);
    }
}

#[tokio::test]
async fn a_result_has_a_largest_size_and_a_log_too() {
    let probe = Probe::start().await;
    let overflow = async |bytes: u32| {
        probe.ferrata.mcp().call("probe_overflow", json!({ "bytes": bytes })).await.unwrap()
    };
    done(overflow(60_000).await);
    assert_ne!(overflow(70_000).await.kind(), "ok");
    done(probe.call("chatter").await);
    let log = probe.ferrata.log();
    assert!(log.len() < 1_000_000, "the guest's log was not cut: {} bytes", log.len());
}

#[tokio::test]
async fn each_call_has_a_sandbox_of_its_own() {
    let probe = Probe::start().await;
    for call in 1..=3 {
        let told = done(probe.call("remember").await)["text"].to_string();
        assert!(told.contains("memory 1,") && told.contains(&format!("cache {call}")), "{told}");
    }
}

#[tokio::test]
async fn what_the_status_says_counts_whatever_the_guest_claims() {
    let probe = Probe::start().await;
    // The probe claims `ok` for every answer.
    let too_many = ferrata_tests::upstream::Reply::Answer(
        StatusCode::TOO_MANY_REQUESTS,
        vec![("retry-after", "30")],
        String::new(),
    );
    probe.upstream.reply(too_many);
    let limited = fault(probe.call("read").await, "rate_limited");
    assert!(limited.data["retry_at"].is_string());
}
