//! Whether a system is well enough to be asked.
//!
//! Owns the words, and the circuit breakers of one upstream: one per class of operations, because a search can be down while the rest answers.
//! One breaker's states are [`circuit`]'s, its rolling counts [`counts`]'s, and [`maintenance`] knows when the system is down on purpose.

mod circuit;
mod counts;
pub mod maintenance;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use super::time::{Moment, Now};
pub use circuit::{CircuitBreaker, Pass};
pub use maintenance::Maintenance;
pub use settings::Settings;

/// Most classes of one upstream that have a breaker of their own; all others share one. Classes come from the manifest, which has no more
/// operations than that unless it is strange.
pub const MAX_CLASSES: usize = 256;

/// The class of those that have none of their own.
const REST: &str = "*";

/// What a request would be as a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Harmless: whether it is answered tells all there is to know.
    Read,
    Write,
}

/// How a request ended, as far as it tells whether the system is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success {
        took: Duration,
    },
    /// No connection, a broken one, or an answer that says that the system failed (5xx).
    Failure,
    /// Nothing came for so long.
    TimedOut {
        waited: Duration,
    },
    /// An answer about the request and not about the system: 4xx, 401, 429, refused by a rule.
    Neutral,
}

/// What opened a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many failures without a success between them.
    Failures { consecutive: u32 },
    /// Too few successes among the latest requests.
    Rate { failed: u32, of: u32 },
    /// Too many of the latest requests took too long.
    Slow { slow: u32, of: u32 },
    /// It had been open, and the probe failed.
    Probe,
}

impl Why {
    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Failures { .. } => "failures",
            Self::Rate { .. } => "rate",
            Self::Slow { .. } => "slow",
            Self::Probe => "probe",
        }
    }
}

/// In the words of a status page.
impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failures { consecutive } => write!(f, "{consecutive} failures in a row"),
            Self::Rate { failed, of } => write!(f, "{failed} of the latest {of} requests failed"),
            Self::Slow { slow, of } => write!(f, "{slow} of the latest {of} requests were too slow"),
            Self::Probe => write!(f, "the probe failed"),
        }
    }
}

/// Why nothing may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The breaker is open, or half open and waiting for its probe.
    Open { why: Why, retry_at: Moment },
    /// A declared maintenance window, with its end in milliseconds since 1970.
    Maintenance { ends: i64 },
}

impl Refused {
    /// How long until it may be tried again.
    pub fn wait(self, now: Now) -> Duration {
        match self {
            Self::Open { retry_at, .. } => now.mono.until(retry_at),
            Self::Maintenance { ends } => {
                Duration::from_millis(u64::try_from(ends.saturating_sub(now.wall)).unwrap_or(0))
            }
        }
    }

    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open { .. } => "breaker",
            Self::Maintenance { .. } => "maintenance",
        }
    }
}

/// The state, for whoever looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Traffic flows.
    Closed,
    Open {
        why: Why,
        since: Moment,
        /// When the next probe may go.
        probe_at: Moment,
    },
    /// The next request is the probe, or it is under way.
    HalfOpen { why: Why, since: Moment, probing: bool, successes: u32 },
}

impl View {
    /// Name of the state, also a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// All breakers of one upstream.
#[derive(Debug)]
pub struct Breakers {
    settings: Settings,
    maintenance: Vec<Maintenance>,
    /// Sorted by name.
    classes: Vec<(Arc<str>, CircuitBreaker)>,
}

impl Breakers {
    pub fn new(settings: Settings, maintenance: Vec<Maintenance>) -> Self {
        Self { settings, maintenance, classes: Vec::new() }
    }

    /// Other settings from now on. What is open stays open, and what was counted stays counted.
    pub fn reconfigure(&mut self, settings: Settings, maintenance: Vec<Maintenance>) {
        for (_, breaker) in &mut self.classes {
            breaker.reconfigure(settings.clone());
        }
        (self.settings, self.maintenance) = (settings, maintenance);
    }

    /// Whether a request of that class would be refused now. Takes nothing: for asking before a wait.
    pub fn refusal(&self, class: &str, kind: Kind, now: Now) -> Option<Refused> {
        let open = || self.find(class).and_then(|breaker| breaker.refusal(kind, now));
        self.in_maintenance(now).or_else(open)
    }

    /// Lets a request of that class through, if the system is thought to be well. The pass must come back, to [`Self::record`] or [`Self::abandon`].
    pub fn admit(&mut self, class: &str, kind: Kind, now: Now) -> Result<Pass, Refused> {
        match self.in_maintenance(now) {
            Some(refused) => Err(refused),
            None => self.of(class).admit(kind, now),
        }
    }

    /// Notes how a request ended. `random` is uniform over all of `u64`.
    pub fn record(&mut self, class: &str, pass: Pass, outcome: Outcome, random: u64, now: Now) {
        self.of(class).record(pass, outcome, random, now);
    }

    /// Notes that a request was given up, or never sent: nothing was learned.
    pub fn abandon(&mut self, class: &str, pass: Pass) {
        self.of(class).abandon(pass);
    }

    /// When the declared maintenance ends that is on now.
    pub fn in_maintenance(&self, now: Now) -> Option<Refused> {
        maintenance::end(&self.maintenance, now.wall).map(|ends| Refused::Maintenance { ends })
    }

    /// Every class that something was sent for, by name.
    pub fn view(&self, now: Now) -> impl Iterator<Item = (&Arc<str>, View)> {
        self.classes.iter().map(move |(class, breaker)| (class, breaker.view(now)))
    }

    fn place(&self, class: &str) -> Result<usize, usize> {
        self.classes.binary_search_by(|(name, _)| (**name).cmp(class))
    }

    fn find(&self, class: &str) -> Option<&CircuitBreaker> {
        let place = self.place(class).or_else(|_| self.place(REST)).ok()?;
        Some(&self.classes[place].1)
    }

    fn of(&mut self, class: &str) -> &mut CircuitBreaker {
        let place = match self.place(class) {
            Err(_) if self.classes.len() >= MAX_CLASSES => self.place(REST),
            found => found,
        };
        let place = place.unwrap_or_else(|free| {
            let name = if self.classes.len() < MAX_CLASSES { class } else { REST };
            self.classes.insert(free, (name.into(), CircuitBreaker::new(self.settings.clone())));
            free
        });
        &mut self.classes[place].1
    }
}

#[cfg(test)]
mod tests;
