//! What is remembered of secrets' values: how many, for how long, and when each was first seen. Pure: the time is an argument.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a value is remembered that nobody has: longer than a quarter, so that what runs once in one is known again.
const KEPT_SECONDS: i64 = 100 * 86_400;

/// How often it is written down that a value is still there.
const RENEWED_AFTER_SECONDS: i64 = 86_400;

/// Most values of one field: those before the one that is in use, and those of namesakes who share the state. A value that is replaced
/// every hour drives out no other field's.
const MOST_OF_A_FIELD: usize = 32;

/// Most values in all: about a hundred bytes each, which are read every hour.
const MOST: usize = 1_024;

/// A value that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Connector, credential and field.
    pub place: String,
    /// Tells this value from others, and nothing about it.
    pub mark: String,
    /// The earliest that it is known to be from.
    pub since: Timestamp,
}

/// All that is remembered, as it is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Remembered {
    values: Vec<Value>,
}

/// Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    place: String,
    mark: String,
    since: i64,
    /// When it was last written down that it is there.
    seen: i64,
}

impl Remembered {
    /// Since when a value is known, wherever it was seen.
    pub fn since(&self, mark: &str) -> Option<Timestamp> {
        let same = self.values.iter().filter(|value| value.mark == mark);
        same.map(|value| value.since).min().and_then(|since| Timestamp::from_second(since).ok())
    }

    /// Takes up what is in use now, and forgets what has long been gone. Whether that must be written down.
    pub fn take_up(&mut self, in_use: &[Marked], now: Timestamp) -> bool {
        let now = now.as_second();
        let before = self.values.len();
        self.values.retain(|value| now.saturating_sub(value.seen) < KEPT_SECONDS);
        let mut is_changed = self.values.len() != before;
        for marked in in_use {
            is_changed |= self.see(marked, now);
        }
        if is_changed {
            self.keep_bounds(now);
        }
        is_changed
    }

    /// Those that nobody has go first, of them the ones that were seen longest ago; then the youngest: whoever has one is told that it is not
    /// remembered, and nobody else's becomes younger.
    fn keep_bounds(&mut self, now: i64) {
        let is_gone = |value: &Value| now.saturating_sub(value.seen) >= 2 * RENEWED_AFTER_SECONDS;
        let rank = |value: &Value| if is_gone(value) { (true, -value.seen) } else { (false, value.since) };
        self.values.sort_by_key(rank);
        let mut of_field = BTreeMap::<String, usize>::new();
        self.values.retain(|value| {
            let count = of_field.entry(value.place.clone()).or_default();
            *count += 1;
            *count <= MOST_OF_A_FIELD
        });
        self.values.truncate(MOST);
    }

    fn see(&mut self, marked: &Marked, now: i64) -> bool {
        // A clock that was ahead may have written what is yet to come.
        let since = self.since(&marked.mark).map_or(now, |since| since.as_second().min(now));
        let since = since.min(marked.since.as_second());
        let is_it = |value: &&mut Value| value.mark == marked.mark && value.place == marked.place;
        if let Some(value) = self.values.iter_mut().find(is_it) {
            let is_renewed =
                since < value.since || now.abs_diff(value.seen) >= RENEWED_AFTER_SECONDS.unsigned_abs();
            if is_renewed {
                (value.since, value.seen) = (since, now);
            }
            return is_renewed;
        }
        let (place, mark) = (marked.place.clone(), marked.mark.clone());
        self.values.push(Value { place, mark, since, seen: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn used(place: &str, mark: &str, since: i64) -> Marked {
        Marked { place: place.to_owned(), mark: mark.to_owned(), since: day(since) }
    }

    #[test]
    fn a_value_is_as_old_as_the_earliest_that_is_known_of_it() {
        let mut all = Remembered::default();
        assert!(all.take_up(&[used("crm/login/key", "k", 7)], day(10)));
        assert_eq!(all.since("k"), Some(day(7)));
        // In a new pod, an hour later: there is nothing to be written.
        assert!(!all.take_up(&[used("crm/login/key", "k", 10)], day(10)));
        // An older file of the same value, and a connector that was renamed.
        assert!(all.take_up(&[used("crm/login/key", "k", 5)], day(11)));
        assert!(all.take_up(&[used("sales/login/key", "k", 11)], day(11)));
        assert_eq!((all.since("k"), all.since("other")), (Some(day(5)), None));
    }

    #[test]
    fn a_new_value_is_new_and_the_old_one_keeps_its_age_for_as_long_as_it_is_remembered() {
        let mut all = Remembered::default();
        all.take_up(&[used("f", "old", 0)], day(0));
        for today in 1..=30 {
            assert!(
                all.take_up(&[used("f", "new", 1)], day(today)),
                "it is said once a day that it is there"
            );
        }
        assert_eq!(all.since("new"), Some(day(1)));
        all.take_up(&[used("f", "old", 30)], day(30));
        assert_eq!(all.since("old"), Some(day(0)));
        all.take_up(&[used("f", "new", 150)], day(150));
        assert_eq!((all.since("old"), all.since("new")), (None, Some(day(150))));
    }

    #[test]
    fn what_is_replaced_again_and_again_drives_out_only_itself() {
        let mut all = Remembered::default();
        all.take_up(&[used("steady", "s", 3)], day(3));
        for today in 4..60 {
            all.take_up(&[used("busy", &format!("b{today}"), today)], day(today));
        }
        assert_eq!(all.since("s"), Some(day(3)));
        assert_eq!((all.since("b59"), all.since("b27")), (Some(day(59)), None));
        let many = (0..2_000).map(|n| used(&format!("f{n}"), &format!("m{n}"), 60)).collect::<Vec<_>>();
        all.take_up(&many, day(60));
        assert_eq!(all.values.len(), MOST);
    }

    #[test]
    fn who_has_no_room_drives_out_nobody_who_is_there() {
        let mut all = Remembered::default();
        let pods: Vec<_> = (0..=MOST_OF_A_FIELD).map(|n| used("f", &format!("p{n}"), 1 + n as i64)).collect();
        for pod in &pods {
            all.take_up(std::slice::from_ref(pod), day(50));
        }
        assert_eq!((all.since("p0"), all.since("p31")), (Some(day(1)), Some(day(32))));
        assert_eq!(all.since("p32"), None);
        // Once one is gone.
        pods[1..].iter().for_each(|pod| assert!(all.take_up(std::slice::from_ref(pod), day(52))));
        assert_eq!((all.since("p0"), all.since("p32")), (None, Some(day(33))));
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nothing_younger_than_new() {
        let mut all = Remembered::default();
        all.take_up(&[used("f", "k", 400)], day(400));
        assert!(all.take_up(&[used("f", "k", 100)], day(100)));
        assert_eq!(all.since("k"), Some(day(100)));
    }
}
