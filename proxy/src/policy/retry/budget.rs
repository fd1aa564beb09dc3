//! How many retries an upstream bears: a share of its traffic, so that retries never become the traffic.
//!
//! Counted in buckets, and strictly: a retry counts for up to one bucket longer than the window, a first sending for up to one bucket shorter.

use std::collections::VecDeque;
use std::time::Duration;

use crate::policy::time::{Moment, Now};

/// Retries for each request that is sent for the first time: a system that fails every fifth request gets all its retries, one that is down
/// gets little more than its ordinary load.
pub const SHARE: f64 = 0.2;

/// What traffic is measured over: long enough for a burst to average out, short enough to forget yesterday's.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Retries for each second of the window that are there without any traffic, or an upstream that is seldom called would never see one.
pub const FLOOR_PER_SECOND: f64 = 1.0;

/// Buckets of a window: the error is one part in so many.
const BUCKETS: u64 = 100;

/// How many retries are allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Retries for each first sending, 0 to 1.
    pub share: f64,
    pub window: Duration,
    pub floor_per_second: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { share: SHARE, window: WINDOW, floor_per_second: FLOOR_PER_SECOND }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Number of the bucket since the start of time.
    at: u64,
    sent: u32,
    retried: u32,
}

/// One upstream's budget.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    floor: f64,
    bucket_ms: u64,
    /// Oldest first; those of one window and one more.
    buckets: VecDeque<Bucket>,
    /// Decided, and not sent yet.
    reserved: u32,
}

