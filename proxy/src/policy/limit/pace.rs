//! Calls evenly spread instead of all at the window's start. Exactness is the window's; this only smooths.

use crate::policy::time::Moment;

/// Counts in microseconds, so that 3/s is not 334 ms apart.
#[derive(Clone, Debug)]
pub struct Pace {
    every_us: u64,
    next_us: u64,
}

impl Pace {
    pub fn new(limit: u64, window_ms: u64) -> Self {
        Self { every_us: window_ms.saturating_mul(1_000).div_ceil(limit.max(1)), next_us: 0 }
    }

    /// When the next may go.
    pub fn free_at(&self) -> Moment {
        Moment(self.next_us / 1_000)
    }

    /// When the next may go if `ahead` goes before it.
    pub fn free_after(&self, ahead: u64, now: Moment) -> Moment {
        let from = self.next_us.max(now.0.saturating_mul(1_000));
        Moment(from.saturating_add(ahead.saturating_mul(self.every_us)) / 1_000)
    }

    /// Takes back a place that was not used.
    pub fn put_back(&mut self, cost: u64) {
        self.next_us = self.next_us.saturating_sub(cost.saturating_mul(self.every_us));
    }

    pub fn take(&mut self, cost: u64, now: Moment) {
        let from = self.next_us.max(now.0.saturating_mul(1_000));
        self.next_us = from.saturating_add(cost.saturating_mul(self.every_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_per_second_are_a_third_apart() {
        let mut pace = Pace::new(3, 1_000);
        let mut sent = Vec::new();
        for ms in 0..2_000 {
            if pace.free_at() <= Moment(ms) {
                pace.take(1, Moment(ms));
                sent.push(ms);
            }
        }
        assert_eq!(sent, [0, 333, 666, 1_000, 1_333, 1_666]);
    }

    #[test]
    fn a_rest_earns_no_burst() {
        let mut pace = Pace::new(5, 1_000);
        pace.take(1, Moment(10_000));
        assert_eq!(pace.free_at(), Moment(10_200));
        assert_eq!(pace.free_after(2, Moment(10_000)), Moment(10_600));
    }
}
