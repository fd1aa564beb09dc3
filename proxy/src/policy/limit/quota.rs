//! What a wall says, as everybody writes it: `100000/24h`, `20/min`, `500000/day Europe/Berlin`, `8 concurrent`, `5/s paced`.
//!
//! Owns the text, what it means and what it may not be. Which calls a quota is about is [`super::walls`]'s.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Longest rolling window, in milliseconds: no system known counts over more than a month.
const MAX_WINDOW_MS: u64 = 31 * DAY;

/// Largest count: sums of it stay far from the end of 64 bits, and are exact in the numbers of a shared store.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// How much a system lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At most this much cost; calls, for [`Kind::Concurrent`].
    pub count: u64,
    pub kind: Kind,
}

/// What the count is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any span of so many milliseconds.
    Rolling { window_ms: u64, paced: bool },
    /// A day or month that begins at local midnight.
    Calendar { every: Every, zone: Zone },
    /// All calls under way.
    Concurrent,
}

/// What a calendar window spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    Day,
    Month,
}

/// A time zone that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub name: Box<str>,
    pub rules: TimeZone,
}

impl Quota {
    /// Whether both count over the same span, so that the smaller count makes the other one void.
    pub fn same_kind(&self, other: &Self) -> bool {
        use Kind::{Calendar, Concurrent, Rolling};
        match (&self.kind, &other.kind) {
            (Rolling { window_ms: a, .. }, Rolling { window_ms: b, .. }) => a == b,
            (Calendar { every: a, zone: x }, Calendar { every: b, zone: y }) => a == b && x.name == y.name,
            (Concurrent, Concurrent) => true,
            _ => false,
        }
    }

    /// What it counts over, without the count: `24h`, `day Europe/Berlin`, `concurrent`.
    pub fn span_name(&self) -> String {
        match &self.kind {
            Kind::Concurrent => "concurrent".to_owned(),
            Kind::Calendar { every: Every::Day, zone } => format!("day {}", zone.name),
            Kind::Calendar { every: Every::Month, zone } => format!("month {}", zone.name),
            Kind::Rolling { window_ms, .. } => {
                let units = [(HOUR, "h"), (MINUTE, "min"), (SECOND, "s")];
                let (ms, unit) = units.into_iter().find(|(ms, _)| window_ms % ms == 0).unwrap_or((1, "ms"));
                match window_ms / ms {
                    1 => unit.to_owned(),
                    n => format!("{n}{unit}"),
                }
            }
        }
    }

    /// The nominal span in milliseconds; none for [`Kind::Concurrent`].
    pub fn span_ms(&self) -> Option<u64> {
        match &self.kind {
            Kind::Rolling { window_ms, .. } => Some(*window_ms),
            Kind::Calendar { every: Every::Day, .. } => Some(DAY),
            Kind::Calendar { every: Every::Month, .. } => Some(30 * DAY),
            Kind::Concurrent => None,
        }
    }
}

impl FromStr for Quota {
    type Err = String;

    /// The error is a sentence that names the text and what it may be.
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map_err(|why| {
            format!(
                "`{text}` is not a wall: {why}; write it like `100000/24h`, `20/min`, `5/s paced`, `500000/day Europe/Berlin` or `8 concurrent`"
            )
        })
    }
}

fn parse(text: &str) -> Result<Quota, String> {
    let mut words = text.split_whitespace();
    let first = words.next().ok_or("it is empty")?;
    let rest: Vec<&str> = words.collect();
    if let Some((digits, period)) = first.split_once('/') {
        let count = count(digits)?;
        return Ok(Quota { count, kind: window(period, &rest)? });
    }
    match rest[..] {
        ["concurrent"] => Ok(Quota { count: count(first)?, kind: Kind::Concurrent }),
        _ => Err("a count is followed by `/` and a period, or by `concurrent`".to_owned()),
    }
}

