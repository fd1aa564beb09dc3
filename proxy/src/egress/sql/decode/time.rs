//! Dates and times: RFC 3339 in UTC where the type has a zone, ISO 8601 elsewhere.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::Stop;
use super::json::Json;

/// PostgreSQL counts from 2000-01-01, so many seconds after 1970-01-01.
const EPOCH_SECONDS: i64 = 946_684_800;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

const INFINITY: &str = "infinity";
const MINUS_INFINITY: &str = "-infinity";

/// Days since 2000-01-01.
pub(super) fn date(days: i32, out: &mut Json) -> Result<(), Stop> {
    match days {
        i32::MAX => out.display(INFINITY),
        i32::MIN => out.display(MINUS_INFINITY),
        _ => out.display(civil(i64::from(days) * SECONDS_PER_DAY * MICROS_PER_SECOND)?.date()),
    }
}

/// Microseconds since 2000-01-01, in UTC if the type has a zone.
pub(super) fn timestamp(micros: i64, has_zone: bool, out: &mut Json) -> Result<(), Stop> {
    match micros {
        i64::MAX => out.display(INFINITY),
        i64::MIN => out.display(MINUS_INFINITY),
        _ if has_zone => out.display(format_args!("{}Z", civil(micros)?)),
        _ => out.display(civil(micros)?),
    }
}

/// Years beyond 9999 cannot be written in RFC 3339.
fn civil(micros: i64) -> Result<DateTime, Stop> {
    let since_1970 = micros.checked_add(EPOCH_SECONDS * MICROS_PER_SECOND).ok_or(Stop::Unsupported)?;
    let timestamp = Timestamp::from_microsecond(since_1970).map_err(|_| Stop::Unsupported)?;
    Ok(Offset::UTC.to_datetime(timestamp))
}

/// Microseconds since midnight; 24:00:00 is a time.
pub(super) fn time(micros: i64, out: &mut Json) -> Result<(), Stop> {
    out.display(Clock(micros))
}

/// The same, and seconds west of Greenwich.
pub(super) fn time_with_zone(raw: [u8; 12], out: &mut Json) -> Result<(), Stop> {
    let [m0, m1, m2, m3, m4, m5, m6, m7, z0, z1, z2, z3] = raw;
    let clock = Clock(i64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]));
    let west = i32::from_be_bytes([z0, z1, z2, z3]);
    let (sign, minutes) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs() / 60);
    match west {
        0 => out.display(format_args!("{clock}Z")),
        _ => out.display(format_args!("{clock}{sign}{:02}:{:02}", minutes / 60, minutes % 60)),
    }
}

/// A time of day.
struct Clock(i64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / MICROS_PER_SECOND;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}{}", seconds % 60, Fraction(self.0))
    }
}

/// The part of a second, with its point, if there is one.
struct Fraction(i64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.unsigned_abs() % MICROS_PER_SECOND.unsigned_abs() {
            0 => Ok(()),
            micros => f.write_str(format!(".{micros:06}").trim_end_matches('0')),
        }
    }
}

/// Microseconds, days and months, which do not convert into each other; each has a sign of its own.
pub(super) fn interval(raw: [u8; 16], out: &mut Json) -> Result<(), Stop> {
    let [m0, m1, m2, m3, m4, m5, m6, m7, d0, d1, d2, d3, n0, n1, n2, n3] = raw;
    let micros = i64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
    let (days, months) = (i32::from_be_bytes([d0, d1, d2, d3]), i32::from_be_bytes([n0, n1, n2, n3]));
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => out.display(INFINITY),
        (i64::MIN, i32::MIN, i32::MIN) => out.display(MINUS_INFINITY),
        _ => out.display(iso_8601(micros, days, months)),
    }
}

fn iso_8601(micros: i64, days: i32, months: i32) -> String {
    let mut text = "P".to_owned();
    let mut add = |number: i64, unit: &str| {
        if number != 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    };
    add(i64::from(months / 12), "Y");
    add(i64::from(months % 12), "M");
    add(i64::from(days), "D");
    if micros != 0 || (days, months) == (0, 0) {
        text.push('T');
        text.push_str(&clock_part(micros));
    }
    text
}

fn clock_part(micros: i64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, micros % (60 * MICROS_PER_SECOND));
    let mut text = String::new();
    if hours != 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes != 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if rest != 0 || text.is_empty() {
        let sign = if rest < 0 { "-" } else { "" };
        text.push_str(&format!("{sign}{}{}S", (rest / MICROS_PER_SECOND).abs(), Fraction(rest)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Json) -> Result<(), Stop>) -> String {
        let mut out = Json::new(100);
        write(&mut out).unwrap();
        out.into_string().unwrap()
    }

    #[test]
    fn times_are_written_as_the_standards_say() {
        assert_eq!(written(|out| timestamp(0, true, out)), "\"2000-01-01T00:00:00Z\"");
        assert_eq!(written(|out| timestamp(-1_500_000, false, out)), "\"1999-12-31T23:59:58.5\"");
        assert_eq!(written(|out| date(-1, out)), "\"1999-12-31\"");
        assert_eq!(written(|out| date(i32::MAX, out)), "\"infinity\"");
        assert_eq!(written(|out| time(86_400_000_000, out)), "\"24:00:00\"");
        assert_eq!(timestamp(i64::MAX - 1, true, &mut Json::new(100)), Err(Stop::Unsupported));
    }

    #[test]
    fn intervals_keep_the_sign_of_each_part() {
        assert_eq!(iso_8601(0, 0, 0), "PT0S");
        assert_eq!(iso_8601(14_706_789_000, 3, 14), "P1Y2M3DT4H5M6.789S");
        assert_eq!(iso_8601(-500_000, 0, -1), "P-1MT-0.5S");
        assert_eq!(iso_8601(3_600_000_000, 0, 0), "PT1H");
        assert_eq!(iso_8601(0, -2, 0), "P-2D");
    }
}
