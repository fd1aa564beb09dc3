//! The same exchange over every route, in turns.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferrata_tests::{Result, ferrata};

use crate::baseline::{Baseline, PROXY};
use crate::load::{self, Measured};
use crate::plan::{ARGUMENT_BYTES, Block, Plan};
use crate::process::Memory;
use crate::route::{self, Route};
use crate::sidecar::{self, Sidecar};
use crate::statistics::{median, median_of, percentile};

/// Where the routes stand in a [`Cell`].
pub const DIRECT: usize = 0;
pub const BARE: usize = 1;
pub const FRESH: usize = 2;
pub const REUSED: usize = 3;
/// Only if another binary was given.
pub const BESIDE: usize = 4;

const NAMES: [&str; 5] = [
    "direct",
    "bare hyper reverse proxy",
    "Ferrata, a fresh sandbox per call",
    "Ferrata, sandboxes reused",
    "the binary beside it, fresh",
];

/// Everything that was measured.
#[derive(Debug)]
pub struct Exchanges {
    pub cells: Vec<Cell>,
    /// Of Ferrata after all of it, with what it was doing.
    pub memory: Vec<(&'static str, Memory)>,
}

/// All routes with one size of arguments and one number of connections.
#[derive(Debug)]
pub struct Cell {
    pub argument_bytes: usize,
    pub block: Block,
    pub routes: Vec<Figures>,
}

/// One route in one cell.
#[derive(Debug)]
pub struct Figures {
    pub name: &'static str,
    pub median: Duration,
    pub p99: Duration,
    pub calls_per_second: f64,
    /// Of the process that is measured, for one call.
    pub cpu: Duration,
    medians: Vec<Duration>,
}

impl Figures {
    fn new(name: &'static str, rounds: Vec<Measured>) -> Self {
        let rate = |round: &Measured| round.latencies.len() as f64 / round.took.as_secs_f64();
        let calls: usize = rounds.iter().map(|round| round.latencies.len()).sum();
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        let mut all: Vec<_> = rounds.iter().flat_map(|round| round.latencies.iter().copied()).collect();
        Self {
            name,
            median: median(&mut all),
            p99: percentile(&mut all, 0.99),
            calls_per_second: median_of(rounds.iter().map(rate).collect()),
            cpu: cpu.div_f64(calls.max(1) as f64),
            medians: rounds.into_iter().map(|mut round| median(&mut round.latencies)).collect(),
        }
    }

    /// What this route's median has more than the other's, in microseconds: within each round, and of those the median.
    pub fn added_micros(&self, other: &Self) -> f64 {
        let micros = |medians: &Duration| medians.as_secs_f64() * 1e6;
        median_of(
            self.medians.iter().zip(&other.medians).map(|(own, its)| micros(own) - micros(its)).collect(),
        )
    }

    /// This route's median divided by the other's, in the same way.
    pub fn ratio(&self, other: &Self) -> f64 {
        let ratio = |(own, its): (&Duration, &Duration)| own.as_secs_f64() / its.as_secs_f64();
        median_of(self.medians.iter().zip(&other.medians).map(ratio).collect())
    }
}

/// Measures all routes.
///
/// # Errors
/// When something does not start or a call fails.
pub async fn measure(plan: &Plan, upstream: &Baseline, beside: Option<&Path>) -> Result<Exchanges> {
    let proxy = Baseline::start(&[PROXY, &upstream.address.to_string()]).await?;
    let cache = ferrata::component_cache()?;
    let fresh = Sidecar::start(sidecar::one(upstream.address, false)?, &cache).await?;
    let reused = Sidecar::start(sidecar::one(upstream.address, true)?, &cache).await?;
    let beside = match beside {
        Some(binary) => {
            Some(Sidecar::start_binary(binary, sidecar::one(upstream.address, false)?, &cache).await?)
        }
        None => None,
    };
    let mut kinds = Vec::new();
    for argument_bytes in ARGUMENT_BYTES {
        let arguments = route::arguments(argument_bytes);
        let tool = |at: usize, sidecar: &Sidecar| {
            Route::tool(NAMES[at], sidecar.address, sidecar.id()?, "echo_echo", &arguments)
        };
        let plain =
            |at: usize, server: &Baseline| Route::plain(NAMES[at], server.address, server.id()?, &arguments);
        let mut routes = vec![
            plain(DIRECT, upstream)?,
            plain(BARE, &proxy)?,
            tool(FRESH, &fresh)?,
            tool(REUSED, &reused)?,
        ];
        routes.extend(beside.as_ref().map(|sidecar| tool(BESIDE, sidecar)).transpose()?);
        let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
        kinds.extend(plan.blocks.map(|block| (argument_bytes, block, routes.clone())));
    }
    let cells = take_turns(plan.rounds, kinds).await?;
    let sidecars = [(FRESH, Some(&fresh)), (REUSED, Some(&reused)), (BESIDE, beside.as_ref())];
    let sidecars = sidecars.into_iter().filter_map(|(at, sidecar)| Some((NAMES[at], sidecar?.id())));
    let memory = sidecars.map(|(name, id)| Ok((name, Memory::of(id?)?))).collect::<Result<_>>()?;
    Ok(Exchanges { cells, memory })
}

type Kind = (usize, Block, Vec<Arc<Route>>);

async fn take_turns(rounds: usize, kinds: Vec<Kind>) -> Result<Vec<Cell>> {
    let mut measured: Vec<Vec<Vec<Measured>>> =
        kinds.iter().map(|(_, _, routes)| routes.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..rounds {
        eprint!("\rround {} of {rounds} ", round + 1);
        for ((_, block, routes), cell) in kinds.iter().zip(&mut measured) {
            // Who comes first changes, lest a periodic disturbance always hit the same.
            for turn in 0..routes.len() {
                let at = (turn + round) % routes.len();
                cell[at].push(load::run(&routes[at], *block).await?);
            }
        }
    }
    eprintln!();
    let figures = |(at, rounds)| Figures::new(NAMES[at], rounds);
    let cell = |((argument_bytes, block, _), routes): (Kind, Vec<Vec<Measured>>)| Cell {
        argument_bytes,
        block,
        routes: routes.into_iter().enumerate().map(figures).collect(),
    };
    Ok(kinds.into_iter().zip(measured).map(cell).collect())
}