fn count(digits: &str) -> Result<u64, String> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{digits}` is not a whole number"));
    }
    match digits.parse() {
        Ok(0) => Err("nothing would ever pass".to_owned()),
        Ok(count) if count <= MAX_COUNT => Ok(count),
        _ => Err(format!("the largest count is {MAX_COUNT}")),
    }
}

fn window(period: &str, rest: &[&str]) -> Result<Kind, String> {
    match rest {
        [] => Ok(Kind::Rolling { window_ms: span(period)?, paced: false }),
        ["paced"] => Ok(Kind::Rolling { window_ms: span(period)?, paced: true }),
        [zone] => Ok(Kind::Calendar { every: every(period)?, zone: named_zone(zone)? }),
        [_, more, ..] => Err(format!("`{more}` is one word too many")),
    }
}

fn span(period: &str) -> Result<u64, String> {
    let digits = period.len() - period.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = period.split_at(digits);
    let unit = match unit {
        "s" | "sec" | "second" => SECOND,
        "min" | "minute" => MINUTE,
        "h" | "hour" => HOUR,
        "d" | "day" => DAY,
        "month" => {
            return Err("a month has no fixed length: name its time zone, as in `month UTC`".to_owned());
        }
        _ => return Err(format!("`{unit}` is not one of `s`, `min`, `h`, `d`")),
    };
    let number = if number.is_empty() { Some(1) } else { number.parse().ok() };
    let span = number.and_then(|n: u64| n.checked_mul(unit)).unwrap_or(u64::MAX);
    match span {
        0 => Err("its window has no length".to_owned()),
        _ if span > MAX_WINDOW_MS => Err("its window is longer than 31 days".to_owned()),
        _ => Ok(span),
    }
}

fn every(period: &str) -> Result<Every, String> {
    match period {
        "d" | "day" => Ok(Every::Day),
        "month" => Ok(Every::Month),
        _ => Err(format!(
            "`{period}` does not begin at midnight: with a time zone, the period is `day` or `month`"
        )),
    }
}

fn named_zone(name: &str) -> Result<Zone, String> {
    let rules = TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))?;
    Ok(Zone { name: name.into(), rules })
}

/// The same quota is always written the same way: it is a wall's name.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, span) = (self.count, self.span_name());
        match &self.kind {
            Kind::Concurrent => write!(f, "{count} {span}"),
            Kind::Rolling { paced: true, .. } => write!(f, "{count}/{span} paced"),
            Kind::Rolling { .. } | Kind::Calendar { .. } => write!(f, "{count}/{span}"),
        }
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> Cow<'static, str> {
        "Wall".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "100000/24h or 20/min (a rolling window), 5/s paced (evenly spread), 500000/day Europe/Berlin or 1000000/month UTC (from midnight), 8 concurrent",
            "pattern": r"^[1-9][0-9]*(/([0-9]*(s|sec|second|min|minute|h|hour|d|day)( paced)?|(d|day|month) [A-Za-z0-9_+/-]+)| concurrent)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        text.parse::<Quota>().map_or_else(|e| panic!("{e}"), |q| q.to_string())
    }

    #[test]
    fn a_wall_is_written_in_one_way() {
        for same in
            ["100000/24h", "20/min", "500000/day Europe/Berlin", "8 concurrent", "5/s paced", "1/month UTC"]
        {
            assert_eq!(written(same), same);
        }
        assert_eq!(written("500000/d"), "500000/24h");
        assert_eq!(written("20/60s"), "20/min");
        assert_eq!(written(" 90/90second "), "90/90s");
    }

    #[test]
    fn what_is_no_wall_is_refused_with_the_reason() {
        let why = |text: &str| text.parse::<Quota>().unwrap_err();
        assert!(why("20/m").contains("`m` is not one of"));
        assert!(why("0/min").contains("nothing would ever pass"));
        assert!(why("99999999999999999999/min").contains("largest count"));
        assert!(why("20/0s").contains("no length"));
        assert!(why("20/32d").contains("31 days"));
        assert!(why("20/99999999999999999d").contains("31 days"));
        assert!(why("5/day Mars/Olympus").contains("`Mars/Olympus`"));
        assert!(why("5/h Europe/Berlin").contains("`day` or `month`"));
        assert!(why("5/month").contains("month UTC"));
        assert!(why("5/s paced twice").contains("`twice`"));
        assert!(why("many concurrent").contains("whole number"));
        assert!(why("8").contains("concurrent"));
        assert!(why("").contains("empty"));
        assert!(why("-1/s").contains("whole number"));
    }

    #[test]
    fn the_published_pattern_knows_what_the_parser_knows() {
        let json = serde_json::to_string("20/min").unwrap();
        let quota: Quota = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&quota).unwrap(), json);
    }
}
