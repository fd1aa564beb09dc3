//! A connector is replaced under load: no call fails, none is answered by what was replaced before it was made.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::deeds::Deed;
use crate::done;

/// Agents that call without rest.
const AGENTS: usize = 32;

/// How often the file is replaced. `FERRATA_SWAPS` asks for another number.
const SWAPS: u64 = 100;

/// Of so many replacements one must be refused.
const BAD_EVERY: u64 = 5;

/// Calls before the first swap, to compare with.
const QUIET_CALLS: u64 = 10_000;

/// What the probe says of itself, and what the other edition says.
const MARKER: &[u8] = b"edition-A";

/// How much more resident memory, in per cent, the least of the later tenths of the swaps may have than the most of the earlier ones, in a run that is
/// long enough: what calls happen to hold goes up and down, and what is never given back only goes up. In the first tenth the pool's sandboxes are
/// used for the first time.
const GROWTH: usize = 2;
const EARLIER: Range<usize> = 1..4;
const LATER: Range<usize> = 7..10;
const LONG: u64 = 1000;

/// An upstream that the probe's manifest asks for, and one that the operator has not configured.
const UPSTREAM: &[u8] = b"other";
const DEMANDED: &[u8] = b"extra";

/// What is put in place of the component.
struct Editions {
    /// The component, and another edition of it.
    good: [Vec<u8>; 2],
    /// What must be refused, and words of the refusal.
    bad: [(Vec<u8>, &'static str); 2],
}

impl Editions {
    fn new() -> Self {
        let original = std::fs::read(artifacts::probe().unwrap()).unwrap();
        let (mut other, mut demanding) = (original.clone(), original.clone());
        let at = other.windows(MARKER.len()).position(|window| window == MARKER).expect("the probe's marker");
        other[at + MARKER.len() - 1] = b'B';
        let asks: Vec<_> = (0..demanding.len()).filter(|at| demanding[*at..].starts_with(UPSTREAM)).collect();
        asks.into_iter().for_each(|at| demanding[at..at + UPSTREAM.len()].copy_from_slice(DEMANDED));
        let broken = (b"no component".to_vec(), "not a WebAssembly component");
        Self { good: [original, other], bad: [broken, (demanding, "`extra`")] }
    }
}

/// Puts a file in place as a careful operator does.
fn put(folder: &Path, content: &[u8]) {
    let aside = folder.join("probe.new");
    std::fs::write(&aside, content).unwrap();
    std::fs::rename(&aside, folder.join("probe.wasm")).unwrap();
}

/// Puts a bad component in place, and waits until it is refused with those words.
async fn refuse(ferrata: &Ferrata, component: &[u8], words: &str) {
    put(ferrata.setup().folder(), component);
    wait::until("a bad component to be refused", async || {
        status(ferrata).await["newer_refused"].as_str()?.contains(words).then_some(())
    })
    .await
    .unwrap();
}

/// Puts a good component in place, and waits until it is in force.
async fn replace(ferrata: &Ferrata, component: &[u8]) {
    let before = status(ferrata).await["generation"].as_u64().unwrap();
    put(ferrata.setup().folder(), component);
    wait::until("the other edition to be in force", async || {
        (status(ferrata).await["generation"].as_u64()? > before).then_some(())
    })
    .await
    .unwrap();
}

async fn status(ferrata: &Ferrata) -> Value {
    ferrata.control().get("/status").await.unwrap().json()["connectors"]["probe"].take()
}

/// Which good editions, counted, a call may have been answered by: `announced` is the last that was seen to be in force, `begun` the last
/// that was begun.
#[derive(Default)]
struct Progress {
    announced: AtomicU64,
    begun: AtomicU64,
    over: AtomicBool,
    calls: AtomicU64,
}

/// How long calls took before the first swap, and from there on.
#[derive(Default)]
struct Took {
    quiet: Vec<Duration>,
    swapping: Vec<Duration>,
}

/// Calls without rest.
async fn agent(mcp: ferrata_tests::mcp::Mcp, progress: Arc<Progress>) -> Took {
    let mut took = Took::default();
    while !progress.over.load(Ordering::SeqCst) {
        let earliest = progress.announced.load(Ordering::SeqCst);
        let began = Instant::now();
        let answer = done(mcp.call(&Deed::Edition.tool(), json!({})).await.unwrap());
        let elapsed = began.elapsed();
        let latest = progress.begun.load(Ordering::SeqCst);
        let said = answer["text"].as_str().unwrap();
        // Even ones are A, odd ones B.
        let possible =
            (earliest..=latest).any(|good| said == ["edition-A", "edition-B"][(good % 2) as usize]);
        assert!(possible, "{said} between good edition {earliest} and {latest}");
        if latest == 0 { &mut took.quiet } else { &mut took.swapping }.push(elapsed);
        progress.calls.fetch_add(1, Ordering::Relaxed);
    }
    took
}

/// The value below which 99 of 100 lie.
fn p99(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() * 99 / 100).copied().unwrap_or_default()
}

/// What there is with few calls under way: of each tenth, the value above which nine of ten lie.
fn lows(values: &[usize]) -> Vec<usize> {
    let low = |tenth: &[usize]| {
        let mut tenth = tenth.to_vec();
        tenth.sort_unstable();
        tenth[tenth.len() / 10]
    };
    values.chunks(values.len().div_ceil(10)).map(low).collect()
}

fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_swapped_under_load_and_no_call_fails_or_is_answered_by_the_old() {
    let swaps = std::env::var("FERRATA_SWAPS").map_or(SWAPS, |n| n.parse().expect("a number"));
    let editions = Editions::new();
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    put(setup.folder(), &editions.good[0]);
    let mut probe = connectors::probe(&setup, &upstream).unwrap();
    probe["component"] = json!("./probe.wasm");
    let ferrata = Ferrata::start(setup.connector("probe", probe)).await.unwrap();

    let progress = Arc::new(Progress::default());
    let agents: Vec<_> =
        (0..AGENTS).map(|_| tokio::spawn(agent(ferrata.mcp(), Arc::clone(&progress)))).collect();
    wait::until("calls without swaps", async || {
        (progress.calls.load(Ordering::Relaxed) >= QUIET_CALLS).then_some(())
    })
    .await
    .unwrap();
    let (mut good, mut resident) = (0, Vec::new());
    for swap in 1..=swaps {
        if swap.is_multiple_of(BAD_EVERY) {
            let (bad, words) = &editions.bad[(swap / BAD_EVERY % 2) as usize];
            refuse(&ferrata, bad, words).await;
        } else {
            good += 1;
            progress.begun.store(good, Ordering::SeqCst);
            replace(&ferrata, &editions.good[(good % 2) as usize]).await;
            progress.announced.store(good, Ordering::SeqCst);
        }
        resident.push(resident_kib(ferrata.pid()));
    }
    progress.over.store(true, Ordering::SeqCst);
    let mut took = Took::default();
    for agent in agents {
        let Took { quiet, swapping } = agent.await.unwrap();
        took.quiet.extend(quiet);
        took.swapping.extend(swapping);
    }
    let calls = took.quiet.len() + took.swapping.len();
    let resident = lows(&resident);
    eprintln!(
        "{swaps} swaps, {good} of them good, {calls} calls, KiB resident in each tenth: {resident:?}; 99 of 100 calls took less than {:?} \
         without swaps and {:?} with them",
        p99(took.quiet),
        p99(took.swapping)
    );
    assert!(calls as u64 >= QUIET_CALLS);
    if swaps >= LONG {
        let most = resident[EARLIER].iter().max().unwrap();
        let least = resident[LATER].iter().min().unwrap();
        assert!(least * 100 <= most * (100 + GROWTH), "{most} KiB became {least} KiB");
    }
}
