//! Policies of one upstream, with every default named: breaker, retry, queue, bulkhead, maintenance.
//!
//! What each number does stands in `policy`; here are the operator's words for it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ByteSize, Mode, Period};
use crate::policy::{breaker, bulkhead, queue, retry};

/// When an upstream counts as down, and how it is tried again. Each operation has a breaker of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    pub mode: Mode,
    /// Failures in a row that open it: no connection, a broken answer, status 5xx, `transient`.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// Share of successes within `window` below which it opens, once there are `samples`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub success: f64,
    /// Share of slow answers within `window` from which it opens, once there are `samples`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub slow: f64,
    /// What takes longer is slow.
    pub slow_after: Period,
    pub window: Period,
    #[schemars(range(min = 1, max = 100_000))]
    pub samples: u32,
    /// A call that ran out of time counts as a failure only if it had been under way for so long: an agent may ask for 10 ms.
    pub timeout_floor: Period,
    /// How long it stays open at first; each failed probe doubles it, up to `max_open`.
    pub open: Period,
    pub max_open: Period,
}

impl Default for Breaker {
    fn default() -> Self {
        let policy = breaker::Settings::default();
        Self {
            mode: Mode::default(),
            failures: policy.consecutive,
            success: policy.success_share,
            slow: policy.slow_share,
            slow_after: Period(policy.slow_after),
            window: Period(policy.window),
            samples: policy.min_samples,
            timeout_floor: Period(policy.timeout_floor),
            open: Period(policy.open),
            max_open: Period(policy.max_open),
        }
    }
}

/// When a request is sent again. Only what was never sent, was refused before it was done, is a read or idempotent, or carries an
/// idempotency key.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// `observe`: nothing is sent again, and what would have been is counted.
    pub mode: Mode,
    /// Attempts at one request, the first included; 1 never sends again.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// The first wait is drawn from zero to this, each next one from twice as much.
    pub base: Period,
    /// The same after an answer that says "too fast" and not until when.
    pub throttled_base: Period,
    /// Longest wait that is drawn. What the upstream asks for is respected, however long.
    pub cap: Period,
    /// Retries as a share of the upstream's traffic over 10 s.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub budget: f64,
    /// Retries per second that are always allowed.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub floor: f64,
}

impl Default for Retry {
    fn default() -> Self {
        let policy = retry::Settings::default();
        Self {
            mode: Mode::default(),
            attempts: policy.attempts,
            base: Period(policy.base),
            throttled_base: Period(policy.base_when_throttled),
            cap: Period(policy.cap),
            budget: policy.budget.share,
            floor: policy.budget.floor_per_second,
        }
    }
}

/// Calls that wait for a wall. What cannot make its deadline is refused at once.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// `observe`: whoever finds a wall waits for it, and it is counted who would have been refused.
    pub mode: Mode,
    /// Most calls that wait at once; 0 refuses whatever a wall does not let through at once.
    #[schemars(range(max = 100_000))]
    pub items: usize,
    /// Most bytes of requests that wait at once.
    pub bytes: ByteSize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { mode: Mode::default(), items: queue::ITEMS, bytes: ByteSize::mebibytes(16) }
    }
}

/// How many exchanges an upstream may have under way. A full one refuses: it never makes calls of other upstreams wait.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bulkhead {
    pub mode: Mode,
    /// Exchanges under way at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrent: usize,
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self { mode: Mode::default(), concurrent: bulkhead::PLACES }
    }
}
