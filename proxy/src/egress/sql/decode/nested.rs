//! Values made of values. Their depth is that of their type, which somebody had to define.

use fallible_iterator::FallibleIterator;
use postgres_protocol::types::{self as wire, ArrayValues, Range, RangeBound};
use tokio_postgres::types::{Field, Type};

use super::json::Json;
use super::{Stop, malformed, write};

/// A JSON array of arrays, as deep as there are dimensions. Without an element's type, the one in the value counts.
pub(super) fn array(element: Option<&Type>, raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let array = malformed(wire::array_from_sql(raw))?;
    let in_value = Type::from_oid(array.element_type());
    let element = element.or(in_value.as_ref()).ok_or(Stop::Unsupported)?;
    let mut lengths = Vec::new();
    let mut dimensions = array.dimensions();
    while let Some(dimension) = malformed(dimensions.next())? {
        lengths.push(dimension.len);
    }
    if lengths.is_empty() {
        return out.raw("[]");
    }
    level(&lengths, element, &mut array.values(), out)
}

fn level(lengths: &[i32], element: &Type, values: &mut ArrayValues<'_>, out: &mut Json) -> Result<(), Stop> {
    let Some((length, deeper)) = lengths.split_first() else {
        let value = malformed(values.next())?.ok_or(Stop::Malformed)?;
        return write(element, value, out);
    };
    out.raw("[")?;
    for index in 0..*length {
        if index > 0 {
            out.raw(",")?;
        }
        level(deeper, element, values, out)?;
    }
    out.raw("]")
}

/// An object with the names of the fields.
pub(super) fn composite(fields: &[Field], raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let mut parts = Parts::new(raw)?;
    out.raw("{")?;
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.raw(",")?;
        }
        out.string(field.name())?;
        out.raw(":")?;
        let (_, value) = parts.next()?;
        write(field.type_(), value, out)?;
    }
    out.raw("}")
}

/// A row without names, as `ROW(1, 'a')` makes it: an array.
pub(super) fn record(raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let mut parts = Parts::new(raw)?;
    out.raw("[")?;
    for index in 0..parts.count {
        if index > 0 {
            out.raw(",")?;
        }
        let (oid, value) = parts.next()?;
        let ty = Type::from_oid(oid).ok_or(Stop::Unsupported)?;
        write(&ty, value, out)?;
    }
    out.raw("]")
}

/// The fields of a composite value on the wire: type, length, bytes.
struct Parts<'a> {
    count: u32,
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(raw: &'a [u8]) -> Result<Self, Stop> {
        let mut parts = Self { count: 0, rest: raw };
        parts.count = parts.word()?;
        Ok(parts)
    }

    fn next(&mut self) -> Result<(u32, Option<&'a [u8]>), Stop> {
        let (oid, length) = (self.word()?, self.word()?);
        // -1 stands for NULL.
        if length == u32::MAX {
            return Ok((oid, None));
        }
        Ok((oid, Some(self.take(length)?)))
    }

    fn word(&mut self) -> Result<u32, Stop> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(Stop::Malformed)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*word))
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Stop> {
        let (value, rest) = self.rest.split_at_checked(length as usize).ok_or(Stop::Malformed)?;
        self.rest = rest;
        Ok(value)
    }
}

/// `{"lower": …, "upper": …, "bounds": "[)"}`, `null` where there is no bound; or `{"empty": true}`.
pub(super) fn range(bound: &Type, raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let (lower, upper) = match malformed(wire::range_from_sql(raw))? {
        Range::Empty => return out.raw("{\"empty\":true}"),
        Range::Nonempty(lower, upper) => (lower, upper),
    };
    out.raw("{\"lower\":")?;
    let opening = side(bound, lower, out, ["[", "("])?;
    out.raw(",\"upper\":")?;
    let closing = side(bound, upper, out, ["]", ")"])?;
    out.raw(",\"bounds\":")?;
    out.display(format_args!("{opening}{closing}"))?;
    out.raw("}")
}

/// Writes one end of a range and gives its bracket: inclusive or exclusive.
fn side<'a>(
    bound: &Type,
    side: RangeBound<Option<&[u8]>>,
    out: &mut Json,
    [inclusive, exclusive]: [&'a str; 2],
) -> Result<&'a str, Stop> {
    match side {
        RangeBound::Inclusive(value) => write(bound, value, out).map(|()| inclusive),
        RangeBound::Exclusive(value) => write(bound, value, out).map(|()| exclusive),
        RangeBound::Unbounded => out.raw("null").map(|()| exclusive),
    }
}

/// An array of ranges.
pub(super) fn multirange(bound: &Type, raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    let mut parts = Parts::new(raw)?;
    out.raw("[")?;
    for index in 0..parts.count {
        if index > 0 {
            out.raw(",")?;
        }
        let length = parts.word()?;
        range(bound, parts.take(length)?, out)?;
    }
    out.raw("]")
}
