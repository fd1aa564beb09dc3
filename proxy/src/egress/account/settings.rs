//! From what operators and manifests say to what the policies are told. Several connectors may say it of one account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::core::Settings;
use crate::config;
use crate::policy::breaker::{self, Maintenance};
use crate::policy::limit::{Source, Wall, WallSet};
use crate::policy::retry::budget;
use crate::policy::{Mode, bulkhead, queue, retry};

/// What one connector says of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    pub upstream: config::Upstream,
    pub limits: Option<config::Limits>,
    /// The walls of its manifest.
    pub shipped: Vec<Wall>,
}

/// Everything that is said of one account, by connector.
pub type Parties = BTreeMap<Arc<str>, Party>;

/// The walls of all parties: the tighter wins, and what one replaces is replaced for all. The error is a sentence for the operator.
pub fn walls(parties: &Parties, replicas: u32) -> Result<WallSet, String> {
    let said = || parties.values().filter_map(|party| party.limits.as_ref());
    let replace = said().any(config::Limits::replaces);
    let mode = said().map(config::Limits::mode).find(|m| *m == Mode::Observe).unwrap_or_default();
    let shipped = parties.values().flat_map(|party| party.shipped.iter().cloned());
    let shipped = shipped.map(|wall| Wall { mode, ..wall });
    let operators = said().flat_map(config::Limits::walls).map(|wall| operators(wall, mode));
    let operators = operators.collect::<Result<Vec<_>, _>>()?;
    let mut set = WallSet::merged(shipped, operators, replace)?;
    set.throttles = mode;
    if replicas > 1 { set.divided(u64::from(replicas)) } else { Ok(set) }
}

fn operators(wall: &config::Wall, mode: Mode) -> Result<Wall, String> {
    let quota = wall.text().parse()?;
    Ok(Wall {
        operation: wall.operation().map(Arc::from),
        per: wall.per().map(Arc::from),
        mode: wall.mode().unwrap_or(mode),
        ..Wall::new(quota, Source::Operator)
    })
}

/// The other policies: what only one party says holds for all.
pub fn settings(parties: &Parties) -> Result<Settings, String> {
    let upstreams = || parties.values().map(|party| &party.upstream);
    let windows = said(upstreams().map(|u| &u.maintenance)).cloned().unwrap_or_default();
    Ok(Settings {
        breaker: breaker(&said(upstreams().map(|u| &u.breaker)).cloned().unwrap_or_default()),
        maintenance: windows.iter().map(|text| Maintenance::parse(text)).collect::<Result<_, _>>()?,
        bulkhead: bulkhead(&said(upstreams().map(|u| &u.bulkhead)).cloned().unwrap_or_default()),
        retry: retry(&said(upstreams().map(|u| &u.retry)).cloned().unwrap_or_default()),
        queue: queue(&said(upstreams().map(|u| &u.queue)).cloned().unwrap_or_default()),
    })
}

/// The first that is not as by default.
fn said<'a, T: Default + PartialEq + 'a>(mut all: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    all.find(|one| **one != T::default())
}

fn breaker(said: &config::Breaker) -> breaker::Settings {
    breaker::Settings {
        mode: said.mode,
        consecutive: said.failures,
        success_share: said.success,
        slow_share: said.slow,
        slow_after: said.slow_after.0,
        window: said.window.0,
        min_samples: said.samples,
        timeout_floor: said.timeout_floor.0,
        open: said.open.0,
        max_open: said.max_open.0,
        ..breaker::Settings::default()
    }
}

fn bulkhead(said: &config::Bulkhead) -> bulkhead::Settings {
    bulkhead::Settings { mode: said.mode, places: said.concurrent }
}

fn retry(said: &config::Retry) -> retry::Settings {
    retry::Settings {
        mode: said.mode,
        attempts: said.attempts,
        base: said.base.0,
        base_when_throttled: said.throttled_base.0,
        cap: said.cap.0,
        budget: budget::Settings {
            share: said.budget,
            floor_per_second: said.floor,
            ..budget::Settings::default()
        },
    }
}

fn queue(said: &config::Queue) -> queue::Settings {
    queue::Settings {
        mode: said.mode,
        items: said.items,
        bytes: said.bytes.0 as u64,
        ..queue::Settings::default()
    }
}
