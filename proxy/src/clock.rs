//! Tells the time to the policies.
//!
//! The one place that makes a [`Now`]: what only grows comes from the runtime's clock, so that tests can pause it; what people read comes
//! from the system's.

use tokio::time::Instant;

use crate::call::Deadline;
use crate::policy::time::{Moment, Now};

/// A clock that began when it was made. Policies that share state share one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(self) -> Now {
        Now { mono: self.moment(Instant::now()), wall: jiff::Timestamp::now().as_millisecond() }
    }

    /// The moment of a deadline, rounded down: what waits until then is never late.
    pub fn deadline(self, deadline: Deadline) -> Moment {
        self.moment(deadline.instant())
    }

    /// The runtime's name for a moment; none for one that it has no name for, which never comes.
    pub fn instant(self, moment: Moment) -> Option<Instant> {
        self.start.checked_add(std::time::Duration::from_millis(moment.0))
    }

    fn moment(self, instant: Instant) -> Moment {
        let millis = instant.saturating_duration_since(self.start).as_millis();
        Moment(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_has_come_when_it_was_slept_until() {
        let clock = Clock::start();
        let moment = clock.now().mono + Duration::from_millis(1500);
        tokio::time::sleep_until(clock.instant(moment).unwrap()).await;
        assert_eq!(clock.now().mono, moment);
    }
}
