//! Tells the time to the policies.
//!
//! The one place that makes a [`Now`]: what only grows comes from the runtime's clock, so that tests can pause it; what people read comes
//! from the system's. The runtime's clock stands still while the machine sleeps, and what others count does not: that is added.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::Deadline;
use crate::policy::time::{Moment, Now};

/// A clock that began when it was made. Policies that share state share one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// How long the machine had been asleep then.
    asleep: Duration,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now(), asleep: asleep() }
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
        self.instant_after(moment, asleep())
    }

    fn moment(self, instant: Instant) -> Moment {
        self.moment_after(instant, asleep())
    }

    /// The machine has been asleep for so long now.
    fn instant_after(self, moment: Moment, asleep: Duration) -> Option<Instant> {
        let slept = asleep.saturating_sub(self.asleep);
        self.start.checked_add(Duration::from_millis(moment.0).saturating_sub(slept))
    }

    fn moment_after(self, instant: Instant, asleep: Duration) -> Moment {
        let slept = asleep.saturating_sub(self.asleep);
        let millis = instant.saturating_duration_since(self.start).saturating_add(slept).as_millis();
        Moment(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// How long this machine has been asleep since it was booted, in whole seconds: the kernel's two clocks cannot be read at once. Never less than
/// it was before.
fn asleep() -> Duration {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let seconds = asleep_now().as_secs();
    Duration::from_secs(SECONDS.fetch_max(seconds, Ordering::Relaxed).max(seconds))
}

#[cfg(target_os = "linux")]
fn asleep_now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // In this order: what passes in between makes it less.
    let clocks = [ClockId::Boottime, ClockId::Monotonic].map(clock_gettime);
    let [boot, awake] = clocks.map(|time| Duration::try_from(time).unwrap_or_default());
    boot.saturating_sub(awake)
}

/// Other systems do not say.
#[cfg(not(target_os = "linux"))]
fn asleep_now() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_has_come_when_it_was_slept_until() {
        let clock = Clock::start();
        let moment = clock.now().mono + Duration::from_millis(1500);
        tokio::time::sleep_until(clock.instant(moment).unwrap()).await;
        assert_eq!(clock.now().mono, moment);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_machine_slept_has_passed() {
        let clock = Clock::start();
        let (second, night) = (Duration::from_secs(1), Duration::from_secs(8 * 3600));
        let asleep = clock.asleep + night;
        let moment = clock.moment_after(clock.start + second, asleep);
        assert_eq!(moment, Moment(0) + night + second);
        assert_eq!(clock.instant_after(moment, asleep), Some(clock.start + second));
        // What was due in the night is due.
        assert_eq!(clock.instant_after(Moment(5), asleep), Some(clock.start));
    }
}
