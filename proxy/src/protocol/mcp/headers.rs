//! The headers that repeat what a modern request's body says, for intermediaries to route by.
//!
//! A request whose headers and body disagree is refused: whoever routed it by the headers judged
//! another request than the one that would be served.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::params::Params;
use crate::connector::Mirror;
use crate::protocol::jsonrpc::Error;

/// Headers and body do not say the same.
pub const HEADER_MISMATCH: i32 = -32020;

pub const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

/// The revision that a request names in its header, if it names one.
pub fn version(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(VERSION).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// Compares the routing headers with the body of a modern request.
pub fn check(headers: &HeaderMap, version: &str, method: &str, params: &Params<'_>) -> Result<(), Error> {
    must_equal(headers, VERSION, version)?;
    must_equal(headers, METHOD, method)?;
    let name = match method {
        "tools/call" | "prompts/get" => params.name(),
        "resources/read" => params.uri(),
        _ => None,
    };
    let Some(name) = name else { return Ok(()) };
    let header = single(headers, NAME)?;
    let same = decode(header).is_some_and(|header| *header == *name.as_bytes());
    same.then_some(()).ok_or_else(|| mismatch(NAME))
}

/// Compares what a tool wants repeated in headers with the arguments of a call. An argument that is not there, or `null`, has no header.
pub fn check_mirrors(headers: &HeaderMap, mirrors: &[Mirror], arguments: &RawValue) -> Result<(), Error> {
    if mirrors.is_empty() {
        return Ok(());
    }
    let arguments: Value = serde_json::from_str(arguments.get())
        .map_err(|error| Error::invalid_params(format!("`arguments` could not be read: {error}")))?;
    for Mirror { header, path } in mirrors {
        let value = path.iter().try_fold(&arguments, |value, name| value.get(name)).unwrap_or(&Value::Null);
        match value {
            Value::Null if !headers.contains_key(header) => {}
            value => {
                let said = decode(single(headers, header)?);
                said.filter(|said| says(said, value)).ok_or_else(|| mismatch(header))?;
            }
        }
    }
    Ok(())
}

fn says(header: &[u8], value: &Value) -> bool {
    match value {
        Value::String(text) => header == text.as_bytes(),
        Value::Bool(truth) => header == truth.to_string().as_bytes(),
        // `42` and `42.0` are one number.
        Value::Number(number) => serde_json::from_slice::<Number>(header).is_ok_and(|said| {
            let whole = said.as_i64().zip(number.as_i64());
            whole.map_or_else(|| said.as_f64() == number.as_f64(), |(said, number)| said == number)
        }),
        _ => false,
    }
}

fn must_equal(headers: &HeaderMap, name: &'static str, body: &str) -> Result<(), Error> {
    let same = single(headers, name)?.as_bytes() == body.as_bytes();
    same.then_some(()).ok_or_else(|| mismatch(name))
}

/// The header's only value: of several, two readers might take different ones.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a HeaderValue, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Error::new(HEADER_MISMATCH, format!("The header {name} is missing"))),
        (Some(_), Some(_)) => {
            Err(Error::new(HEADER_MISMATCH, format!("The header {name} comes more than once")))
        }
    }
}

fn mismatch(name: &str) -> Error {
    Error::new(HEADER_MISMATCH, format!("The header {name} does not say what the body says"))
}

/// A header's value as the client meant it: `=?base64?…?=` holds text that does not fit a header. What looks
/// encoded and cannot be decoded equals nothing.
fn decode(value: &HeaderValue) -> Option<Cow<'_, [u8]>> {
    let bytes = value.as_bytes();
    match bytes.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(encoded) => STANDARD.decode(encoded).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION_VALUE: &str = "2026-07-28";

    fn verdict(method: &str, params: &str, headers: &[(&'static str, &str)]) -> Result<(), i32> {
        let raw = serde_json::value::RawValue::from_string(params.into()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let params = Params::read(Some(&raw)).unwrap();
        check(&map, VERSION_VALUE, method, &params).map_err(|error| error.code)
    }

    #[test]
    fn version_and_method_must_be_there_once_and_agree() {
        let good = [(VERSION, VERSION_VALUE), (METHOD, "tools/list")];
        assert_eq!(verdict("tools/list", "{}", &good), Ok(()));
        for bad in [
            &[(VERSION, VERSION_VALUE)][..],
            &[(METHOD, "tools/list")],
            &[(VERSION, "2025-11-25"), good[1]],
            &[good[0], (METHOD, "TOOLS/LIST")],
            &[good[0], good[1], good[1]],
        ] {
            assert_eq!(verdict("tools/list", "{}", bad), Err(HEADER_MISMATCH), "{bad:?}");
        }
    }

    #[test]
    fn repeated_arguments_say_what_the_arguments_say() {
        let mirror =
            |name: &str| Mirror { header: format!("mcp-param-{name}"), path: vec!["o".into(), name.into()] };
        let mirrors = ["text", "count", "on"].map(mirror);
        let verdict = |arguments: &str, headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let arguments = RawValue::from_string(arguments.into()).unwrap();
            check_mirrors(&headers.collect(), &mirrors, &arguments).map_err(|error| error.code)
        };
        let all = r#"{"o":{"text":"Hello","count":42,"on":true}}"#;
        let (text, count, on) =
            (("mcp-param-text", "Hello"), ("mcp-param-count", "42.0"), ("mcp-param-on", "true"));
        assert_eq!(verdict(all, &[text, count, on]), Ok(()));
        assert_eq!(verdict(all, &[("mcp-param-text", "=?base64?SGVsbG8=?="), count, on]), Ok(()));
        assert_eq!(verdict(r#"{"o":{"text":null}}"#, &[]), Ok(()));
        assert_eq!(verdict("{}", &[("mcp-param-other", "x")]), Ok(()));
        for (arguments, headers) in [
            (all, &[count, on][..]),
            (all, &[("mcp-param-text", "hello"), count, on]),
            (all, &[("mcp-param-text", "=?base64?SGVsbG8?="), count, on]),
            (all, &[("mcp-param-text", "=?base64?SGVs!!!bG8=?="), count, on]),
            (all, &[text, ("mcp-param-count", "43"), on]),
            (all, &[text, count, ("mcp-param-on", "True")]),
            ("{}", &[text]),
            (r#"{"o":{"text":null}}"#, &[text]),
            (r#"{"o":{"text":["Hello"]}}"#, &[text]),
        ] {
            assert_eq!(verdict(arguments, headers), Err(HEADER_MISMATCH), "{arguments} {headers:?}");
        }
    }

    #[test]
    fn a_name_may_be_encoded_and_must_be_the_bodys() {
        let with_name = |name: &'static str| {
            let headers = [(VERSION, VERSION_VALUE), (METHOD, "tools/call"), (NAME, name)];
            verdict("tools/call", r#"{"name":"crm_höhe"}"#, &headers)
        };
        assert_eq!(with_name("=?base64?Y3JtX2jDtmhl?="), Ok(()));
        for wrong in ["crm_h", "", "=?base64?Y3JtX2jDtmhl", "=?base64?Y3JtX2jDtmhl=?=", "=?base64?!!!?="] {
            assert_eq!(with_name(wrong), Err(HEADER_MISMATCH), "{wrong}");
        }
        let without = [(VERSION, VERSION_VALUE), (METHOD, "tools/call")];
        assert_eq!(verdict("tools/call", r#"{"name":"a"}"#, &without), Err(HEADER_MISMATCH));
        assert_eq!(verdict("tools/call", "{}", &without), Ok(()));
    }
}
