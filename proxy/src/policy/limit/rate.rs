//! How fast a wall is being used, for the forecast of when it will be hit. It decides nothing.

use crate::policy::time::Moment;

/// Part of the window over which the rate is taken, and its bounds in milliseconds: the present rate, not the last call's.
const PART: u64 = 10;
const BOUNDS_MS: (u64, u64) = (10_000, 600_000);

/// Counts the present and the last slice of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    slice: u64,
    present: u64,
    last: u64,
}

impl Rate {
    pub fn add(&mut self, cost: u64, span_ms: u64, now: Moment) {
        let slice = now.0 / length(span_ms);
        if slice != self.slice {
            self.last = if slice == self.slice + 1 { self.present } else { 0 };
            self.present = 0;
            self.slice = slice;
        }
        self.present = self.present.saturating_add(cost);
    }

    /// Cost per millisecond over about one slice.
    pub fn per_ms(&self, span_ms: u64, now: Moment) -> f64 {
        let length = length(span_ms);
        let into = (now.0 % length) as f64 / length as f64;
        let (last, present) = match (now.0 / length).saturating_sub(self.slice) {
            0 => (self.last, self.present),
            1 => (self.present, 0),
            _ => (0, 0),
        };
        (last as f64).mul_add(1.0 - into, present as f64) / length as f64
    }
}

fn length(span_ms: u64) -> u64 {
    (span_ms / PART).clamp(BOUNDS_MS.0, BOUNDS_MS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_is_spent_and_falls_when_nothing_is() {
        let mut rate = Rate::default();
        for second in 0..30 {
            rate.add(2, 60_000, Moment(second * 1_000));
        }
        let per_second = |at: u64| rate.per_ms(60_000, Moment(at)) * 1_000.0;
        assert!((1.9..=2.1).contains(&per_second(29_999)));
        assert!(per_second(50_000) < 0.001);
    }
}
