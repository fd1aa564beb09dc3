//! What calls have to do with each other before there is a sandbox, and what stands in for a read that cannot be had.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::http::Answer;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::{done, fault};

/// Given to calls whose answer never comes. Tests do not measure it.
const TIMEOUT_MS: &str = "300";

/// A sidecar whose connector `probe` has these members more.
async fn start(upstream: &Upstream, members: Value) -> Ferrata {
    let setup = Setup::new().unwrap();
    let connector = probe(&setup, upstream, members);
    Ferrata::start(setup.connector("probe", connector)).await.unwrap()
}

fn probe(setup: &Setup, upstream: &Upstream, members: Value) -> Value {
    let mut connector = connectors::probe(setup, upstream).unwrap();
    for (name, value) in members.as_object().unwrap() {
        connector[name] = value.clone();
    }
    connector
}

fn coalescing() -> Value {
    json!({ "coalesce": true })
}

fn stale() -> Value {
    json!({ "fallback": { "lookup": [{ "stale": "15m" }] } })
}

/// Waits until so many reads have joined another.
async fn joined(ferrata: &Ferrata, reads: usize) {
    let what = format!("{reads} reads to join");
    let admin = ferrata.admin();
    let counted = async || {
        let metrics = admin.get("/metrics").await.ok()?.text();
        let lines = metrics.lines().filter(|line| line.starts_with("ferrata_coalesced_calls_total{"));
        let count: usize = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
        (count == reads).then_some(())
    };
    wait::until(&what, counted).await.unwrap();
}

async fn read(mcp: Mcp) -> Value {
    done(mcp.call(&Deed::Read.tool(), json!({ "path": "same" })).await.unwrap())
}

#[tokio::test]
async fn identical_reads_in_flight_are_one() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, coalescing()).await;
    upstream.reply(Reply::Held);
    let first = tokio::spawn(read(ferrata.mcp()));
    upstream.holds(1).await.unwrap();
    let others: Vec<_> = (0..3).map(|_| tokio::spawn(read(ferrata.mcp()))).collect();
    joined(&ferrata, 3).await;
    upstream.release();
    let answer = first.await.unwrap();
    for other in others {
        assert_eq!(other.await.unwrap(), answer);
    }
    assert_eq!(upstream.seen().len(), 1);
    // It has landed: nothing is remembered of it.
    read(ferrata.mcp()).await;
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_take_the_others_along() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, coalescing()).await;
    upstream.reply(Reply::Held);
    let first = tokio::spawn(read(ferrata.mcp()));
    upstream.holds(1).await.unwrap();
    let other = tokio::spawn(read(ferrata.mcp()));
    joined(&ferrata, 1).await;
    first.abort();
    upstream.holds(0).await.unwrap();
    other.await.unwrap();
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn reads_of_two_agents_have_nothing_to_do_with_each_other() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    for agent in ["ann", "bob"] {
        setup.file(&format!("agents/{agent}"), format!("the-token-of-{agent}")).unwrap();
    }
    let connector = probe(&setup, &upstream, coalescing());
    let setup = setup.connector("probe", connector).with(&["agent", "auth"], json!({ "tokens": "agents" }));
    let ferrata = Ferrata::start(setup).await.unwrap();
    let agent = |name: &str| {
        Mcp::new(ferrata.agent().with("authorization", &format!("Bearer the-token-of-{name}")).unwrap())
    };
    upstream.reply(Reply::Held);
    upstream.reply(Reply::Held);
    let reads = [tokio::spawn(read(agent("ann"))), tokio::spawn(read(agent("bob")))];
    upstream.holds(2).await.unwrap();
    upstream.release();
    for read in reads {
        read.await.unwrap();
    }
}

/// One read over plain HTTP.
async fn lookup(ferrata: &Ferrata, path: &str) -> Answer {
    let agent = ferrata.agent().with("ferrata-timeout-ms", TIMEOUT_MS).unwrap();
    agent.post("/v1/tools/probe_lookup", &json!({ "path": path })).await.unwrap()
}

fn good(text: &str) -> Reply {
    Reply::Answer(StatusCode::OK, Vec::new(), text.to_owned())
}

