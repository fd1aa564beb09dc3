//! Parameters: from a guest's values to PostgreSQL's text form, for whatever type the server wants.
//!
//! Whether a text is a valid date or number is the server's to judge, and it names the parameter when it is not. What
//! is judged here is what would otherwise be sent as something else than was meant.

use std::error::Error;
use std::fmt::Write as _;

use bytes::BytesMut;
use serde_json::Value as Json;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::MAX_PARAMETER_BYTES;
use super::types::Value;
use crate::fault::{Fault, FaultKind};

/// A parameter as it is written to the wire: text, or `NULL`.
pub(super) struct Parameter(Option<String>);

impl std::fmt::Debug for Parameter {
    // The driver may log parameters; what is in them is the caller's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Where a parameter stands in the import's request record.
pub(super) fn path(index: usize) -> String {
    format!("/parameters/{index}")
}

/// Judges the sum of the parameters before anything is sent.
pub(super) fn check_size(values: &[Value]) -> Result<(), Fault> {
    let size = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => size_of::<Value>(),
    };
    if values.iter().map(size).sum::<usize>() > MAX_PARAMETER_BYTES {
        let message = format!("The parameters are larger than {MAX_PARAMETER_BYTES} bytes together.");
        return Err(Fault::new(FaultKind::InvalidArguments, message).with_path("/parameters"));
    }
    Ok(())
}

/// Writes each value as text for the type that the server inferred.
pub(super) fn encode(values: &[Value], types: &[Type]) -> Result<Vec<Parameter>, Fault> {
    if values.len() != types.len() {
        let message =
            format!("The statement has {} parameters, and {} were given.", types.len(), values.len());
        return Err(Fault::new(FaultKind::InvalidArguments, message).with_path("/parameters"));
    }
    let encoded = values.iter().zip(types).enumerate().map(|(index, (value, ty))| {
        let text = text_of(value, base(ty)).map_err(|what| mismatch(index, what, ty))?;
        Ok(Parameter(text))
    });
    encoded.collect()
}

fn mismatch(index: usize, what: &str, ty: &Type) -> Fault {
    let message =
        format!("Parameter ${} is {what}, and the statement wants a value of type {ty}.", index + 1);
    Fault::new(FaultKind::InvalidArguments, message).with_path(path(index))
}

/// The type behind a domain.
fn base(ty: &Type) -> &Type {
    match ty.kind() {
        Kind::Domain(inner) => base(inner),
        _ => ty,
    }
}

fn text_of(value: &Value, ty: &Type) -> Result<Option<String>, &'static str> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => float(*number, ty)?,
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) if *ty == Type::BYTEA => hex(bytes),
        Value::Bytes(_) => return Err("bytes"),
        Value::Json(text) if *ty == Type::JSON || *ty == Type::JSONB => text.clone(),
        Value::Json(text) => return from_json(text, ty),
    };
    Ok(Some(text))
}

fn is_integer(ty: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8, Type::OID].contains(ty)
}

/// JSON knows one kind of number, so `3.0` is a fine integer; `3.5` is not.
fn float(number: f64, ty: &Type) -> Result<String, &'static str> {
    match number {
        _ if number.is_nan() => Ok("NaN".to_owned()),
        f64::INFINITY => Ok("Infinity".to_owned()),
        f64::NEG_INFINITY => Ok("-Infinity".to_owned()),
        _ if is_integer(ty) && number.fract() != 0.0 => Err("not a whole number"),
        // Never writes an exponent, and a whole number without a point.
        _ => Ok(number.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// JSON for a parameter that is not JSON: an array, or a scalar.
fn from_json(text: &str, ty: &Type) -> Result<Option<String>, &'static str> {
    let value: Json = serde_json::from_str(text).map_err(|_| "not valid JSON")?;
    if let Kind::Array(element) = ty.kind() {
        let Json::Array(items) = &value else {
            return if value.is_null() { Ok(None) } else { Err("JSON that is not an array") };
        };
        let mut literal = String::with_capacity(text.len());
        write_array(items, base(element), &mut literal)?;
        return Ok(Some(literal));
    }
    scalar(&value, ty)
}

fn scalar(value: &Json, ty: &Type) -> Result<Option<String>, &'static str> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        Json::Bool(flag) => Ok(Some(flag.to_string())),
        Json::Number(number) => match number.as_f64() {
            Some(float_value) if number.is_f64() => float(float_value, ty).map(Some),
            _ => Ok(Some(number.to_string())),
        },
        _ if is_text(ty) => Ok(Some(value.to_string())),
        Json::Array(_) => Err("a JSON array"),
        Json::Object(_) => Err("a JSON object"),
    }
}

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR].contains(ty)
}

