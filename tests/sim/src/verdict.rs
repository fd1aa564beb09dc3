//! What was checked, how often, and the first time that it did not hold.

use std::collections::BTreeMap;

/// The invariants, by the name that is printed.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("wall", "never more of ours in any window than the wall lets through, as the upstream sees them arrive"),
    (
        "refused-late",
        "what is refused for a wall is told a time that is never early and at most one bucket late",
    ),
    (
        "throttle",
        "after a throttle has reached a sidecar, nothing leaves it for the closed scope before its time",
    ),
    ("budget", "retries stay within their share of the traffic"),
    ("twice", "nothing that must not be repeated is executed twice"),
    ("deadline", "nothing is delivered after its deadline"),
    ("ends", "every call ends, once"),
    ("room", "when all is over, no charge, place or waiter is left"),
    ("starving", "an agent that keeps waiting gets its share"),
    ("reserved", "a step that its workflow has reserved is neither refused nor kept waiting by the wall"),
    ("isolated", "calls end to the millisecond as they do when no other upstream hangs"),
    ("in-vain", "nothing waits that the upstream could have taken"),
    ("breaker", "while an upstream is down it gets probes, and not the traffic; it is found again"),
];

/// One invariant over one or many runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub checks: u64,
    pub failure: Option<String>,
}

/// All invariants.
#[derive(Clone, Debug)]
pub struct Verdict(BTreeMap<&'static str, Tally>);

impl Verdict {
    pub fn new() -> Self {
        Self(INVARIANTS.iter().map(|(name, _)| (*name, Tally::default())).collect())
    }

    /// Notes one check; `why` is asked only if it failed, and only the first answer is kept.
    pub fn check(&mut self, name: &'static str, holds: bool, why: impl FnOnce() -> String) {
        let tally = self.0.entry(name).or_default();
        tally.checks += 1;
        if !holds && tally.failure.is_none() {
            tally.failure = Some(why());
        }
    }

    /// Takes over what another run found.
    pub fn add(&mut self, seed: u64, other: &Self) {
        for (name, tally) in &other.0 {
            let mine = self.0.entry(name).or_default();
            mine.checks += tally.checks;
            if mine.failure.is_none() {
                mine.failure = tally.failure.as_ref().map(|why| format!("seed {seed}: {why}"));
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&Tally> {
        self.0.get(name)
    }

    pub fn failed(&self) -> bool {
        self.0.values().any(|tally| tally.failure.is_some())
    }
}
