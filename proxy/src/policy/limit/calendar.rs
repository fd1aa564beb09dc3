//! How much arrived since local midnight, or since the month began.
//!
//! What is under way at midnight counts on both days. A new day begins when the clock on the wall and the time that passed agree
//! that it has: a clock set forward gives nothing back, one set back brings back what was spent on the day that it returns to.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::quota::{Every, Zone};
use crate::policy::time::{Moment, Now};

/// For a time that no calendar knows.
const DAY_MS: i64 = 86_400_000;

/// One day or month, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    start: i64,
    end: i64,
}

/// One calendar window.
#[derive(Clone, Debug)]
pub struct Calendar {
    every: Every,
    zone: Zone,
    period: Option<Period>,
    /// The begin and the end of the period by the time that passes.
    began: Moment,
    end: Moment,
    done: u64,
    held: u64,
    /// The period before, should the clock be set back to it.
    before: Option<(Period, u64)>,
    /// Spent after a midnight that was undone: it counts in the next period as well.
    carried: u64,
}

impl Calendar {
    pub fn new(every: Every, zone: Zone) -> Self {
        let none = Moment(0);
        Self { every, zone, period: None, began: none, end: none, done: 0, held: 0, before: None, carried: 0 }
    }

    /// Begins a new period if it is time.
    pub fn advance(&mut self, now: Now) {
        match self.period {
            Some(p) if now.wall >= p.end && now.mono >= self.end => {
                self.before = Some((p, self.done));
                self.done = std::mem::take(&mut self.carried);
                let ended = self.end;
                self.enter(now);
                // Whatever the clock says: the period before was not over earlier.
                self.began = self.began.max(ended);
            }
            Some(p) if now.wall < p.start => {
                self.carried = self.carried.saturating_add(self.done);
                let returns = |(before, _): &(Period, u64)| (before.start..before.end).contains(&now.wall);
                self.done += self.before.take().filter(returns).map_or(0, |(_, spent)| spent);
                self.enter(now);
            }
            Some(_) => {}
            None => self.enter(now),
        }
    }

    fn enter(&mut self, now: Now) {
        let period = period(self.every, &self.zone.rules, now.wall);
        let lasts = u64::try_from(now.wall.saturating_sub(period.start)).unwrap_or(0);
        self.period = Some(period);
        self.began = Moment(now.mono.0.saturating_sub(lasts));
        self.end = after(now, period.end);
    }

    /// Whether what was said in answer to something sent then is about the present period.
    pub fn is_about_present(&self, asked_at: Moment) -> bool {
        asked_at >= self.began
    }

    pub fn used(&self) -> u64 {
        self.done + self.held
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    pub fn hold(&mut self, cost: u64) {
        self.held += cost;
    }

    pub fn release(&mut self, cost: u64) {
        self.held = self.held.saturating_sub(cost);
    }

    pub fn arrived(&mut self, cost: u64, _: Now) {
        self.release(cost);
        self.record(cost);
    }

    pub fn record(&mut self, cost: u64) {
        self.done = self.done.saturating_add(cost);
    }

    /// When no more than `room` is used, if nothing is taken until then.
    pub fn room_at(&self, room: u64, now: Now) -> Moment {
        if self.used() <= room { now.mono } else { self.resets_at(now) }
    }

    /// When the next period begins.
    pub fn resets_at(&self, now: Now) -> Moment {
        self.period.map_or(now.mono, |p| self.end.max(after(now, p.end)))
    }

    /// The present period's start, in milliseconds since 1970, and what arrived in it.
    pub fn spent(&self) -> (i64, u64) {
        (self.period.map_or(0, |p| p.start), self.done)
    }

    /// In how many milliseconds the present period is over by the time that passes.
    pub fn ends_in_ms(&self, now: Now) -> u64 {
        self.end.0.saturating_sub(now.mono.0)
    }

    /// Takes up what a process before this one counted in the period that began at `start`, and of which that much time is left.
    pub fn restore(&mut self, (start, spent): (i64, u64), left_ms: u64, now: Now) {
        self.advance(now);
        // A period that is yet to come was counted by a clock that has been set back since.
        if self.period.is_some_and(|p| start >= p.start) {
            self.record(spent);
        } else if left_ms > 0 {
            // The clock was set forward in between.
            self.period = Some(period(self.every, &self.zone.rules, start));
            self.end = Moment(now.mono.0.saturating_add(left_ms));
            self.record(spent);
        }
    }

    /// The present period, in milliseconds since 1970.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        self.period.map(|p| (p.start, p.end))
    }

    /// Whether it remembers nothing that counts.
    pub fn is_empty(&self) -> bool {
        self.used() == 0 && self.carried == 0 && self.before.is_none_or(|(_, spent)| spent == 0)
    }
}

/// The moment at which the wall will show `wall`.
fn after(now: Now, wall: i64) -> Moment {
    Moment(now.mono.0.saturating_add(u64::try_from(wall.saturating_sub(now.wall)).unwrap_or(0)))
}

