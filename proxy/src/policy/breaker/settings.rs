//! The numbers of a breaker, each with its reason.

use std::time::Duration;

use crate::policy::Mode;

/// When a breaker opens, for how long, and what closes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub mode: Mode,
    /// Failures without a success between them that open it. Five is no coincidence, and reached before a second agent notices.
    pub consecutive: u32,
    /// It opens when less than this share of the latest requests succeeded. At half, waiting for an answer is a coin toss.
    pub success_share: f64,
    /// It opens when at least this share of the latest requests was slow.
    pub slow_share: f64,
    /// What is too slow, answered or not: two thirds of the time that a call has by default.
    pub slow_after: Duration,
    /// What the latest requests are: long enough to gather a sample, short enough to forget an incident that is over.
    pub window: Duration,
    /// Fewer requests say nothing about a share.
    pub min_samples: u32,
    /// A timeout after less says more about the agent's patience than about the system.
    pub timeout_floor: Duration,
    /// How long it stays open the first time; it doubles each time.
    pub open: Duration,
    /// The longest: a system that is back should not wait for us longer than people do.
    pub max_open: Duration,
    /// Closed for so long, it starts from `open` again.
    pub calm: Duration,
    /// Probes that must succeed, one after the other: one success may be a lucky one.
    pub successes: u32,
    /// Neutral answers to probes that close it as well, if no failure comes between: the system does answer, if only with "no such record". Without this it
    /// would serve one request at a time until somebody asks for something that exists.
    pub neutral_answers: u32,
    /// While half open, a write is no probe as long as reads are to be expected: for this long. Then it is, because there may be nothing but writes.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            consecutive: 5,
            success_share: 0.5,
            slow_share: 0.8,
            slow_after: Duration::from_secs(20),
            window: Duration::from_secs(30),
            min_samples: 10,
            timeout_floor: Duration::from_secs(2),
            open: Duration::from_secs(1),
            max_open: Duration::from_secs(60),
            calm: Duration::from_secs(60),
            successes: 2,
            neutral_answers: 5,
            patience: Duration::from_secs(5),
        }
    }
}
