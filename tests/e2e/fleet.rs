//! Sidecars that share a quota, and sidecars that die: what is used stays used. The stand-in counts what arrives.

use std::time::Duration;

use ferrata_test_redis::RedisServer;
use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::wait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::deeds::Deed;
use crate::{done, within};

/// A wall that is met again and again, and one that is used up: counts, and the span of the first.
const OFTEN: usize = 12;
const SPAN: Duration = Duration::from_secs(4);
const QUOTA: usize = 40;

const SIDECARS: usize = 3;
/// Of each sidecar, all at once.
const CALLERS: usize = 2;

/// What a caller waits after a refusal, so as not to hold up the store that it waits for; and far longer than all may take.
const REST: Duration = Duration::from_millis(20);
const PLENTY: Duration = Duration::from_secs(180);

/// What may be lost with one sidecar: leased or reserved, and never spent.
const WASTE: usize = 6;

/// Longer than any wait for the wall that is met often, far shorter than for the other.
const PATIENT: Duration = Duration::from_secs(20);

/// A sidecar whose counts are kept as `state` says.
fn sidecar(setup: Setup, upstream: &Upstream, state: Value) -> Setup {
    let mut connector = connectors::probe(&setup, upstream).unwrap();
    connector["upstreams"]["api"]["account"] = json!("acme");
    connector["limits"] = json!({ "api": [format!("{OFTEN}/{}s", SPAN.as_secs()), format!("{QUOTA}/h")] });
    setup.connector("probe", connector).with(&["state"], state)
}

async fn read(mcp: &Mcp) -> ferrata_tests::Result<Outcome> {
    mcp.call_with(&Deed::Read.tool(), json!({ "path": "same" }), within(PATIENT)).await
}

/// Calls until the quota is used up, or nobody is there to answer. A machine with much to do lets the store be slow: no reason to end.
async fn spend(mcp: Mcp) {
    let used_up = async {
        loop {
            match read(&mcp).await {
                Ok(Outcome::Done(_)) => {}
                Ok(Outcome::Fault(fault)) if fault.kind() != "quota_exhausted" => {
                    tokio::time::sleep(REST).await
                }
                Ok(Outcome::Fault(_)) | Err(_) => return,
            }
        }
    };
    tokio::time::timeout(PLENTY, used_up).await.expect("the quota is not used up");
}

fn judge(upstream: &Upstream) {
    let times: Vec<_> = upstream.seen().iter().map(|seen| seen.at).collect();
    let arrived = times.len();
    assert!((QUOTA - WASTE..=QUOTA).contains(&arrived), "{arrived} arrived of {QUOTA}");
    for (first, time) in times.iter().enumerate() {
        let together = times[first..].iter().take_while(|later| **later <= *time + SPAN).count();
        assert!(together <= OFTEN, "{together} arrived within {SPAN:?}, and {OFTEN} may");
    }
}

#[tokio::test]
async fn a_fleet_on_one_redis_never_passes_a_wall_whoever_dies() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start().await.unwrap();
    let state = json!({ "redis": redis.url() });
    let start = || Ferrata::start(sidecar(Setup::new().unwrap(), &upstream, state.clone()));
    let mut fleet = try_join_all((0..SIDECARS).map(|_| start())).await.unwrap();
    let mut callers = JoinSet::new();
    for ferrata in fleet.iter().flat_map(|ferrata| [ferrata; CALLERS]) {
        callers.spawn(spend(ferrata.mcp()));
    }
    let half = async || (upstream.seen().len() >= QUOTA / 2).then_some(());
    wait::until("half of the quota to be used", half).await.unwrap();
    let before = fleet.swap_remove(0).kill().await.unwrap();
    let again = Ferrata::start(before).await.unwrap();
    for _ in 0..CALLERS {
        callers.spawn(spend(again.mcp()));
    }
    callers.join_all().await;
    judge(&upstream);
}

#[tokio::test]
async fn a_kill_gives_back_nothing_that_was_written_down() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let file = setup.folder().join("state.redb");
    let ferrata = Ferrata::start(sidecar(setup, &upstream, json!({ "file": file }))).await.unwrap();
    for _ in 0..QUOTA / 2 {
        done(read(&ferrata.mcp()).await.unwrap());
    }
    let ferrata = Ferrata::start(ferrata.kill().await.unwrap()).await.unwrap();
    let status = ferrata.control().get("/status").await.unwrap().json();
    let accounts = status["accounts"].as_array().unwrap().iter();
    let mut walls = accounts.flat_map(|account| account["walls"].as_array().unwrap());
    let wall = walls.find(|wall| wall["wall"] == format!("{QUOTA}/h")).unwrap();
    assert!(wall["used"].as_u64().unwrap() >= QUOTA as u64 / 2, "{wall}");
    spend(ferrata.mcp()).await;
    judge(&upstream);
}
