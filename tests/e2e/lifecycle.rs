//! Start, connectors that cannot be loaded, cancellation, drain.

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{artifacts, connectors, wait};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{done, fault};

async fn start(upstream: &Upstream) -> Ferrata {
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, upstream).unwrap();
    Ferrata::start(setup.connector("probe", connector)).await.unwrap()
}

/// The probe, built for a version of the interface that does not exist.
fn of_another_version() -> Vec<u8> {
    let component = std::fs::read(artifacts::probe().unwrap()).unwrap();
    let (this, other) = (b"@0.1.0", b"@0.9.0");
    let mut changed = component;
    let places: Vec<usize> = (0..changed.len() - this.len())
        .filter(|at| changed[*at..].starts_with(b"ferrata:connector/"))
        .collect();
    for place in places {
        let name = &mut changed[place..place + 64];
        if let Some(at) = name.windows(this.len()).position(|window| window == this) {
            name[at..at + this.len()].copy_from_slice(other);
        }
    }
    changed
}

#[tokio::test]
async fn a_connector_that_cannot_be_loaded_stops_no_other_and_says_why() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    setup.file("broken.wasm", "not a component").unwrap();
    setup.file("future.wasm", of_another_version()).unwrap();
    let good = connectors::probe(&setup, &upstream).unwrap();
    let with_component = |file: &str| {
        let mut connector = good.clone();
        connector["component"] = json!(file);
        connector
    };
    let mut greedy = good.clone();
    greedy["upstreams"] = json!({ "api": { "url": upstream.url() } });
    let setup = setup
        .connector("broken", with_component("broken.wasm"))
        .connector("future", with_component("future.wasm"))
        .connector("missing", with_component("missing.wasm"))
        .connector("greedy", greedy)
        .connector("good", good);
    let ferrata = Ferrata::start(setup).await.unwrap();
    done(ferrata.mcp().call("good_read", json!({})).await.unwrap());

    let status = ferrata.control().get("/status").await.unwrap();
    assert_eq!(status.status, StatusCode::OK, "{}", status.text());
    let said = status.text();
    for words in ["0.9.0", "0.1.0", "missing.wasm", "other"] {
        assert!(said.contains(words), "{words} is not in /status: {said}");
    }
}

#[tokio::test]
async fn an_agent_that_goes_away_takes_its_call_along() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    upstream.reply(Reply::Held);
    let mcp = ferrata.mcp();
    let call = tokio::spawn(async move { mcp.call("probe_read", json!({})).await.map(drop) });
    upstream.holds(1).await.unwrap();
    call.abort();
    upstream.holds(0).await.unwrap();
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
}

#[tokio::test]
async fn a_deadline_is_kept_whatever_the_upstream_does() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    upstream.reply(Reply::Held);
    let hints = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(200))]);
    let late = ferrata.mcp().call_with("probe_read", json!({}), hints).await.unwrap();
    let late = fault(late, "deadline_exceeded");
    assert_eq!(late.data["operation"], "read", "what the host knows of the wait is lost: {late:?}");
    upstream.holds(0).await.unwrap();
}

#[tokio::test]
async fn sigterm_lets_calls_finish_and_takes_no_new_ones() {
    let upstream = Upstream::start().await.unwrap();
    let mut ferrata = start(&upstream).await;
    upstream.reply(Reply::Held);
    let mcp = ferrata.mcp();
    let call =
        tokio::spawn(
            async move { mcp.call("probe_read", json!({})).await.map_err(|error| error.to_string()) },
        );
    upstream.holds(1).await.unwrap();
    ferrata.terminate().unwrap();
    let agent = ferrata.agent();
    wait::until("the listener to close", async || agent.get("/v1/tools").await.is_err().then_some(()))
        .await
        .unwrap();
    upstream.release();
    done(call.await.unwrap().unwrap());
    assert_eq!(ferrata.ended().await.unwrap().code(), Some(0), "{}", ferrata.log());
}

#[tokio::test]
async fn probes_and_metrics_answer_the_platform() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
    for path in ["/livez", "/readyz"] {
        assert_eq!(ferrata.admin().get(path).await.unwrap().status, StatusCode::OK);
    }
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    assert!(metrics.contains("probe_read"), "{metrics}");
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(metrics.contains(&format!("# HELP {family} ")), "nobody says what {family} is");
    }
    let status: Value = ferrata.control().get("/status").await.unwrap().json();
    assert!(status["connectors"].to_string().contains("probe"), "{status}");
    assert_eq!(ferrata.admin().get("/status").await.unwrap().status, StatusCode::NOT_FOUND);
}
