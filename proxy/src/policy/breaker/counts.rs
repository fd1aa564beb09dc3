//! How the latest requests ended: rolling sums over buckets.

use std::collections::VecDeque;
use std::time::Duration;

use crate::policy::time::Moment;

/// Buckets of a window: a request is forgotten up to one part in so many early.
const BUCKETS: u64 = 30;

/// Sums of one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub succeeded: u32,
    pub failed: u32,
    /// Of both.
    pub slow: u32,
}

impl Sums {
    pub fn total(self) -> u32 {
        self.succeeded.saturating_add(self.failed)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_add(other.succeeded),
            failed: self.failed.saturating_add(other.failed),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}

/// The latest requests of one breaker.
#[derive(Clone, Debug)]
pub struct Counts {
    bucket_ms: u64,
    /// By number since the start of time, oldest first.
    buckets: VecDeque<(u64, Sums)>,
}

impl Counts {
    pub fn new(window: Duration) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { bucket_ms: (window_ms / BUCKETS).max(1), buckets: VecDeque::new() }
    }

    pub fn add(&mut self, succeeded: bool, slow: bool, now: Moment) {
        let one =
            Sums { succeeded: u32::from(succeeded), failed: u32::from(!succeeded), slow: u32::from(slow) };
        let at = now.0 / self.bucket_ms;
        match self.buckets.back_mut() {
            // What is told late, by a caller that lost the race for the lock, counts as present.
            Some((last, sums)) if *last >= at => *sums = sums.plus(one),
            _ => self.buckets.push_back((at, one)),
        }
        while self.buckets.front().is_some_and(|(oldest, _)| oldest + BUCKETS <= at) {
            self.buckets.pop_front();
        }
    }

    pub fn sums(&self, now: Moment) -> Sums {
        let at = now.0 / self.bucket_ms;
        let recent = self.buckets.iter().filter(|(bucket, _)| bucket + BUCKETS > at);
        recent.fold(Sums::default(), |sum, (_, one)| sum.plus(*one))
    }

    pub fn clear(&mut self) {
        self.buckets.clear();
    }
}
