//! The one run that no seed decides: sixteen sidecars that together want more than a large wall lets through. It is to be used up, and not by one too many.

use super::{Agent, Keeping, Latency, Plan, SECOND, Store, Wall};
use crate::agenda::Ms;

const SIDECARS: usize = 16;

/// The wall of the contract. A day's calls are made in less than two minutes, so that every moment of the day has its thousand.
const COUNT: u64 = 100_000;
const DAY: Ms = 24 * 60 * 60 * SECOND;
const LENGTH: Ms = 100 * SECOND;

/// Half of the sidecars want six times as much as the others: 1 100 calls a second, all together.
const MEAN_BETWEEN_BURSTS: [Ms; 2] = [85, 510];
const BURST: u64 = 10;

impl Plan {
    pub fn of_a_full_wall() -> Self {
        let agent = |sidecar| Agent {
            sidecar,
            name: format!("agent-{sidecar}"),
            every: MEAN_BETWEEN_BURSTS[sidecar % 2],
            burst: BURST,
            patience: (2 * SECOND, 4 * SECOND),
            background: false,
            unsafe_percent: 10,
            leaves_percent: 1,
        };
        let store = Store { lost_percent: 1, ..Store::well() };
        Self {
            length: LENGTH,
            epoch: Wall::EPOCH,
            sidecars: SIDECARS as u64,
            walls: vec![Wall { count: COUNT, span: DAY, text: "100000/24h", midnight: None }],
            concurrent: None,
            agents: (0..SIDECARS).map(agent).collect(),
            workflows: Vec::new(),
            latency: Latency { least: 20, most: 120, tail_percent: 1, tail: SECOND },
            troubles: Vec::new(),
            maintenance: None,
            steps: Vec::new(),
            keeping: Keeping::Shared(store),
            crashes: Vec::new(),
            says_when: true,
            shows: None,
        }
    }
}
