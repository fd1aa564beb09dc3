//! Points in time, in the one form that agents see: RFC 3339 in UTC.
//!
//! Systems write time in many ways; a connector reads theirs and returns a [`Timestamp`].

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, to the nanosecond, in the years 0000 to 9999.
///
/// ```
/// use ferrata_sdk::time::Timestamp;
///
/// let slack = Timestamp::from_epoch("1503435956.000247").unwrap();
/// assert_eq!(slack.to_string(), "2017-08-22T21:05:56.000247Z");
/// let salesforce: Timestamp = "2013-05-20T20:49:32.000+0000".parse().unwrap();
/// assert_eq!(salesforce.to_string(), "2013-05-20T20:49:32Z");
/// assert_eq!(salesforce.epoch_seconds(), 1_369_082_972);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// 0000-01-01T00:00:00Z and the last second of 9999, all that RFC 3339 can write.
const FIRST_SECOND: i64 = -62_167_219_200;
const LAST_SECOND: i64 = 253_402_300_799;
/// Digits of a second's fraction that are kept.
const FRACTION_DIGITS: usize = 9;

impl Timestamp {
    fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some(Self { seconds, nanos })
    }

    /// Seconds since 1970 as a decimal text with or without a fraction, the way Slack writes `ts`.
    pub fn from_epoch(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if whole.starts_with(['-', '+']) {
            return None;
        }
        Self::new(whole.parse().ok()?, nanos(fraction)?)
    }

    /// Seconds since 1970.
    pub fn from_epoch_seconds(seconds: i64) -> Option<Self> {
        Self::new(seconds, 0)
    }

    /// Milliseconds since 1970.
    pub fn from_epoch_millis(millis: i64) -> Option<Self> {
        let nanos = u32::try_from(millis.rem_euclid(1000)).ok()? * 1_000_000;
        Self::new(millis.div_euclid(1000), nanos)
    }

    /// Seconds since 1970, rounded down.
    pub fn epoch_seconds(self) -> i64 {
        self.seconds
    }

    /// Milliseconds since 1970, rounded down.
    pub fn epoch_millis(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Seconds since 1970 with six decimals ("1503435956.000247"); rounded down.
    pub fn epoch_text(self) -> String {
        format!("{}.{:06}", self.seconds, self.nanos / 1000)
    }
}

/// RFC 3339 in UTC, with as many decimals as are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// The text is no point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTimestamp;

impl fmt::Display for NoTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date and time with a zone, such as 2026-11-23T09:30:00Z")
    }
}

impl std::error::Error for NoTimestamp {}

/// RFC 3339 with any offset; the offset's colon may be missing.
impl FromStr for Timestamp {
    type Err = NoTimestamp;

    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        parse(text).ok_or(NoTimestamp)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = (rest.get(..8)?, rest.get(8..)?);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let nanos = match fraction.strip_prefix('.') {
        Some(digits) => nanos(digits)?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    let seconds = days(date)? * SECONDS_PER_DAY + second_of_day(clock)? - offset(zone)?;
    Timestamp::new(seconds, nanos)
}

/// "2026-11-23" as days since 1970.
fn days(date: &str) -> Option<i64> {
    let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 7)?, number(date, 8, 10)?);
    let divided = date.get(4..5)? == "-" && date.get(7..8)? == "-";
    let days = days_since_epoch(year, month, day);
    // A date that does not exist comes back as another one.
    (divided && civil(days) == (year, month, day)).then_some(days)
}

/// "09:30:00" as seconds; a leap second counts as the one before it.
fn second_of_day(clock: &str) -> Option<i64> {
    let (hour, minute, second) = (number(clock, 0, 2)?, number(clock, 3, 5)?, number(clock, 6, 8)?);
    let divided = clock.get(2..3)? == ":" && clock.get(5..6)? == ":";
    (divided && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3600 + minute * 60 + second.min(59))
}

/// "Z", "+02:00" or "+0200" as seconds.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return (zone.len() == 1).then_some(0),
    };
    let minutes_at = match zone.len() {
        5 => 3,
        6 if zone.get(3..4)? == ":" => 4,
        _ => return None,
    };
    let (hours, minutes) = (number(zone, 1, 3)?, number(zone, minutes_at, minutes_at + 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A fraction's digits as nanoseconds; what is finer is cut.
fn nanos(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept: u32 = digits.get(..digits.len().min(FRACTION_DIGITS))?.parse().ok()?;
    let missing = u32::try_from(FRACTION_DIGITS.saturating_sub(digits.len())).ok()?;
    Some(kept * 10_u32.pow(missing)).filter(|nanos| *nanos < NANOS_PER_SECOND)
}

/// Days of a cycle of 400 years, and from 0000-03-01 to 1970-01-01.
const DAYS_PER_ERA: i64 = 146_097;
const EPOCH_FROM_MARCH_ZERO: i64 = 719_468;

/// Days since 1970 of a date in the proleptic Gregorian calendar. Years begin in March here, so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH_FROM_MARCH_ZERO
}

/// Year, month and day of a day since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_FROM_MARCH_ZERO;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// A visitor of its own, because the parser knows the place of errors that arise within one.
struct Text;

impl Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date and time with a zone")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
