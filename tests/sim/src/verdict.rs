//! What was checked, how often, and the first time that it did not hold.

use std::collections::BTreeMap;

/// Invariants, by the name that is printed, and what they mean.
pub type Invariants = &'static [(&'static str, &'static str)];

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
    pub fn new(invariants: Invariants) -> Self {
        Self(invariants.iter().map(|(name, _)| (*name, Tally::default())).collect())
    }

    /// Notes one check; `why` is asked only if it failed, and only the first answer is kept.
    pub fn check(&mut self, name: &'static str, holds: bool, why: impl FnOnce() -> String) {
        let tally = self.0.entry(name).or_default();
        tally.checks += 1;
        if !holds && tally.failure.is_none() {
            tally.failure = Some(why());
        }
    }

    /// Takes over what another run found, of that name.
    pub fn add(&mut self, run: &str, other: &Self) {
        for (name, tally) in &other.0 {
            let mine = self.0.entry(name).or_default();
            mine.checks += tally.checks;
            if mine.failure.is_none() {
                mine.failure = tally.failure.as_ref().map(|why| format!("{run}: {why}"));
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

/// What a run gave.
pub struct Run {
    pub verdict: Verdict,
    /// The same for the same seed.
    pub trace: u64,
    pub calls: usize,
}
