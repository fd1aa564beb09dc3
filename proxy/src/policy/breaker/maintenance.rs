//! Declared maintenance: when the operator knows beforehand that a system is down, and until when.
//!
//! Written `Sat 02:00-04:00 Europe/Berlin`, `Mon,Thu 23:30-00:15 UTC`, `daily 03:00-03:10 UTC`, or once:
//! `2026-12-24T20:00/2026-12-25T02:00 Europe/Berlin`. An end that is not after its start is on the next day.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

/// Most windows that are followed when one begins as another ends; more would be a system that is never up.
const MAX_JOINED: usize = 16;

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// One declared window, perhaps one that comes again.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    days: Days,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq)]
enum Days {
    Weekly { days: Vec<Weekday>, from: Time, to: Time },
    Once { from: DateTime, to: DateTime },
}

/// When the maintenance ends that is on at `wall` (milliseconds since 1970), windows that follow without a gap included.
pub fn end(windows: &[Maintenance], wall: i64) -> Option<i64> {
    let one = |at: i64| windows.iter().filter_map(|window| window.end(at)).max();
    let mut end = one(wall)?;
    for _ in 0..MAX_JOINED {
        match one(end) {
            Some(later) if later > end => end = later,
            _ => break,
        }
    }
    Some(end)
}

impl Maintenance {
    /// Reads the operator's words; the error is a sentence's end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = "such as `Sat 02:00-04:00 Europe/Berlin` or `2026-12-24T20:00/2026-12-25T02:00 UTC`";
        let words: Vec<_> = text.split_whitespace().collect();
        let (days, zone) = match words[..] {
            [days, times, zone] => (weekly(days, times)?, zone),
            [span, zone] => (once(span)?, zone),
            _ => return Err(format!("`{text}` is no maintenance window {shape}")),
        };
        let zone = TimeZone::get(zone).map_err(|_| format!("`{zone}` is no time zone that is known here"))?;
        Ok(Self { days, zone })
    }

    /// When it ends, if it is on at `wall`.
    fn end(&self, wall: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(wall).ok()?;
        match &self.days {
            Days::Once { from, to } => self.within(*from, *to, now),
            Days::Weekly { days, from, to } => {
                let today = now.to_zoned(self.zone.clone()).date();
                // One that began yesterday may last until today.
                let began = [today.yesterday().ok(), Some(today)].into_iter().flatten();
                let began = began.filter(|date| days.contains(&date.weekday()));
                began.filter_map(|date| self.within_day(date, (*from, *to), now)).max()
            }
        }
    }

    fn within_day(&self, date: Date, (from, to): (Time, Time), now: Timestamp) -> Option<i64> {
        let last = if to > from { date } else { date.tomorrow().ok()? };
        self.within(date.to_datetime(from), last.to_datetime(to), now)
    }

    /// The end, if `now` is between the two local times.
    fn within(&self, from: DateTime, to: DateTime, now: Timestamp) -> Option<i64> {
        let instant = |local: DateTime| self.zone.to_ambiguous_timestamp(local);
        // An hour that comes twice belongs to the window both times.
        let (from, to) = (instant(from).earlier().ok()?, instant(to).later().ok()?);
        (from <= now && now < to).then(|| to.as_millisecond())
    }
}

fn weekly(days: &str, times: &str) -> Result<Days, String> {
    let (from, to) =
        times.split_once('-').ok_or_else(|| format!("`{times}` is no time span `HH:MM-HH:MM`"))?;
    Ok(Days::Weekly { days: weekdays(days)?, from: time(from)?, to: time(to)? })
}

fn weekdays(text: &str) -> Result<Vec<Weekday>, String> {
    if text == "daily" {
        return Ok(WEEKDAYS.map(|(_, day)| day).to_vec());
    }
    let day = |word: &str| {
        let known = WEEKDAYS.iter().find(|(name, _)| *name == word);
        known.map(|(_, day)| *day).ok_or_else(|| format!("`{word}` is no day: Mon to Sun, or `daily`"))
    };
    text.split(',').map(day).collect()
}