/// The period that contains `wall`.
fn period(every: Every, zone: &TimeZone, wall: i64) -> Period {
    local(every, zone, wall).filter(|p| (p.start..p.end).contains(&wall)).unwrap_or_else(|| {
        let start = wall.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        Period { start, end: start.saturating_add(DAY_MS) }
    })
}

fn local(every: Every, zone: &TimeZone, wall: i64) -> Option<Period> {
    let today = Timestamp::from_millisecond(wall).ok()?.to_zoned(zone.clone()).date();
    let (first, next) = match every {
        Every::Day => (today, today.tomorrow().ok()?),
        Every::Month => (today.first_of_month(), today.last_of_month().tomorrow().ok()?),
    };
    Some(Period { start: midnight(first, zone)?, end: midnight(next, zone)? })
}

/// The first instant of a date; where midnight is skipped, the first after it.
fn midnight(date: Date, zone: &TimeZone) -> Option<i64> {
    let start: Zoned = date.to_zoned(zone.clone()).ok()?;
    Some(start.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn zone(name: &str) -> Zone {
        Zone { name: name.into(), rules: TimeZone::get(name).unwrap() }
    }

    fn wall(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn length(zone_name: &str, at: &str) -> i64 {
        let p = period(Every::Day, &zone(zone_name).rules, wall(at));
        p.end - p.start
    }

    #[test]
    fn a_day_has_the_hours_that_it_has() {
        assert_eq!(length("Europe/Berlin", "2026-07-01T12:00:00Z"), 24 * HOUR);
        assert_eq!(length("Europe/Berlin", "2026-03-29T12:00:00Z"), 23 * HOUR);
        assert_eq!(length("Europe/Berlin", "2026-10-25T12:00:00Z"), 25 * HOUR);
        // Midnight itself is skipped there.
        assert_eq!(length("Africa/Cairo", "2026-04-24T12:00:00Z"), 23 * HOUR);
    }

    #[test]
    fn a_month_begins_at_local_midnight() {
        let p = period(Every::Month, &zone("America/New_York").rules, wall("2026-03-01T04:59:59Z"));
        assert_eq!((p.start, p.end), (wall("2026-02-01T05:00:00Z"), wall("2026-03-01T05:00:00Z")));
    }

    #[test]
    fn what_is_under_way_at_midnight_counts_on_both_days() {
        let mut day = Calendar::new(Every::Day, zone("UTC"));
        let evening = Now { mono: Moment(0), wall: wall("2026-01-01T23:59:59Z") };
        day.advance(evening);
        day.hold(2);
        day.arrived(1, evening);
        assert_eq!(day.room_at(0, evening), Moment(1_000));
        let morning = Now { mono: Moment(1_000), wall: evening.wall + 1_000 };
        day.advance(morning);
        assert_eq!(day.used(), 1);
        day.arrived(1, morning);
        assert_eq!(day.used(), 1);
    }

    #[test]
    fn a_clock_that_is_set_gives_nothing_back() {
        let mut day = Calendar::new(Every::Day, zone("UTC"));
        let noon = Now { mono: Moment(0), wall: wall("2026-01-01T12:00:00Z") };
        day.advance(noon);
        day.record(10);
        day.advance(Now { mono: Moment(1_000), wall: noon.wall + 24 * HOUR });
        assert_eq!(day.used(), 10, "set forward by a day");
        let passed = Moment(12 * HOUR.unsigned_abs());
        day.advance(Now { mono: passed, wall: wall("2026-01-02T00:00:00Z") });
        assert_eq!(day.used(), 0);
        day.record(5);
        day.advance(Now {
            mono: passed + std::time::Duration::from_secs(60),
            wall: wall("2026-01-01T23:50:00Z"),
        });
        assert_eq!(day.used(), 15, "set back across midnight");
        day.advance(Now {
            mono: passed + std::time::Duration::from_secs(660),
            wall: wall("2026-01-02T00:00:00Z"),
        });
        assert_eq!(day.used(), 5, "the new day's own charges stay");
    }

    #[test]
    fn a_clock_that_is_set_while_nobody_runs_gives_nothing_back() {
        let mut day = Calendar::new(Every::Day, zone("UTC"));
        let noon = Now { mono: Moment(0), wall: wall("2026-01-01T12:00:00Z") };
        day.advance(noon);
        day.record(10);
        let (written, left) = (day.spent(), day.ends_in_ms(noon));
        let hour = HOUR.unsigned_abs();
        // An hour later, the clock shows the next day.
        let next = Now { mono: Moment(7_000_000), wall: wall("2026-01-02T01:00:00Z") };
        let mut restored = Calendar::new(Every::Day, zone("UTC"));
        restored.restore(written, left - hour, next);
        assert_eq!(restored.used(), 10, "the day is not over");
        let over = Moment(next.mono.0 + 11 * hour);
        restored.advance(Now { mono: Moment(over.0 - 1), wall: next.wall + 11 * HOUR - 1 });
        assert_eq!(restored.used(), 10);
        restored.advance(Now { mono: over, wall: next.wall + 11 * HOUR });
        assert_eq!(restored.used(), 0, "and now it is");
    }
}