/// PostgreSQL's array literal. Every element but `NULL` is quoted, so that no element can be read as syntax.
fn write_array(items: &[Json], element: &Type, out: &mut String) -> Result<(), &'static str> {
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_element(item, element, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_element(item: &Json, element: &Type, out: &mut String) -> Result<(), &'static str> {
    let is_json = *element == Type::JSON || *element == Type::JSONB;
    match item {
        Json::Null => out.push_str("NULL"),
        Json::Array(items) if !is_json => write_array(items, element, out)?,
        _ => {
            let text = if is_json { Some(item.to_string()) } else { scalar(item, element)? };
            quote(&text.unwrap_or_default(), out);
        }
    }
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: Value, ty: Type) -> Result<Option<String>, String> {
        let encoded = encode(&[value], &[ty])
            .map_err(|fault| format!("{} {}", fault.path.clone().unwrap(), fault.message))?;
        Ok(encoded.into_iter().next().unwrap().0)
    }

    fn json(text: &str, ty: Type) -> Option<String> {
        one(Value::Json(text.into()), ty).unwrap()
    }

    #[test]
    fn whole_floats_are_integers_and_others_are_not() {
        assert_eq!(one(Value::Float(3.0), Type::INT4).unwrap().unwrap(), "3");
        assert_eq!(one(Value::Float(1e20), Type::NUMERIC).unwrap().unwrap(), "100000000000000000000");
        let refused = one(Value::Float(3.5), Type::INT8).unwrap_err();
        assert!(refused.starts_with("/parameters/0 Parameter $1 is not a whole number"), "{refused}");
    }

    #[test]
    fn json_arrays_become_array_literals_that_cannot_be_read_as_syntax() {
        assert_eq!(
            json(r#"["a,b}","\"\\",null,"NULL",""]"#, Type::TEXT_ARRAY).unwrap(),
            r#"{"a,b}","\"\\",NULL,"NULL",""}"#
        );
        assert_eq!(
            json("[[1,2.0],[null,9007199254740993]]", Type::INT8_ARRAY).unwrap(),
            r#"{{"1","2"},{NULL,"9007199254740993"}}"#
        );
        assert_eq!(json(r#"[{"a":1},[2]]"#, Type::JSONB_ARRAY).unwrap(), r#"{"{\"a\":1}","[2]"}"#);
        assert_eq!(json("[]", Type::TEXT_ARRAY).unwrap(), "{}");
        assert_eq!(json("null", Type::TEXT_ARRAY), None);
    }

    #[test]
    fn json_scalars_lose_their_quotes_except_where_json_is_wanted() {
        assert_eq!(json(r#""x""#, Type::TEXT).unwrap(), "x");
        assert_eq!(json(r#""x""#, Type::JSONB).unwrap(), r#""x""#);
        assert_eq!(json(r#"{"a":1}"#, Type::TEXT).unwrap(), r#"{"a":1}"#);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_number() {
        for (value, ty) in [
            (Value::Bytes(vec![1]), Type::TEXT),
            (Value::Json("{}".into()), Type::INT4),
            (Value::Json("{}".into()), Type::TEXT_ARRAY),
            (Value::Json("[1".into()), Type::INT4_ARRAY),
        ] {
            assert!(one(value, ty).unwrap_err().contains("$1"));
        }
        assert_eq!(one(Value::Bytes(vec![0, 255]), Type::BYTEA).unwrap().unwrap(), "\\x00ff");
        assert!(encode(&[], &[Type::TEXT]).is_err());
    }
}
