//! Answers: from PostgreSQL's binary form to JSON text, by type.
//!
//! This file knows which type is written how; the others write: `json` (the bounded output), `number`, `time`,
//! `nested` (arrays, composites, ranges), `plain` (everything that is a short text). Types that are not in the table are said before
//! the statement runs, so that it can be repeated with a cast.

mod json;
mod nested;
mod number;
mod plain;
mod time;

use postgres_protocol::types as wire;
use tokio_postgres::types::{FromSql, Kind, Type};

pub(super) use json::Json;

/// Why a value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It does not fit into what is left of the byte cap.
    Full,
    /// No rule for its type.
    Unsupported,
    /// It is not what its type says.
    Malformed,
}

/// A value's bytes, of any type.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How the values of a type are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Boolean,
    Int2,
    Int4,
    Int8,
    Unsigned4,
    Unsigned8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// Text behind one byte of version.
    VersionedText,
    Json,
    Jsonb,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Bytes,
    Address,
    HardwareAddress,
    Bits,
    LogPosition,
    TupleId,
    Nothing,
    /// The element's type stands in the value itself.
    AnyArray,
    Record,
}

/// The rule for a type that is not made of other types.
fn rule(ty: &Type) -> Option<Rule> {
    Some(match *ty {
        Type::BOOL => Rule::Boolean,
        Type::INT2 => Rule::Int2,
        Type::INT4 => Rule::Int4,
        Type::INT8 => Rule::Int8,
        Type::OID | Type::XID | Type::CID => Rule::Unsigned4,
        Type::XID8 => Rule::Unsigned8,
        Type::FLOAT4 => Rule::Float4,
        Type::FLOAT8 => Rule::Float8,
        Type::NUMERIC => Rule::Numeric,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::UNKNOWN | Type::XML => {
            Rule::Text
        }
        Type::CSTRING | Type::REFCURSOR => Rule::Text,
        Type::JSONPATH => Rule::VersionedText,
        Type::JSON => Rule::Json,
        Type::JSONB => Rule::Jsonb,
        Type::DATE => Rule::Date,
        Type::TIME => Rule::Time,
        Type::TIMETZ => Rule::TimeTz,
        Type::TIMESTAMP => Rule::Timestamp,
        Type::TIMESTAMPTZ => Rule::TimestampTz,
        Type::INTERVAL => Rule::Interval,
        Type::UUID => Rule::Uuid,
        Type::BYTEA => Rule::Bytes,
        Type::INET | Type::CIDR => Rule::Address,
        Type::MACADDR | Type::MACADDR8 => Rule::HardwareAddress,
        Type::BIT | Type::VARBIT => Rule::Bits,
        Type::PG_LSN => Rule::LogPosition,
        Type::TID => Rule::TupleId,
        Type::VOID => Rule::Nothing,
        Type::ANYARRAY => Rule::AnyArray,
        Type::RECORD => Rule::Record,
        // Types of extensions have no fixed number, only a name.
        _ => match ty.name() {
            "citext" => Rule::Text,
            "ltree" | "lquery" | "ltxtquery" => Rule::VersionedText,
            _ => return None,
        },
    })
}

/// Whether values of this type can be written, as far as the type alone tells.
pub(super) fn is_supported(ty: &Type) -> bool {
    rule(ty).is_some()
        || match ty.kind() {
            Kind::Enum(_) => true,
            Kind::Domain(inner) | Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
                is_supported(inner)
            }
            Kind::Composite(fields) => fields.iter().all(|field| is_supported(field.type_())),
            _ => false,
        }
}

/// Writes one value of a type.
pub(super) fn write(ty: &Type, raw: Option<&[u8]>, out: &mut Json) -> Result<(), Stop> {
    let Some(raw) = raw else { return out.raw("null") };
    if let Some(rule) = rule(ty) {
        return write_by(rule, raw, out);
    }
    match ty.kind() {
        Kind::Enum(_) => out.string(text(raw)?),
        Kind::Domain(inner) => write(inner, Some(raw), out),
        Kind::Array(element) => nested::array(Some(element), raw, out),
        Kind::Range(bound) => nested::range(bound, raw, out),
        Kind::Multirange(bound) => nested::multirange(bound, raw, out),
        Kind::Composite(fields) => nested::composite(fields, raw, out),
        _ => Err(Stop::Unsupported),
    }
}

fn write_by(rule: Rule, raw: &[u8], out: &mut Json) -> Result<(), Stop> {
    match rule {
        Rule::Boolean => out.raw(if malformed(wire::bool_from_sql(raw))? { "true" } else { "false" }),
        Rule::Int2 => out.integer(i64::from(malformed(wire::int2_from_sql(raw))?)),
        Rule::Int4 => out.integer(i64::from(malformed(wire::int4_from_sql(raw))?)),
        Rule::Int8 => out.integer(malformed(wire::int8_from_sql(raw))?),
        Rule::Unsigned4 => out.integer(i64::from(malformed(wire::oid_from_sql(raw))?)),
        Rule::Unsigned8 => out.unsigned(u64::from_be_bytes(fixed(raw)?)),
        Rule::Float4 => number::float4(malformed(wire::float4_from_sql(raw))?, out),
        Rule::Float8 => number::float8(malformed(wire::float8_from_sql(raw))?, out),
        Rule::Numeric => number::numeric(raw, out),
        Rule::Text => out.string(text(raw)?),
        Rule::VersionedText => out.string(text(raw.get(1..).ok_or(Stop::Malformed)?)?),
        Rule::Json => out.raw(text(raw)?),
        Rule::Jsonb => out.raw(text(raw.strip_prefix(&[1]).ok_or(Stop::Malformed)?)?),
        Rule::Date => time::date(malformed(wire::date_from_sql(raw))?, out),
        Rule::Time => time::time(malformed(wire::time_from_sql(raw))?, out),
        Rule::TimeTz => time::time_with_zone(fixed(raw)?, out),
        Rule::Timestamp => time::timestamp(malformed(wire::timestamp_from_sql(raw))?, false, out),
        Rule::TimestampTz => time::timestamp(malformed(wire::timestamp_from_sql(raw))?, true, out),
        Rule::Interval => time::interval(fixed(raw)?, out),
        Rule::Uuid => plain::uuid(malformed(wire::uuid_from_sql(raw))?, out),
        Rule::Bytes => plain::bytes(raw, out),
        Rule::Address => plain::address(raw, out),
        Rule::HardwareAddress => plain::hardware_address(raw, out),
        Rule::Bits => plain::bits(raw, out),
        Rule::LogPosition => plain::log_position(u64::from_be_bytes(fixed(raw)?), out),
        Rule::TupleId => plain::tuple_id(fixed(raw)?, out),
        Rule::Nothing => out.raw("null"),
        Rule::AnyArray => nested::array(None, raw, out),
        Rule::Record => nested::record(raw, out),
    }
}

fn text(raw: &[u8]) -> Result<&str, Stop> {
    malformed(std::str::from_utf8(raw))
}

/// Bytes of a type that always has the same number of them.
fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], Stop> {
    malformed(raw.try_into())
}

fn malformed<T, E>(result: Result<T, E>) -> Result<T, Stop> {
    result.map_err(|_| Stop::Malformed)
}

/// As PostgreSQL writes the type: an array is its element with brackets.
pub(super) fn type_name(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(element) => format!("{}[]", element.name()),
        _ => ty.name().to_owned(),
    }
}
