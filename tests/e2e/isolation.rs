//! One sick system and the others, in real time. Counted, not measured: what a healthy system is asked ends while nothing that the sick one is asked does.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use futures_util::future::join_all;
use serde_json::json;

use crate::done;

/// Sandboxes of each connector; what hangs takes all of its own.
const SANDBOXES: usize = 4;

/// Calls of the sick system: some hang in a sandbox, the others wait for one or are refused.
const HANGING: usize = 4 * SANDBOXES;

/// Calls of the healthy one, so many at a time.
const CALLS: usize = 100;
const AT_ONCE: usize = 2;

#[tokio::test]
async fn a_healthy_system_is_asked_as_ever_while_another_hangs() {
    let (sick, well) = (Upstream::start().await.unwrap(), Upstream::start().await.unwrap());
    let setup = Setup::new().unwrap();
    let probe = |upstream| {
        let mut connector = connectors::probe(&setup, upstream).unwrap();
        connector["sandbox"] = json!({ "concurrent": SANDBOXES });
        connector["limits"] = json!({ "api": ["1000000/h"] });
        connector
    };
    let (sick_probe, well_probe) = (probe(&sick), probe(&well));
    let ferrata =
        Ferrata::start(setup.connector("sick", sick_probe).connector("well", well_probe)).await.unwrap();
    (0..HANGING).for_each(|_| sick.reply(Reply::Held));
    let hanging: Vec<_> = (0..HANGING)
        .map(|_| {
            let mcp = ferrata.mcp();
            tokio::spawn(async move { mcp.call("sick_read", json!({})).await })
        })
        .collect();
    sick.holds(SANDBOXES).await.unwrap();

    for _ in 0..CALLS / AT_ONCE {
        let calls = (0..AT_ONCE).map(async |_| ferrata.mcp().call("well_read", json!({})).await.unwrap());
        join_all(calls).await.into_iter().for_each(|outcome| drop(done(outcome)));
    }
    assert_eq!(well.seen().len(), CALLS);
    // Nothing of the other has ended meanwhile.
    sick.holds(SANDBOXES).await.unwrap();
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    let status = ferrata.control().get("/status").await.unwrap().json();
    let account = |name: &str| {
        let mut accounts = status["accounts"].as_array().unwrap().iter();
        accounts.find(|account| account["account"] == name && account["upstream"] == "api").unwrap().clone()
    };
    assert_eq!(account("well")["walls"][0]["used"], CALLS);
    assert_eq!(account("well")["waiting"]["calls"], 0);
}
