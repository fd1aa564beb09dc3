//! How much arrived within the last so many milliseconds: exact up to a size, in buckets above it, never too low.
//!
//! An upstream counts arrivals, and an arrival is somewhere between sending and answer. So a charge is *held* from the moment that it is
//! taken; when the answer is there it becomes an entry that counts for one window more. Answers come in the order of time, so the
//! entries are a queue.

use std::collections::VecDeque;

use super::kept::Span;
use crate::policy::time::Moment;

/// Most entries that are kept apart, and the largest limit that is counted to the millisecond: 64 KiB for one window.
pub const MAX_ENTRIES: usize = 4_096;

/// Buckets of a window with a larger limit: 5 minutes of a day. A bucket counts until the last arrival in it could have left the window.
const BUCKETS: u64 = 288;

/// Most arrivals that are remembered apart after they left the window: what leaves while one answer is on its way.
const MAX_GONE: usize = 64;

/// Arrivals that leave the window together.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The first moment at which they no longer count. One millisecond more than the window: they may have come at the end of theirs.
    free_at: u64,
    cost: u64,
}

/// One rolling window.
#[derive(Clone, Debug)]
pub struct Rolling {
    window: u64,
    /// Milliseconds that are counted as one.
    grain: u64,
    entries: VecDeque<Entry>,
    /// Sum of the entries.
    done: u64,
    /// Taken and not answered.
    held: u64,
    /// What left last, if anybody asks for that.
    gone: Option<VecDeque<Entry>>,
}

impl Rolling {
    pub fn new(limit: u64, window_ms: u64) -> Self {
        let grain = grain(limit, window_ms);
        Self { window: window_ms, grain, entries: VecDeque::new(), done: 0, held: 0, gone: None }
    }

    /// Changes what it is measured against, and forgets nothing.
    pub fn resize(&mut self, limit: u64) {
        self.grain = grain(limit, self.window);
    }

    /// Forgets what left the window.
    pub fn advance(&mut self, now: Moment) {
        while let Some(first) = self.entries.front().filter(|e| e.free_at <= now.0) {
            self.done -= first.cost;
            if let (Some(entry), Some(gone)) = (self.entries.pop_front(), &mut self.gone) {
                if gone.len() >= MAX_GONE {
                    gone.pop_front();
                }
                gone.push_back(entry);
            }
        }
    }

    /// What of all that counted at any time since `then` counts no more. Remembers what leaves from the first time on that somebody asks.
    pub fn left_since(&mut self, then: Moment) -> u64 {
        let gone = self.gone.get_or_insert_default();
        gone.iter().filter(|entry| entry.free_at > then.0).map(|entry| entry.cost).sum()
    }

    /// What counts now.
    pub fn used(&self) -> u64 {
        self.done + self.held
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    pub fn hold(&mut self, cost: u64) {
        self.held += cost;
    }

    /// Takes back what was held and never sent.
    pub fn release(&mut self, cost: u64) {
        self.held = self.held.saturating_sub(cost);
    }

    /// What was held has arrived, now at the latest.
    pub fn arrived(&mut self, cost: u64, now: Moment) {
        self.release(cost);
        self.record(cost, now);
    }

    /// Counts arrivals that nobody held.
    pub fn record(&mut self, cost: u64, now: Moment) {
        let free_at = self.counts_until(now).0;
        self.push(free_at, cost);
    }

    fn push(&mut self, free_at: u64, cost: u64) {
        if cost == 0 {
            return;
        }
        self.done = self.done.saturating_add(cost);
        let full = self.entries.len() >= MAX_ENTRIES;
        match self.entries.back_mut() {
            // The later time is the safe one: a limit that was passed (observed, or lowered) must not cost memory.
            Some(back) if full || back.free_at >= free_at => {
                back.free_at = back.free_at.max(free_at);
                back.cost = back.cost.saturating_add(cost);
            }
            _ => self.entries.push_back(Entry { free_at, cost }),
        }
    }

    /// When no more than `room` is used, if nothing is taken until then and what is held arrives now.
    pub fn room_at(&self, room: u64, now: Moment) -> Moment {
        let mut used = self.used();
        if used <= room {
            return now;
        }
        for entry in &self.entries {
            used -= entry.cost;
            if used <= room {
                return Moment(entry.free_at).max(now);
            }
        }
        self.counts_until(now)
    }

    /// Until when something that arrives now counts.
    pub fn counts_until(&self, now: Moment) -> Moment {
        let end = (now.0 / self.grain).saturating_add(1).saturating_mul(self.grain);
        Moment(end.saturating_add(self.window))
    }

    /// What leaves the window, and when.
    pub fn steps(&self) -> impl Iterator<Item = (Moment, u64)> + '_ {
        self.entries.iter().map(|e| (Moment(e.free_at), e.cost))
    }

    /// Takes up what was counted by a process before this one.
    pub fn restore(&mut self, steps: impl IntoIterator<Item = (Moment, u64)>, now: Moment) {
        let latest = self.counts_until(now).0;
        for (free_at, cost) in steps {
            self.push(free_at.0.min(latest), cost);
        }
        self.advance(now);
    }

    /// How others would count it.
    pub fn span(&self) -> Span {
        Span::Rolling { window: self.window, grain: self.grain }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.held == 0 && self.entries.is_empty()
    }
}

fn grain(limit: u64, window_ms: u64) -> u64 {
    if limit <= MAX_ENTRIES as u64 { 1 } else { window_ms.div_ceil(BUCKETS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_until_its_answer_plus_the_window() {
        let mut minute = Rolling::new(20, 60_000);
        minute.hold(1);
        minute.advance(Moment(500_000));
        assert_eq!(minute.used(), 1);
        minute.arrived(1, Moment(500_000));
        minute.advance(Moment(560_000));
        assert_eq!(minute.used(), 1);
        assert_eq!(minute.room_at(0, Moment(560_000)), Moment(560_001));
        minute.advance(Moment(560_001));
        assert!(minute.is_empty());
    }

    #[test]
    fn what_left_lately_is_known_once_somebody_asked() {
        let mut minute = Rolling::new(20, 60_000);
        assert_eq!(minute.left_since(Moment(0)), 0);
        minute.record(2, Moment(0));
        minute.record(1, Moment(10_000));
        minute.advance(Moment(60_000));
        assert_eq!(minute.left_since(Moment(0)), 0);
        minute.advance(Moment(70_001));
        assert_eq!(
            [0, 60_000, 60_001, 70_000, 70_001].map(|then| minute.left_since(Moment(then))),
            [3, 3, 1, 1, 0]
        );
    }

    #[test]
    fn a_bucket_counts_as_a_whole() {
        let mut day = Rolling::new(100_000, 86_400_000);
        assert_eq!(day.grain, 300_000);
        day.record(1, Moment(0));
        day.record(1, Moment(299_999));
        assert_eq!(day.room_at(1, Moment(299_999)), Moment(86_700_000));
        day.advance(Moment(86_699_999));
        assert_eq!(day.used(), 2);
        day.advance(Moment(86_700_000));
        assert_eq!(day.used(), 0);
    }

    #[test]
    fn entries_are_bounded_whatever_is_recorded() {
        let mut window = Rolling::new(10, 60_000);
        for ms in 0..10_000 {
            window.record(1, Moment(ms));
        }
        assert_eq!((window.entries.len(), window.used()), (MAX_ENTRIES, 10_000));
        assert_eq!(window.room_at(0, Moment(10_000)), Moment(69_999 + 1));
    }
}
