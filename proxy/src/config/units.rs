//! Durations and sizes as operators write them: `30s`, `1h 30m`, `4MiB`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// Longest duration: nothing here waits for longer than a day.
const MAX_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Largest size, in bytes: nothing here is kept in memory that is larger.
const MAX_SIZE: usize = 1 << 30;

/// A duration with its unit: `500ms`, `30s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Period {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let signed: jiff::SignedDuration = text.parse().map_err(D::Error::custom)?;
        match Duration::try_from(signed) {
            Ok(duration) if duration <= MAX_PERIOD => Ok(Self(duration)),
            Ok(_) => Err(D::Error::custom(format!("`{text}` is longer than a day"))),
            Err(_) => Err(D::Error::custom("a duration cannot be negative")),
        }
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a duration with its unit, at most a day: 500ms, 30s, 1h 30m",
            "pattern": r"^([0-9]+(\.[0-9]+)? ?(ms|s|m|h) ?)+$"
        })
    }
}

/// Days, as in `90d`: how long a secret may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u32);

impl Days {
    /// Ten years.
    const MOST: u32 = 3_650;

    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 86_400)
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let days = text.strip_suffix('d').and_then(|days| days.trim_end().parse::<u32>().ok());
        let days = days.filter(|days| (1..=Self::MOST).contains(days));
        days.map(Self).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a number of days from 1d to {}d", Self::MOST))
        })
    }
}

impl JsonSchema for Days {
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "days: 90d", "pattern": r"^[0-9]+ ?d$" })
    }
}

/// A size in bytes with its unit: `64KiB`, `4MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl ByteSize {
    pub const fn kibibytes(n: usize) -> Self {
        Self(n << 10)
    }

    pub const fn mebibytes(n: usize) -> Self {
        Self(n << 20)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let shift = match text[digits..].trim_start() {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        let bytes = text[..digits].parse::<usize>().ok()?.checked_mul(1 << shift)?;
        (bytes <= MAX_SIZE).then_some(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a size of at most 1GiB, such as 64KiB or 4MiB"))
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a size with its unit, at most 1GiB: 512B, 64KiB, 4MiB",
            "pattern": r"^[0-9]{1,9} ?(B|KiB|MiB|GiB)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Option<Duration> {
        serde_json::from_value::<Period>(text.into()).ok().map(|p| p.0)
    }

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(period("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(period("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(period("30"), None);
        assert_eq!(period("-1s"), None);
        assert_eq!(period("25h"), None);
    }

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(ByteSize::parse("64KiB"), Some(ByteSize::kibibytes(64)));
        assert_eq!(ByteSize::parse("4 MiB"), Some(ByteSize::mebibytes(4)));
        assert_eq!(ByteSize::parse("4"), None);
        assert_eq!(ByteSize::parse("4MB"), None);
        assert_eq!(ByteSize::parse("2GiB"), None);
        assert_eq!(ByteSize::parse("99999999999999999999GiB"), None);
    }
}