impl RetryBudget {
    pub fn new(settings: &Settings) -> Self {
        let window_ms = u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX);
        Self {
            share: settings.share,
            floor: settings.floor_per_second * settings.window.as_secs_f64(),
            bucket_ms: (window_ms / BUCKETS).max(1),
            buckets: VecDeque::new(),
            reserved: 0,
        }
    }

    /// Other settings from now on. What was sent stays counted if the window does.
    pub fn reconfigure(&mut self, settings: &Settings) {
        let new = Self::new(settings);
        let buckets = match new.bucket_ms == self.bucket_ms {
            true => std::mem::take(&mut self.buckets),
            false => VecDeque::new(),
        };
        *self = Self { buckets, reserved: self.reserved, ..new };
    }

    /// Notes that a request was sent for the first time.
    pub fn sent(&mut self, now: Now) {
        let bucket = self.bucket(now.mono);
        bucket.sent = bucket.sent.saturating_add(1);
    }

    /// Takes a place for one retry that is to be sent later, if there is one.
    pub fn reserve(&mut self, now: Now) -> bool {
        self.forget(now.mono);
        let free = self.retried() + u64::from(self.reserved) < self.allowed(now.mono);
        self.reserved += u32::from(free);
        free
    }

    /// Uses a reserved place, at the moment of sending. False if the traffic that earned it has ceased since: do not send.
    #[must_use = "a retry that the budget does not bear is not sent"]
    pub fn spend(&mut self, now: Now) -> bool {
        self.release();
        self.forget(now.mono);
        if self.retried() >= self.allowed(now.mono) {
            return false;
        }
        let bucket = self.bucket(now.mono);
        bucket.retried = bucket.retried.saturating_add(1);
        true
    }

    /// Gives a reserved place back: the retry will not be sent.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Retries of the last window, and how many there might be.
    pub fn usage(&mut self, now: Now) -> (u64, u64) {
        self.forget(now.mono);
        (self.retried(), self.allowed(now.mono))
    }

    fn allowed(&self, now: Moment) -> u64 {
        let oldest_whole = (now.0 / self.bucket_ms).saturating_sub(BUCKETS - 1);
        let whole = self.buckets.iter().filter(|b| b.at >= oldest_whole);
        let sent: u64 = whole.map(|b| u64::from(b.sent)).sum();
        // Saturating, and no part of a retry.
        (sent as f64 * self.share).max(self.floor) as u64
    }

    fn retried(&self) -> u64 {
        self.buckets.iter().map(|b| u64::from(b.retried)).sum()
    }

    fn forget(&mut self, now: Moment) {
        let oldest = (now.0 / self.bucket_ms).saturating_sub(BUCKETS);
        while self.buckets.front().is_some_and(|b| b.at < oldest) {
            self.buckets.pop_front();
        }
    }

    fn bucket(&mut self, now: Moment) -> &mut Bucket {
        self.forget(now);
        let at = now.0 / self.bucket_ms;
        // Time may be told out of order by callers that raced for the lock: what is late counts as present.
        if self.buckets.back().is_none_or(|b| b.at < at) {
            self.buckets.push_back(Bucket { at, sent: 0, retried: 0 });
        }
        let last = self.buckets.len() - 1;
        &mut self.buckets[last]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Moment(ms), wall: 0 }
    }

    fn try_retry(budget: &mut RetryBudget, ms: u64) -> bool {
        budget.reserve(at(ms)) && budget.spend(at(ms))
    }

    #[test]
    fn an_idle_upstream_has_its_floor_and_no_more_until_the_window_has_passed() {
        let mut budget = RetryBudget::new(&Settings::default());
        assert_eq!((0..20).filter(|_| try_retry(&mut budget, 50)).count(), 10);
        assert!(!try_retry(&mut budget, 10_000 + 99));
        assert!(try_retry(&mut budget, 10_000 + 100));
    }

    #[test]
    fn a_fifth_of_the_traffic_may_be_retries() {
        let mut budget = RetryBudget::new(&Settings::default());
        (0..1000).for_each(|i| budget.sent(at(i)));
        assert_eq!((0..1000).filter(|_| try_retry(&mut budget, 1000)).count(), 200);
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let mut budget = RetryBudget::new(&Settings { floor_per_second: 0.1, ..Settings::default() });
        assert!(budget.reserve(at(0)) && !budget.reserve(at(0)));
        budget.release();
        assert!(budget.reserve(at(0)));
    }

    #[test]
    fn traffic_that_has_ceased_pays_for_nothing() {
        let mut budget = RetryBudget::new(&Settings::default());
        (0..100).for_each(|_| budget.sent(at(0)));
        assert_eq!((0..100).filter(|_| budget.reserve(at(0))).count(), 20);
        assert_eq!((0..20).filter(|_| budget.spend(at(20_000))).count(), 10);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Sent,
        Retry,
        Wait(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => Just(Event::Sent),
            4 => Just(Event::Retry),
            2 => (0_u64..3000).prop_map(Event::Wait),
        ];
        prop::collection::vec(event, 0..400)
    }

    /// What is allowed by a list of timestamps, over a window of `retry_ms` for retries and `sent_ms` for traffic.
    fn oracle(sent: &[u64], retried: &[u64], now: u64, (retry_ms, sent_ms): (u64, u64)) -> bool {
        let within = |times: &[u64], ms: u64| times.iter().filter(|&&t| t + ms > now).count() as f64;
        within(retried, retry_ms) + 1.0 <= (within(sent, sent_ms) * SHARE).max(10.0)
    }

    proptest! {
        #[test]
        fn it_is_never_more_generous_than_a_list_and_stricter_by_a_bucket_at_most(events in events()) {
            let mut budget = RetryBudget::new(&Settings::default());
            let (mut now, mut sent, mut retried) = (0, Vec::new(), Vec::new());
            for event in events {
                match event {
                    Event::Wait(ms) => now += ms,
                    Event::Sent => {
                        budget.sent(at(now));
                        sent.push(now);
                    }
                    Event::Retry => {
                        let allowed = try_retry(&mut budget, now);
                        prop_assert!(!allowed || oracle(&sent, &retried, now, (10_000, 10_000)));
                        prop_assert!(allowed || !oracle(&sent, &retried, now, (10_100, 9_900)));
                        if allowed {
                            retried.push(now);
                        }
                    }
                }
            }
        }
    }
}
