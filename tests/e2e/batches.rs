//! Calls that wait for the same permit, and travel as one.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::deeds::Deed;
use crate::{done, fault};

/// A sidecar whose connector may have one exchange under way, which the returned call has, until it is released.
async fn busy() -> (Upstream, Ferrata, JoinHandle<Outcome>) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::probe(&setup, &upstream).unwrap();
    connector["limits"] = json!({ "api": ["1 concurrent"] });
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    upstream.reply(Reply::Held);
    let mcp = ferrata.mcp();
    let first = tokio::spawn(async move { mcp.call(&Deed::Read.tool(), json!({})).await.unwrap() });
    upstream.holds(1).await.unwrap();
    (upstream, ferrata, first)
}

fn collect(mcp: Mcp, id: &'static str) -> JoinHandle<Outcome> {
    tokio::spawn(async move { mcp.call(&Deed::Collect.tool(), json!({ "id": id })).await.unwrap() })
}

/// Waits until so many calls have joined another.
async fn joined(ferrata: &Ferrata, calls: usize) {
    let line = format!("ferrata_batch_joins_total{{tool=\"probe_collect\"}} {calls}");
    let admin = ferrata.admin();
    let counted = async || {
        let metrics = admin.get("/metrics").await.ok()?.text();
        metrics.lines().any(|counter| counter == line).then_some(())
    };
    wait::until("calls to join", counted).await.unwrap();
}

/// Waits until somebody waits in front of the upstream's walls.
async fn waits(ferrata: &Ferrata) {
    let control = ferrata.control();
    let waiting = async || {
        let status = control.get("/status").await.ok()?.json();
        let accounts = status["accounts"].as_array()?;
        accounts.iter().any(|account| account["waiting"]["calls"] == 1).then_some(())
    };
    wait::until("a call to wait", waiting).await.unwrap();
}

#[tokio::test]
async fn calls_that_wait_for_the_same_permit_are_one_request() {
    let (upstream, ferrata, first) = busy().await;
    let calls = ["a", "b", "missing"].map(|id| collect(ferrata.mcp(), id));
    joined(&ferrata, 2).await;
    upstream.release();
    done(first.await.unwrap());
    let [a, b, missing] = calls;
    let told = [done(a.await.unwrap()), done(b.await.unwrap())].map(|done| done["text"].clone());
    assert_eq!(told, ["a of 3", "b of 3"]);
    // The failure of one is its own.
    fault(missing.await.unwrap(), "not_found");
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_is_made_one_by_one() {
    let (upstream, ferrata, first) = busy().await;
    let calls = ["a", "b"].map(|id| collect(ferrata.mcp(), id));
    joined(&ferrata, 1).await;
    upstream.reply(Reply::Answer(StatusCode::BAD_REQUEST, Vec::new(), String::new()));
    upstream.release();
    first.await.unwrap();
    for (call, text) in calls.into_iter().zip(["a of 1", "b of 1"]) {
        assert_eq!(done(call.await.unwrap())["text"], text);
    }
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn who_leaves_a_batch_takes_nobody_along() {
    let (upstream, ferrata, first) = busy().await;
    let [a, b] = ["a", "b"].map(|id| collect(ferrata.mcp(), id));
    joined(&ferrata, 1).await;
    a.abort();
    // Its connection is gone before the batch goes.
    a.await.unwrap_err();
    upstream.release();
    first.await.unwrap();
    let text = done(b.await.unwrap())["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("b of "), "{text}");
}

#[tokio::test]
async fn calls_that_wait_for_a_permit_hold_no_sandbox() {
    let (upstream, ferrata, first) = busy().await;
    let call = collect(ferrata.mcp(), "a");
    waits(&ferrata).await;
    let status = ferrata.control().get("/status").await.unwrap().json();
    assert_eq!(status["connectors"]["probe"]["sandboxes_in_use"], 1, "{status}");
    upstream.release();
    first.await.unwrap();
    done(call.await.unwrap());
}
