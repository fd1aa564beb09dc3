//! Numbers with a point.

use super::Stop;
use super::json::Json;

/// Decimal digits that any double gives back unchanged.
const EXACT_DIGITS: usize = 15;
/// Largest power of ten of a number that is written as a JSON number; beyond it doubles end soon.
const MAX_EXPONENT: usize = 300;

pub(super) fn float4(number: f32, out: &mut Json) -> Result<(), Stop> {
    if number.is_finite() { out.float(number) } else { special(f64::from(number), out) }
}

pub(super) fn float8(number: f64, out: &mut Json) -> Result<(), Stop> {
    if number.is_finite() { out.float(number) } else { special(number, out) }
}

/// JSON has no word for these.
fn special(number: f64, out: &mut Json) -> Result<(), Stop> {
    out.raw(match number {
        f64::INFINITY => "\"Infinity\"",
        f64::NEG_INFINITY => "\"-Infinity\"",
        _ => "\"NaN\"",
    })
}

/// Digits on the wire are in base 10 000, four decimal digits each.
const GROUP_BASE: u16 = 10_000;

/// A JSON number when it comes back from a double with the same digits, else a string.
pub(super) fn numeric(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let (head, groups) = raw.split_at_checked(8).ok_or(Stop::Malformed)?;
    let [_, weight, sign, scale] = [0, 2, 4, 6].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return out.raw("\"NaN\""),
        0xD000 => return out.raw("\"Infinity\""),
        0xF000 => return out.raw("\"-Infinity\""),
        _ => return Err(Stop::Malformed),
    };
    let groups: Vec<u16> = groups.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    if groups.iter().any(|group| *group >= GROUP_BASE) {
        return Err(Stop::Malformed);
    }
    let (text, exact) = decimal(&groups, weight.cast_signed(), usize::from(scale), negative);
    if exact { out.raw(&text) } else { out.display(text) }
}

/// The decimal text, and whether a double holds it. `weight` is the place of the first group: 0 stands right before the point.
///
/// At most 131 072 digits before the point and 16 383 after it come of it, by PostgreSQL's own bounds on the two numbers.
fn decimal(groups: &[u16], weight: i16, scale: usize, negative: bool) -> (String, bool) {
    let group_at = |place: i32| {
        let index = i32::from(weight) - place;
        usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for place in (0..=i32::from(weight)).rev() {
        text.push_str(&format!("{:04}", group_at(place)));
    }
    let whole = text.trim_start_matches('0');
    let mut text = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    let whole_digits = text.len();
    if scale > 0 {
        text.push('.');
        let mut place = -1;
        while text.len() < whole_digits + 1 + scale {
            text.push_str(&format!("{:04}", group_at(place)));
            place -= 1;
        }
        text.truncate(whole_digits + 1 + scale);
    }
    let exact =
        whole_digits <= MAX_EXPONENT && scale <= MAX_EXPONENT && significant_digits(&text) <= EXACT_DIGITS;
    if negative {
        text.insert(0, '-');
    }
    (text, exact)
}

fn significant_digits(text: &str) -> usize {
    let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
    let (mut significant, mut trailing_zeros) = (0, 0);
    for digit in digits {
        significant += 1;
        trailing_zeros = if digit == b'0' { trailing_zeros + 1 } else { 0 };
    }
    significant - trailing_zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A numeric on the wire.
    fn numeric_of(groups: &[u16], weight: i16, sign: u16, scale: u16) -> String {
        let head = [u16::try_from(groups.len()).unwrap(), weight.cast_unsigned(), sign, scale];
        let raw: Vec<u8> = head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect();
        let mut out = Json::new(1 << 20);
        numeric(&raw, &mut out).unwrap();
        out.into_string().unwrap()
    }

    #[test]
    fn numerics_are_numbers_while_a_double_gives_them_back() {
        assert_eq!(numeric_of(&[], 0, 0, 0), "0");
        assert_eq!(numeric_of(&[20], 0, 0, 2), "20.00");
        assert_eq!(numeric_of(&[1, 2345, 6789], 1, 0x4000, 4), "-12345.6789");
        assert_eq!(numeric_of(&[12], -2, 0, 8), "0.00000012");
        assert_eq!(numeric_of(&[1], 3, 0, 0), "1000000000000");
        assert_eq!(numeric_of(&[1234, 5678, 9012, 3456], 3, 0, 0), "\"1234567890123456\"");
        assert_eq!(numeric_of(&[1], 100, 0, 0), format!("\"1{}\"", "0".repeat(400)));
        assert_eq!(numeric_of(&[], 0, 0xC000, 0), "\"NaN\"");
    }

    #[test]
    fn floats_keep_their_own_precision() {
        let mut out = Json::new(100);
        float4(0.1, &mut out).unwrap();
        out.raw(" ").unwrap();
        float8(0.1, &mut out).unwrap();
        out.raw(" ").unwrap();
        float8(f64::NEG_INFINITY, &mut out).unwrap();
        assert_eq!(out.into_string().unwrap(), "0.1 0.1 \"-Infinity\"");
    }
}
