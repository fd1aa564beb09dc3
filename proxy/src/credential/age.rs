//! How old the operator's secrets are, and whether they should have been replaced by now. When a value was first seen is [`sightings`](super::sightings)'.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::Credential;
use super::sightings::{Sighting, Since};

/// How often an alarm is repeated while nothing is done about it.
const AGAIN_AFTER_SECONDS: i64 = 86_400;

impl Credential {
    /// Since when the secret is known that is known for longest, by the operator's word or else by the earliest of its file's time and its first sight.
    pub(super) fn made(&self) -> Since {
        if let Some(issued) = self.rotation.as_ref().and_then(|rotation| rotation.issued) {
            return Since { at: Some(issued), doubt: None };
        }
        let secrets = self.fields.secrets().into_iter().map(|(_, secret, changed)| {
            let since = self.sightings.as_ref().map(|sightings| sightings.since(&secret)).unwrap_or_default();
            Since { at: since.at.into_iter().chain(changed).min(), ..since }
        });
        let earliest =
            |a: Since, b: Since| Since { at: a.at.into_iter().chain(b.at).min(), doubt: a.doubt.or(b.doubt) };
        secrets.reduce(earliest).unwrap_or_default()
    }

    /// The secrets whose age matters, as they are now.
    pub(super) fn in_use(&self, connector: &str) -> Vec<Sighting> {
        let secrets = self.rotation.iter().flat_map(|_| self.fields.secrets());
        let sighting = |(field, secret, changed): (String, _, _)| Sighting {
            place: format!("{connector}/{}/{field}", self.name),
            secret,
            changed,
        };
        secrets.map(sighting).collect()
    }
}

/// When secrets must be replaced.
#[derive(Debug)]
pub struct Rotation {
    pub every: Duration,
    /// When they were made, if the operator says.
    pub issued: Option<Timestamp>,
    /// When it was last told that they are too old, in seconds since 1970.
    told: AtomicI64,
}

impl Rotation {
    pub fn new(every: Duration, issued: Option<Timestamp>) -> Self {
        Self { every, issued, told: AtomicI64::new(i64::MIN) }
    }

    /// When they are due to be replaced, by what is known of when they were made.
    pub fn due(&self, made: Option<Timestamp>) -> Option<Timestamp> {
        self.issued.or(made)?.checked_add(self.every).ok()
    }

    /// How old they are.
    pub fn age(&self, made: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
        let age = now.duration_since(self.issued.or(made)?);
        Some(Duration::try_from(age).unwrap_or_default())
    }

    /// Whether it must be told now that they are too old: once a day.
    pub fn must_be_told(&self, made: Option<Timestamp>, now: Timestamp) -> bool {
        if self.due(made).is_none_or(|due| now < due) {
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
