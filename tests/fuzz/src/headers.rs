//! What agents and systems say in headers.

use std::net::Ipv4Addr;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferrata::call::{Caller, Deadline};
use ferrata::egress::said::retry_after;
use ferrata::protocol::guard::Guard;
use ferrata::protocol::hints::{Hints, MetaHints};
use ferrata::protocol::mcp::{Params, headers};
use ferrata::telemetry::TraceContext;
use http::{HeaderMap, HeaderValue, Uri};
use jiff::Timestamp;
use serde_json::json;
use serde_json::value::RawValue;

const LISTENER: &str = "127.0.0.1:4180";
const OURS: &str = "agents.internal";
const OUR_PAGE: &str = "https://console.example";

pub fn run(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else { return };
    match which % 6 {
        0 => host(rest),
        1 => origin(rest),
        2 => wait(rest),
        3 => drop(routing(&mut Unstructured::new(rest))),
        4 => trace(rest),
        _ => hints(rest),
    }
}

fn guard() -> Guard {
    Guard::new(LISTENER.parse().unwrap(), &[OURS.to_owned()], &[OUR_PAGE.to_owned()])
}

/// Whether that is the name or address of this machine, or the configured one, with or without a port.
fn is_ours(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => return address == "::1" && is_port(rest),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let name = name.to_ascii_lowercase();
    let loopback = name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let below = name.strip_suffix(".localhost").is_some_and(|below| !below.contains(is_no_letter));
    is_port(port) && (loopback || name == "localhost" || below || name == OURS)
}

/// Whether no host's name has it.
fn is_no_letter(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.')
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

/// A name for the loopback address that is not written as it should be: nobody else's, and nothing that must be served.
fn is_other_spelling(host: &str) -> bool {
    host.starts_with('[') && host.contains("::") || host.starts_with("[::ffff:127.")
}

fn host(text: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    let headers = HeaderMap::from_iter([(http::header::HOST, value)]);
    let accepted = guard().check(&Uri::from_static("/mcp"), &headers).is_ok();
    let Ok(text) = std::str::from_utf8(text) else { return assert!(!accepted) };
    if !is_other_spelling(text) {
        assert!(!accepted || is_ours(text), "{text:?} is taken for ours");
    }
    // A name of ours is one for every client. Digits only: Rust reads "+5" as a number too.
    let port = text.strip_prefix("localhost:").filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        assert!(accepted, "{text:?}");
    }
}

fn origin(text: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    let host = (http::header::HOST, HeaderValue::from_static("localhost"));
    let headers = HeaderMap::from_iter([host, (http::header::ORIGIN, value)]);
    if guard().check(&Uri::from_static("/mcp"), &headers).is_err() {
        return;
    }
    let text = std::str::from_utf8(text).unwrap();
    // What a browser makes of the same text; it visits no page whose name is punycode of nothing.
    let page = match url::Url::parse(text) {
        Ok(page) => page,
        Err(_) if text.to_ascii_lowercase().contains("xn--") => return,
        Err(error) => panic!("{text:?}: {error}"),
    };
    let host = page.host_str().unwrap_or_default();
    let known = page.origin().ascii_serialization() == OUR_PAGE;
    assert!(known || is_ours(host) || is_other_spelling(host), "{text:?} is taken for ours: {host}");
}

fn wait(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let digits = !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit());
        match retry_after(text) {
            Some(wait) if digits => {
                assert_eq!(wait.as_secs(), text.trim().parse().unwrap_or(u64::MAX), "{text:?}");
            }
            Some(_) => assert!(text.contains(':'), "{text:?} is no date"),
            None => assert!(!digits, "{text:?}"),
        }
    }
    if let Some(bytes) = input.first_chunk() {
        // Dates of four digits.
        let second = i64::from(u32::from_le_bytes(*bytes));
        let date = Timestamp::from_second(second).unwrap();
        let written = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let left = u64::try_from(second - Timestamp::now().as_second()).unwrap_or(0);
        let read = retry_after(&written).unwrap_or_else(|| panic!("{written}")).as_secs();
        assert!(read.abs_diff(left) <= 1, "{written}: {read} for {left}");
    }
}

/// The headers that repeat the body: right if each says once what the body says.
fn routing(input: &mut Unstructured<'_>) -> Result<()> {
    let name = String::arbitrary(input)?;
    let text = json!({ "name": name }).to_string();
    let raw = RawValue::from_string(text).unwrap();
    let params = Params::read(Some(&raw)).unwrap_or_else(|error| panic!("{error:?}"));
    let mut map = HeaderMap::new();
    map.insert(headers::VERSION, HeaderValue::from_static("2026-07-28"));
    map.insert("mcp-method", HeaderValue::from_static("tools/call"));
    let verdict = |map: &HeaderMap| headers::check(map, "2026-07-28", "tools/call", &params).is_ok();
    assert!(!verdict(&map), "without a name");

    let encoded = HeaderValue::from_str(&format!("=?base64?{}?=", STANDARD.encode(&name))).unwrap();
    map.insert("mcp-name", encoded);
    assert!(verdict(&map), "{name:?}");

    let other = <Vec<u8>>::arbitrary(input)?;
    if let Ok(value) = HeaderValue::from_bytes(&other) {
        map.insert("mcp-name", value.clone());
        let inside = other.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?="));
        let meant = match inside {
            Some(encoded) => STANDARD.decode(encoded).ok(),
            None => Some(other),
        };
        assert_eq!(verdict(&map), meant.as_deref() == Some(name.as_bytes()), "{value:?} for {name:?}");
        map.append("mcp-name", value);
        assert!(!verdict(&map), "twice");
    }
    Ok(())
}

fn trace(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let context = TraceContext::continue_from(Some(text));
    let again = TraceContext::continue_from(Some(&context.to_string()));
    assert_eq!(again.trace_id(), context.trace_id());
    let text = text.trim();
    let fields: Vec<_> = text.split('-').collect();
    let valid = fields.len() >= 4
        && fields[..4].iter().map(|field| field.len()).eq([2, 32, 16, 2])
        && fields[..4].concat().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && fields[0] != "ff"
        && (fields[0] != "00" || fields.len() == 4)
        && fields[1..3].iter().all(|id| id.bytes().any(|b| b != b'0'));
    assert_eq!(valid, fields.get(1).is_some_and(|id| *id == context.trace_id()), "{text:?}");
}

fn hints(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    for name in ["ferrata-timeout-ms", "ferrata-workflow", "idempotency-key"] {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.clone())]);
        let Ok(hints) = Hints::read(MetaHints::default(), Some(&headers)) else { continue };
        let text = std::str::from_utf8(input).unwrap();
        let call = hints.into_call(RawValue::from_string("{}".into()).unwrap(), Caller::anonymous());
        match (name, call.timeout, call.workflow, call.idempotency_key) {
            ("ferrata-timeout-ms", Some(timeout), None, None) => {
                assert_eq!(text.parse().map(Duration::from_millis), Ok(timeout));
                assert!(text.bytes().all(|b| b.is_ascii_digit()), "{text:?}");
                assert!(Deadline::after(timeout).remaining() > Duration::ZERO);
            }
            ("ferrata-workflow", None, Some(said), None) | ("idempotency-key", None, None, Some(said)) => {
                assert_eq!(said, text);
            }
            other => panic!("{other:?} of {text:?}"),
        }
    }
}
