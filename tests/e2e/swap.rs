//! A connector is replaced under load: no call fails, none is answered by what was replaced before it was made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::done;

/// Agents that call without rest.
const AGENTS: usize = 32;

/// Good editions that are swapped in; between each two, one that must be refused. `FERRATA_SWAPS` asks for another number.
const SWAPS: u64 = 60;

/// What the probe says of itself, and what the other edition says.
const MARKER: &[u8] = b"edition-A";

/// How much the resident memory may grow from a tenth of the swaps to the last, in per cent. What a short run cannot tell from the
/// noise of an allocator, `FERRATA_SWAPS=1000` can: there it is 2.
const GROWTH: u64 = 10;
const GROWTH_LONG: u64 = 2;
const LONG: u64 = 1000;

/// The component, and another edition of it.
fn editions() -> [Vec<u8>; 2] {
    let original = std::fs::read(artifacts::probe().unwrap()).unwrap();
    let mut other = original.clone();
    let at = other.windows(MARKER.len()).position(|window| window == MARKER).expect("the probe's marker");
    other[at + MARKER.len() - 1] = b'B';
    [original, other]
}

/// Puts a file in place as a careful operator does.
fn put(folder: &Path, content: &[u8]) {
    let aside = folder.join("probe.new");
    std::fs::write(&aside, content).unwrap();
    std::fs::rename(&aside, folder.join("probe.wasm")).unwrap();
}

async fn status(ferrata: &Ferrata) -> Value {
    ferrata.control().get("/status").await.unwrap().json()["connectors"]["probe"].take()
}

/// Which swaps a call may have been answered by: `announced` is the last that was seen to be in force, `begun` the last that was begun.
#[derive(Default)]
struct Progress {
    announced: AtomicU64,
    begun: AtomicU64,
    over: AtomicBool,
}

/// Calls without rest; returns how often.
async fn agent(mcp: ferrata_tests::mcp::Mcp, progress: Arc<Progress>) -> u64 {
    let mut calls = 0;
    while !progress.over.load(Ordering::SeqCst) {
        let earliest = progress.announced.load(Ordering::SeqCst);
        let answer = done(mcp.call(&Deed::Edition.tool(), json!({})).await.unwrap());
        let latest = progress.begun.load(Ordering::SeqCst);
        let said = answer["text"].as_str().unwrap();
        // Even swaps are A, odd ones B.
        let possible =
            (earliest..=latest).any(|swap| said == ["edition-A", "edition-B"][(swap % 2) as usize]);
        assert!(possible, "{said} between swap {earliest} and {latest}");
        calls += 1;
    }
    calls
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_swapped_under_load_and_no_call_fails_or_is_answered_by_the_old() {
    let swaps = std::env::var("FERRATA_SWAPS").map_or(SWAPS, |n| n.parse().expect("a number"));
    let editions = editions();
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    put(setup.folder(), &editions[0]);
    let mut probe = connectors::probe(&setup, &upstream).unwrap();
    probe["component"] = json!("./probe.wasm");
    let ferrata = Ferrata::start(setup.connector("probe", probe)).await.unwrap();
    let folder = ferrata.setup().folder().to_owned();

    let progress = Arc::new(Progress::default());
    let agents: Vec<_> =
        (0..AGENTS).map(|_| tokio::spawn(agent(ferrata.mcp(), Arc::clone(&progress)))).collect();
    let mut early = None;
    for swap in 1..=swaps {
        put(&folder, b"no component");
        wait::until("a broken component to be refused", async || {
            status(&ferrata).await["newer_refused"].is_string().then_some(())
        })
        .await
        .unwrap();
        let before = status(&ferrata).await["generation"].as_u64().unwrap();
        progress.begun.store(swap, Ordering::SeqCst);
        put(&folder, &editions[(swap % 2) as usize]);
        wait::until("the other edition to be in force", async || {
            (status(&ferrata).await["generation"].as_u64()? > before).then_some(())
        })
        .await
        .unwrap();
        progress.announced.store(swap, Ordering::SeqCst);
        if swap == swaps.div_ceil(10) {
            early = Some(resident_kib(ferrata.pid()));
        }
    }
    let late = resident_kib(ferrata.pid());
    progress.over.store(true, Ordering::SeqCst);
    let mut calls = 0;
    for agent in agents {
        calls += agent.await.unwrap();
    }
    let early = early.unwrap();
    eprintln!("{swaps} swaps, {calls} calls, {early} KiB resident after a tenth and {late} KiB at the end");
    assert!(calls >= AGENTS as u64);
    let growth = if swaps >= LONG { GROWTH_LONG } else { GROWTH };
    assert!(late <= early + early * growth / 100, "{early} KiB became {late} KiB");
}
