//! How old the operator's secrets are, and whether they should have been replaced by now.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// How often an alarm is repeated while nothing is done about it.
const AGAIN_AFTER_SECONDS: i64 = 86_400;

/// When secrets must be replaced.
#[derive(Debug)]
pub struct Rotation {
    pub every: Duration,
    /// When they were made, if the operator says; otherwise their files' times say it.
    pub issued: Option<Timestamp>,
    /// When it was last told that they are too old, in seconds since 1970.
    told: AtomicI64,
}

impl Rotation {
    pub fn new(every: Duration, issued: Option<Timestamp>) -> Self {
        Self { every, issued, told: AtomicI64::new(i64::MIN) }
    }

    /// When they are due to be replaced, by what is known of when they were made.
    pub fn due(&self, changed: Option<Timestamp>) -> Option<Timestamp> {
        self.issued.or(changed)?.checked_add(self.every).ok()
    }

    /// How old they are.
    pub fn age(&self, changed: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
        let age = now.duration_since(self.issued.or(changed)?);
        Some(Duration::try_from(age).unwrap_or_default())
    }

    /// Whether it must be told now that they are too old: once a day.
    pub fn must_be_told(&self, changed: Option<Timestamp>, now: Timestamp) -> bool {
        if self.due(changed).is_none_or(|due| now < due) {
            self.told.store(i64::MIN, Ordering::Relaxed);
            return false;
        }
        let is_time = |told: i64| now.as_second() >= told.saturating_add(AGAIN_AFTER_SECONDS);
        let next = |told: i64| is_time(told).then_some(now.as_second());
        self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Duration = Duration::from_secs(90 * 86_400);

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    #[test]
    fn a_secret_is_too_old_after_a_quarter_and_that_is_told_once_a_day() {
        let rotation = Rotation::new(QUARTER, None);
        let told = |today| rotation.must_be_told(Some(day(100)), day(today));
        assert!(!told(189));
        assert!(told(190) && !told(190) && told(191));
        assert_eq!(rotation.age(Some(day(100)), day(190)), Some(QUARTER));
        // It was replaced.
        assert!(!rotation.must_be_told(Some(day(191)), day(192)));
        assert!(told(192), "and is too old again");
    }

    #[test]
    fn what_the_operator_says_counts_more_than_a_files_time() {
        let rotation = Rotation::new(QUARTER, Some(day(10)));
        assert_eq!(rotation.due(Some(day(99))), Some(day(100)));
        assert_eq!(Rotation::new(QUARTER, None).due(None), None);
    }
}
