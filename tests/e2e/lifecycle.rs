//! Start, connectors that cannot be loaded, cancellation, drain.

use std::process::Stdio;

use ferrata_tests::ferrata::{self, Ferrata};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{artifacts, connectors, needs, wait};
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
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
    let mut locked = good.clone();
    locked["credentials"]["bot"]["token"] = json!("./secrets/absent");
    let setup = setup
        .connector("locked", locked)
        .connector("broken", with_component("broken.wasm"))
        .connector("future", with_component("future.wasm"))
        .connector("missing", with_component("missing.wasm"))
        .connector("greedy", greedy)
        .connector("good", good);
    let ferrata = Ferrata::start(setup).await.unwrap();
    done(ferrata.mcp().call("good_read", json!({})).await.unwrap());
    let locked = ferrata.mcp().call("locked_read", json!({})).await.unwrap();
    assert!(["unavailable", "credential_dead"].contains(&locked.kind()), "{locked:?}");

    let status = ferrata.control().get("/status").await.unwrap();
    assert_eq!(status.status, StatusCode::OK, "{}", status.text());
    let said = status.text();
    for words in ["0.9.0", "0.1.0", "missing.wasm", "other", "secrets/absent"] {
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
    let agent = ferrata.agent();
    assert_eq!(agent.get("/v1/tools").await.unwrap().status, StatusCode::OK, "and is kept alive");
    ferrata.terminate().unwrap();
    wait::until("the listener to close", async || agent.get("/v1/tools").await.is_err().then_some(()))
        .await
        .unwrap();
    let (ready, alive) = (ferrata.admin().get("/readyz").await, ferrata.admin().get("/livez").await);
    assert_eq!(ready.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(alive.unwrap().status, StatusCode::OK, "a drain is no reason to be killed");
    upstream.release();
    done(call.await.unwrap().unwrap());
    assert_eq!(ferrata.ended().await.unwrap().code(), Some(0), "{}", ferrata.log());
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_cut_and_the_exit_is_still_in_order() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("probe", connector).with(&["agent", "drain"], json!("200ms"));
    let mut ferrata = Ferrata::start(setup).await.unwrap();
    upstream.reply(Reply::Held);
    let mcp = ferrata.mcp();
    let call = tokio::spawn(async move { mcp.call("probe_read", json!({})).await.is_err() });
    upstream.holds(1).await.unwrap();
    ferrata.terminate().unwrap();
    // Nobody releases the upstream: only the bound ends this.
    assert_eq!(ferrata.ended().await.unwrap().code(), Some(0), "{}", ferrata.log());
    assert!(call.await.unwrap(), "the agent's connection ends, and is no empty answer");
    assert!(ferrata.log().contains("connections were cut"), "{}", ferrata.log());
    upstream.holds(0).await.unwrap();
}

#[tokio::test]
async fn sigterm_ends_a_start_that_still_compiles() {
    let Some(large) = needs("the guests of tests/guests/build", artifacts::foreign_guest("python")) else {
        return;
    };
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::guest(&setup, &large, &upstream).unwrap();
    let control = setup.folder().join("control.sock");
    let setup = setup.connector("slow", connector).with(&["admin", "control"], json!(control));
    let mut command = ferrata::command().unwrap();
    command.env("FERRATA_CACHE_FOLDER", setup.folder().join("cache"));
    command.arg("run").arg("--config").arg(setup.write().unwrap()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait::until("the control socket", async || control.exists().then_some(())).await.unwrap();
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::time::timeout(wait::PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{log}");
    assert!(!log.contains("connector loaded"), "it waited for the compiler: {log}");
}

#[tokio::test]
async fn without_a_home_components_are_compiled_each_time_and_that_is_said() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("probe", connector);
    let config = setup.write().unwrap();
    let mut command = ferrata::command().unwrap();
    command.env_clear().arg("check").arg("--config").arg(config);
    let checked = command.output().await.unwrap();
    let log = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{log}");
    assert!(log.contains("compiled components are not kept") && log.contains("HOME"), "{log}");
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
