//! Whether a request that failed may be sent again, and when.
//!
//! Owns the safety rule, the backoff and the history of one request; how many retries an upstream bears is [`budget`]'s. Waiting, and
//! sending, is the caller's: it asks after each failure, waits, calls [`RetryBudget::spend`] and sends.

pub mod budget;

use std::time::Duration;

use super::Mode;
use super::time::{Moment, Now, part_of};
pub use budget::RetryBudget;

/// Sendings of one request, the first included. The third succeeds where the first two met a passing fault; a fourth mostly adds load.
pub const ATTEMPTS: u32 = 3;

/// Upper bound of the first wait: long enough for a connection to be replaced, too short for a person to notice.
pub const BASE: Duration = Duration::from_millis(50);

/// The same after a throttle that names no time: the shortest window that systems count in.
pub const BASE_WHEN_THROTTLED: Duration = Duration::from_secs(1);

/// The longest wait of our own making. What the system itself asks for may be longer.
pub const CAP: Duration = Duration::from_secs(20);

/// How one upstream's requests are tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub mode: Mode,
    /// Sendings of one request, the first included; 1 never tries again.
    pub attempts: u32,
    pub base: Duration,
    pub base_when_throttled: Duration,
    pub cap: Duration,
    pub budget: budget::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            attempts: ATTEMPTS,
            base: BASE,
            base_when_throttled: BASE_WHEN_THROTTLED,
            cap: CAP,
            budget: budget::Settings::default(),
        }
    }
}

/// What sending a request twice would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: it changes nothing.
    Read,
    /// The same as once, by its nature.
    Idempotent,
    /// The same as once, because the system sees the same idempotency key.
    Keyed,
    /// It would be done twice.
    Twice,
}

/// How a sending failed, as far as it matters here. What was understood and refused for good is never asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing left this process.
    NeverSent,
    /// The system said that it did not do it: a credential that was not accepted, a server that is not ready.
    Refused { retry_after: Option<Duration> },
    /// The same, for going too fast.
    Throttled { retry_after: Option<Duration> },
    /// It was sent, and it may have been done.
    Unclear,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it once more after this wait. A place in the budget is reserved: [`RetryBudget::spend`] it when sending, or
    /// [`RetryBudget::release`] it.
    Again { wait: Duration },
    /// Say so to the caller.
    End {
        why: End,
        /// It may have been done, by this sending or by one before: the caller must not be told otherwise.
        outcome_unknown: bool,
    },
}

/// Why a request is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It may have been done, and doing it twice is not the same as once.
    Unsafe,
    /// It was sent as often as allowed.
    Attempts,
    /// The wait, which this would have been, leads past the deadline.
    Deadline { wait: Duration },
    /// Too many of the upstream's requests are retries already.
    Budget,
    /// It would have been sent again after this wait, if the policy were enforced.
    Observed { wait: Duration },
}

impl End {
    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unsafe => "unsafe",
            Self::Attempts => "attempts",
            Self::Deadline { .. } => "deadline",
            Self::Budget => "budget",
            Self::Observed { .. } => "observed",
        }
    }
}

/// One request and its failures so far.
#[derive(Clone, Debug)]
pub struct Retry {
    repeat: Repeat,
    deadline: Moment,
    failures: u32,
    may_have_run: bool,
}

impl Retry {
    pub fn new(repeat: Repeat, deadline: Moment) -> Self {
        Self { repeat, deadline, failures: 0, may_have_run: false }
    }

    /// Decides about one more failure. `random` is uniform over all of `u64`.
    pub fn failed(
        &mut self,
        failure: Failure,
        (settings, budget): (&Settings, &mut RetryBudget),
        random: u64,
        now: Now,
    ) -> Decision {
        self.failures = self.failures.saturating_add(1);
        self.may_have_run |= failure == Failure::Unclear && self.repeat != Repeat::Read;
        match self.wait(failure, settings, random, now) {
            Err(why) => self.end(why),
            Ok(wait) if settings.mode == Mode::Observe => self.end(End::Observed { wait }),
            Ok(wait) if budget.reserve(now) => Decision::Again { wait },
            Ok(_) => self.end(End::Budget),
        }
    }

    fn wait(&self, failure: Failure, settings: &Settings, random: u64, now: Now) -> Result<Duration, End> {
        if failure == Failure::Unclear && self.repeat == Repeat::Twice {
            return Err(End::Unsafe);
        }
        if self.failures >= settings.attempts {
            return Err(End::Attempts);
        }
        let wait = backoff(failure, self.failures, settings, random);
        if now.mono + wait >= self.deadline { Err(End::Deadline { wait }) } else { Ok(wait) }
    }

    fn end(&self, why: End) -> Decision {
        Decision::End { why, outcome_unknown: self.may_have_run }
    }
}

/// Full jitter: anything from nothing to a bound that doubles with each failure. What the system asks for comes first and in full; the jitter on
/// top keeps those who were told the same time apart.
fn backoff(failure: Failure, failures: u32, settings: &Settings, random: u64) -> Duration {
    let (base, asked) = match failure {
        Failure::NeverSent | Failure::Unclear => (settings.base, Duration::ZERO),
        Failure::Refused { retry_after } => (settings.base, retry_after.unwrap_or_default()),
        Failure::Throttled { retry_after } => (settings.base_when_throttled, retry_after.unwrap_or_default()),
    };
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let bound = base.saturating_mul(doubled).min(settings.cap);
    asked.saturating_add(part_of(bound, random))
}

#[cfg(test)]
mod tests;
