//! What a connector cannot do, tried by the probe (`tests/guests/probe`).

use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::json;

use crate::deeds::Deed;
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

    async fn call(&self, deed: Deed) -> ferrata_tests::mcp::Outcome {
        deed.call(&self.ferrata, json!({})).await
    }
}

#[tokio::test]
async fn a_secret_reaches_the_upstream_and_never_the_guest() {
    let probe = Probe::start().await;
    // The upstream answers with the request's headers: whatever the guest can see, the agent sees.
    let reflected = done(probe.call(Deed::Read).await)["text"].to_string();
    let seen = probe.upstream.seen();
    assert_eq!(seen[0].header("authorization"), format!("Bearer {GUEST_TOKEN}"));
    assert!(reflected.contains("authorization: Bearer [redacted]"), "{reflected}");
    assert!(!reflected.contains(GUEST_TOKEN) && !probe.ferrata.log().contains(GUEST_TOKEN));
}

#[tokio::test]
async fn a_secret_goes_nowhere_but_where_it_belongs() {
    let probe = Probe::start().await;
    for misdeed in
        [Deed::SecretInBody, Deed::SecretInHeader, Deed::SecretElsewhere, Deed::Undeclared, Deed::Stronger]
    {
        let outcome = probe.call(misdeed).await;
        assert_ne!(outcome.kind(), "ok", "{misdeed:?}: {outcome:?}");
    }
    assert_eq!(probe.upstream.seen().len(), 0, "something was sent");
}

#[tokio::test]
async fn a_runaway_guest_is_ended_and_the_next_call_is_served() {
    let probe = Probe::start().await;
    for (misdeed, kind) in [
        (Deed::Spin, "connector_failed"),
        (Deed::Grow, "connector_failed"),
        (Deed::Trap, "connector_failed"),
        (Deed::Nonsense, "connector_failed"),
        (Deed::Usurp, "connector_failed"),
        (Deed::WrongShape, "schema_mismatch"),
    ] {
        fault(probe.call(misdeed).await, kind);
        done(probe.call(Deed::Read).await);
    }
}

#[tokio::test]
async fn a_result_has_a_largest_size_and_a_log_too() {
    let probe = Probe::start().await;
    let overflow = async |bytes: u32| Deed::Overflow.call(&probe.ferrata, json!({ "bytes": bytes })).await;
    done(overflow(60_000).await);
    assert_ne!(overflow(70_000).await.kind(), "ok");
    done(probe.call(Deed::Chatter).await);
    let log = probe.ferrata.log();
    assert!(log.len() < 1_000_000, "the guest's log was not cut: {} bytes", log.len());
}

#[tokio::test]
async fn a_guest_can_say_as_much_as_it_likes_and_is_heard_a_little() {
    let probe = Probe::start().await;
    done(probe.call(Deed::Complain).await);
    done(probe.call(Deed::Mutter).await);
    let lines = probe.ferrata.log().lines().filter(|line| line.contains("ferrata::guest")).count();
    assert!((1..1000).contains(&lines), "{lines} lines of log in one call");
    // What follows standard error's flood is still the log line of a trap.
    fault(probe.call(Deed::Trap).await, "connector_failed");
    wait::until("the guest's last words", async || probe.ferrata.log().contains("as asked").then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_reused_sandbox_remembers_for_one_agent_only() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    for agent in ["one", "other"] {
        setup.file(&format!("agents/{agent}"), format!("long-secret-token-of-{agent}")).unwrap();
    }
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup
        .with(&["sandbox"], json!({ "reuse": true }))
        .with(&["agent", "auth"], json!({ "tokens": "agents" }));
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    for (agent, calls) in [("one", 1), ("one", 2), ("other", 1), ("one", 3)] {
        let client =
            ferrata.agent().with("authorization", &format!("Bearer long-secret-token-of-{agent}")).unwrap();
        let told =
            done(Mcp::new(client).call("probe_remember", json!({})).await.unwrap())["text"].to_string();
        assert!(told.contains(&format!("memory {calls}, cache {calls}")), "{agent}: {told}");
    }
}

#[tokio::test]
async fn two_connectors_of_one_component_are_strangers() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("east", connector.clone()).connector("west", connector);
    let ferrata = Ferrata::start(setup).await.unwrap();
    for (connector, calls) in [("east", 1), ("east", 2), ("west", 1)] {
        let tool = format!("{connector}_remember");
        let told = done(ferrata.mcp().call(&tool, json!({})).await.unwrap())["text"].to_string();
        assert!(told.contains(&format!("{connector}: memory 1, cache {calls}")), "{told}");
    }
}

#[tokio::test]
async fn calls_beyond_the_bounds_are_refused_and_the_places_come_back() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.with(&["sandbox"], json!({ "concurrent": 3, "parked": 2, "waiting": 1 }));
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    let held = || {
        upstream.reply(Reply::Held);
        let mcp = ferrata.mcp();
        tokio::spawn(async move { mcp.call("probe_read", json!({})).await.unwrap() })
    };
    let calls = [held(), held()];
    upstream.holds(2).await.unwrap();
    // A third finds a sandbox, and no place to wait for the upstream; one that needs no upstream is served.
    let refused = fault(ferrata.mcp().call("probe_read", json!({})).await.unwrap(), "overloaded");
    assert!(refused.data["retry_at"].is_string());
    done(ferrata.mcp().call("probe_remember", json!({})).await.unwrap());
    upstream.release();
    for call in calls {
        done(call.await.unwrap());
    }
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
}

#[tokio::test]
async fn each_call_has_a_sandbox_of_its_own() {
    let probe = Probe::start().await;
    for call in 1..=3 {
        let told = done(probe.call(Deed::Remember).await)["text"].to_string();
        assert!(told.contains("memory 1,") && told.contains(&format!("cache {call}")), "{told}");
    }
}

#[tokio::test]
async fn what_the_status_says_counts_whatever_the_guest_claims() {
    let probe = Probe::start().await;
    // The probe claims `ok` for every answer.
    let too_many = Reply::Answer(StatusCode::TOO_MANY_REQUESTS, vec![("retry-after", "30")], String::new());
    probe.upstream.reply(too_many);
    let limited = fault(probe.call(Deed::Read).await, "rate_limited");
    assert!(limited.data["retry_at"].is_string());
}