#[tokio::test]
async fn an_earlier_answer_stands_in_for_a_system_that_is_silent_and_says_so() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, stale()).await;
    upstream.reply(good("as it was"));
    let fresh = lookup(&ferrata, "x").await;
    assert_eq!((fresh.json(), fresh.header("ferrata-stale")), (json!({ "text": "as it was" }), ""));

    upstream.reply(Reply::Held);
    let stale = lookup(&ferrata, "x").await;
    assert_eq!((stale.status, stale.json()), (StatusCode::OK, json!({ "text": "as it was" })));
    assert_eq!(stale.header("ferrata-stale"), "deadline_exceeded");
    stale.header("age").parse::<u64>().unwrap();

    // Nobody has asked for that before.
    upstream.reply(Reply::Held);
    assert_eq!(lookup(&ferrata, "y").await.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_model_reads_first_that_an_answer_is_not_current() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, stale()).await;
    upstream.reply(good("as it was"));
    lookup(&ferrata, "x").await;
    drop(upstream);
    let params = json!({ "name": "probe_lookup", "arguments": { "path": "x" } });
    let result = ferrata.mcp().request("tools/call", params).await.unwrap();
    let sentence = result["content"][0]["text"].as_str().unwrap();
    assert!(sentence.starts_with("Not current") && sentence.contains("could not be reached"), "{sentence}");
    assert_eq!(result["structuredContent"]["text"], "as it was");
    let data = &result["_meta"]["dev.ferrata/substitute"];
    assert_eq!((&data["source"], &data["reason"]), (&json!("stale"), &json!("unavailable")), "{data}");
    assert!(data["age_ms"].is_u64() && data["as_of"].is_string(), "{data}");
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    assert!(metrics.contains("outcome=\"stale\""), "{metrics}");
}

#[tokio::test]
async fn what_the_system_denies_is_not_told_from_memory_then_or_later() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, stale()).await;
    upstream.reply(good("as it was"));
    lookup(&ferrata, "x").await;
    upstream.reply(Reply::Answer(StatusCode::NOT_FOUND, Vec::new(), String::new()));
    assert_eq!(lookup(&ferrata, "x").await.status, StatusCode::NOT_FOUND);
    drop(upstream);
    let later = lookup(&ferrata, "x").await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE, "{}", later.text());
}

#[tokio::test]
async fn what_a_caller_read_before_it_wrote_is_not_told_afterwards() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream, stale()).await;
    upstream.reply(good("as it was"));
    lookup(&ferrata, "x").await;
    done(Deed::Write.call(&ferrata, json!({})).await);
    drop(upstream);
    fault(Deed::Lookup.call(&ferrata, json!({ "path": "x" })).await, "unavailable");
}

#[tokio::test]
async fn another_tool_answers_in_place_of_one_that_cannot() {
    let (primary, replica) = (Upstream::start().await.unwrap(), Upstream::start().await.unwrap());
    let setup = Setup::new().unwrap();
    let steps = json!({ "fallback": { "lookup": [{ "stale": "1s" }, { "tool": "replica_lookup" }] } });
    let connector = probe(&setup, &primary, steps);
    let spare = probe(&setup, &replica, json!({}));
    let setup = setup.connector("probe", connector).connector("replica", spare);
    let ferrata = Ferrata::start(setup).await.unwrap();
    drop(primary);
    replica.reply(good("from the replica"));
    let answer = lookup(&ferrata, "x").await;
    assert_eq!(answer.json(), json!({ "text": "from the replica" }), "{}", answer.text());
    assert_eq!(answer.header("ferrata-answered-by"), "replica_lookup");
    assert_eq!(answer.header("ferrata-fallback"), "unavailable");
    // It can fail as well, and then the agent is told of the first.
    drop(replica);
    let failed = lookup(&ferrata, "x").await;
    assert_eq!(failed.json()["system"], "probe", "{}", failed.text());
}

#[tokio::test]
async fn a_fallback_that_cannot_be_one_is_refused_at_load() {
    let upstream = Upstream::start().await.unwrap();
    for (fallback, why) in [
        (json!({ "lookup": [{ "tool": "probe_nothing" }] }), "there is no tool `probe_nothing`"),
        (json!({ "nothing": [{ "stale": "1m" }] }), "no such tool"),
        (json!({ "write": [{ "stale": "1m" }] }), "only a read"),
        (json!({ "lookup": [{ "tool": "probe_write" }] }), "only a read"),
    ] {
        let setup = Setup::new().unwrap();
        let connector = probe(&setup, &upstream, json!({ "fallback": fallback }));
        let setup = setup.connector("probe", connector);
        setup.write().unwrap();
        let checked = cli(setup.folder(), ["check"]).await.unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(65) && said.contains(why), "{fallback}: {said}");
    }
}

#[tokio::test]
async fn beyond_what_the_process_may_hold_new_calls_are_refused_and_old_ones_live() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = probe(&setup, &upstream, json!({}));
    // Less than the memory of one sandbox.
    let setup = setup.connector("probe", connector).with(&["defaults"], json!({ "memory": "512KiB" }));
    let ferrata = Ferrata::start(setup).await.unwrap();
    upstream.reply(Reply::Held);
    let first = tokio::spawn(read(ferrata.mcp()));
    upstream.holds(1).await.unwrap();
    let refused = lookup(&ferrata, "x").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.text().contains("memory"), "{}", refused.text());
    upstream.release();
    first.await.unwrap();
    crate::idle(&ferrata).await;
    assert_eq!(lookup(&ferrata, "x").await.status, StatusCode::OK);
}