fn time(text: &str) -> Result<Time, String> {
    let number = |digits: &str| if digits.len() == 2 { digits.parse::<i8>().ok() } else { None };
    text.split_once(':')
        .and_then(|(hour, minute)| Time::new(number(hour)?, number(minute)?, 0, 0).ok())
        .ok_or_else(|| format!("`{text}` is no time of day `HH:MM`"))
}

fn once(span: &str) -> Result<Days, String> {
    let read = |text: &str| {
        text.parse::<DateTime>().map_err(|_| format!("`{text}` is no local time `YYYY-MM-DDTHH:MM`"))
    };
    let (from, to) = span.split_once('/').ok_or_else(|| format!("`{span}` is no span `from/to`"))?;
    let (from, to) = (read(from)?, read(to)?);
    if to <= from { Err(format!("`{span}` ends before it begins")) } else { Ok(Days::Once { from, to }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn ends(windows: &[&str], at: &str) -> Option<String> {
        let windows: Vec<_> = windows.iter().map(|w| Maintenance::parse(w).unwrap()).collect();
        let end = end(&windows, wall(at))?;
        Some(Timestamp::from_millisecond(end).unwrap().to_string())
    }

    #[test]
    fn a_weekly_window_holds_on_its_day_from_its_start_until_right_before_its_end() {
        let window = ["Sat 02:00-04:00 Europe/Berlin"];
        assert_eq!(ends(&window, "2026-11-21T00:59:59.999Z"), None);
        assert_eq!(ends(&window, "2026-11-21T01:00:00Z").unwrap(), "2026-11-21T03:00:00Z");
        assert_eq!(ends(&window, "2026-11-21T02:59:59.999Z").unwrap(), "2026-11-21T03:00:00Z");
        assert_eq!(ends(&window, "2026-11-21T03:00:00Z"), None);
        assert_eq!(ends(&window, "2026-11-22T02:00:00Z"), None);
    }

    #[test]
    fn a_window_may_last_past_midnight() {
        let window = ["Mon,Thu 23:30-00:15 UTC"];
        assert_eq!(ends(&window, "2026-11-23T23:45:00Z").unwrap(), "2026-11-24T00:15:00Z");
        assert_eq!(ends(&window, "2026-11-24T00:14:00Z").unwrap(), "2026-11-24T00:15:00Z");
        assert_eq!(ends(&window, "2026-11-24T23:45:00Z"), None);
    }

    #[test]
    fn a_window_that_happens_once() {
        let window = ["2026-12-24T20:00/2026-12-25T02:00 Europe/Berlin"];
        assert_eq!(ends(&window, "2026-12-25T00:00:00Z").unwrap(), "2026-12-25T01:00:00Z");
        assert_eq!(ends(&window, "2027-12-25T00:00:00Z"), None);
    }

    #[test]
    fn windows_that_follow_each_other_are_one() {
        let windows = ["daily 01:00-02:00 UTC", "daily 02:00-03:00 UTC", "daily 01:30-02:30 UTC"];
        assert_eq!(ends(&windows, "2026-11-23T01:10:00Z").unwrap(), "2026-11-23T03:00:00Z");
    }

    #[test]
    fn a_night_on_which_the_clocks_change_keeps_its_local_times() {
        // 02:00 to 03:00 comes twice on 2026-10-25, and not at all on 2027-03-28.
        let window = ["daily 02:30-04:00 Europe/Berlin"];
        assert_eq!(ends(&window, "2026-10-25T00:30:00Z").unwrap(), "2026-10-25T03:00:00Z");
        assert_eq!(ends(&window, "2027-03-28T01:45:00Z").unwrap(), "2027-03-28T02:00:00Z");
    }

    #[test]
    fn what_is_no_window_is_said() {
        for (text, word) in [
            ("Sat 02:00-04:00", "no span"),
            ("Saturday 02:00-04:00 UTC", "no day"),
            ("Sat 2-4 UTC", "no time of day"),
            ("Sat 02:00-25:00 UTC", "25:00"),
            ("Sat 02:00-04:00 Mars/Olympus", "Mars/Olympus"),
            ("2026-12-25T02:00/2026-12-24T20:00 UTC", "before it begins"),
            ("always", "such as"),
        ] {
            let error = Maintenance::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
