//! How long a start takes, and what a sidecar needs that does nothing.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use ferrata_tests::setup::Setup;
use ferrata_tests::{Result, artifacts};

use crate::baseline::Baseline;
use crate::plan::Plan;
use crate::process::{self, Memory};
use crate::sidecar::{self, Sidecar};
use crate::statistics::median;

/// How long a sidecar is watched doing nothing: until it has given back what starting took, which it does after five seconds.
const IDLE: Duration = Duration::from_secs(8);

/// One configuration.
#[derive(Debug)]
pub struct Start {
    pub name: String,
    pub connectors: usize,
    /// Until agents can connect: with components to compile, and with compiled ones. Medians.
    pub cold: Duration,
    pub warm: Duration,
    /// After a while of doing nothing.
    pub memory: Memory,
    /// Processor time for a second of doing nothing.
    pub idle_cpu: Duration,
}

/// Measures starts with one connector, five different ones, and many.
///
/// # Errors
/// When one fails.
pub async fn measure(plan: &Plan, upstream: &Baseline, beside: Option<&Path>) -> Result<Vec<Start>> {
    let (one, five) = (sidecar::one(upstream.address, false)?, sidecar::five(upstream.address)?);
    let many = sidecar::many(upstream.address, plan.many)?;
    let own = artifacts::ferrata()?;
    let mut all = vec![
        starts(plan, own, "1 connector".to_owned(), 1, one).await?,
        starts(plan, own, "5 connectors".to_owned(), 5, five).await?,
        starts(plan, own, format!("{} connectors", plan.many), plan.many, many).await?,
    ];
    if let Some(binary) = beside {
        let five = sidecar::five(upstream.address)?;
        all.push(starts(plan, binary, "5 connectors, beside".to_owned(), 5, five).await?);
    }
    Ok(all)
}

async fn starts(
    plan: &Plan,
    binary: &Path,
    name: String,
    connectors: usize,
    mut setup: Setup,
) -> Result<Start> {
    eprintln!("starting with {name}");
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    let mut cache = TempDir::new()?;
    for _ in 0..plan.cold_starts {
        cache = TempDir::new()?;
        setup = once(binary, setup, cache.path(), &mut cold).await?;
    }
    for _ in 0..plan.warm_starts {
        setup = once(binary, setup, cache.path(), &mut warm).await?;
    }
    let sidecar = Sidecar::start_binary(binary, setup, cache.path()).await?;
    let before = process::cpu(sidecar.id()?)?;
    tokio::time::sleep(IDLE).await;
    let spent = process::cpu(sidecar.id()?)?.saturating_sub(before);
    Ok(Start {
        name,
        connectors,
        cold: median(&mut cold),
        warm: median(&mut warm),
        memory: Memory::of(sidecar.id()?)?,
        idle_cpu: spent.div_f64(IDLE.as_secs_f64()),
    })
}

async fn once(binary: &Path, setup: Setup, cache: &Path, durations: &mut Vec<Duration>) -> Result<Setup> {
    let sidecar = Sidecar::start_binary(binary, setup, cache).await?;
    durations.push(sidecar.start);
    sidecar.end().await
}
