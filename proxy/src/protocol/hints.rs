//! What an agent says about a call besides its arguments: deadline, priority, workflow, idempotency key, trace.
//!
//! MCP carries them in `_meta`, plain HTTP in headers; over HTTP an MCP call may use either, and
//! `_meta`, which is nearer to the call, wins.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use serde_json::value::RawValue;

use super::jsonrpc;
use crate::call::{Ask, Caller, Client, Consent, ToolCall};
use crate::policy::Priority;
use crate::telemetry::TraceContext;

/// Longest workflow id and idempotency key: what the common systems take as such a key.
pub const MAX_TOKEN_BYTES: usize = 255;

const TIMEOUT_HEADER: &str = "ferrata-timeout-ms";
const PRIORITY_HEADER: &str = "ferrata-priority";
const WORKFLOW_HEADER: &str = "ferrata-workflow";
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
const TRACE_HEADER: &str = "traceparent";

/// The members of `_meta` that say something about a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaHints<'a> {
    pub timeout_ms: Option<&'a RawValue>,
    pub priority: Option<&'a RawValue>,
    pub workflow: Option<&'a RawValue>,
    pub idempotency_key: Option<&'a RawValue>,
    pub traceparent: Option<&'a RawValue>,
}

/// Checked hints.
#[derive(Debug, PartialEq)]
pub struct Hints {
    timeout: Option<Duration>,
    priority: Option<Priority>,
    workflow: Option<String>,
    idempotency_key: Option<String>,
    trace: Option<String>,
}

impl Hints {
    /// Reads what there is; the error says which hint is wrong and what it may be.
    pub fn read(meta: MetaHints<'_>, headers: Option<&HeaderMap>) -> Result<Self, String> {
        let timeout = pick(meta.timeout_ms, headers, TIMEOUT_HEADER)?;
        let priority = pick(meta.priority, headers, PRIORITY_HEADER)?;
        let workflow = pick(meta.workflow, headers, WORKFLOW_HEADER)?;
        let idempotency_key = pick(meta.idempotency_key, headers, IDEMPOTENCY_HEADER)?;
        let trace = pick(meta.traceparent, headers, TRACE_HEADER);
        Ok(Self {
            timeout: timeout.map(|text| milliseconds(&text)).transpose()?,
            priority: priority.map(|text| self::priority(&text)).transpose()?,
            workflow: workflow.map(|text| checked_token(&text, WORKFLOW_HEADER)).transpose()?,
            idempotency_key: idempotency_key
                .map(|text| checked_token(&text, IDEMPOTENCY_HEADER))
                .transpose()?,
            // A trace is not worth refusing a call for: what is not valid starts a new one.
            trace: trace.unwrap_or_default().map(Cow::into_owned),
        })
    }

    /// The trace that a call goes on with, whatever else it says of itself.
    pub fn trace(meta: MetaHints<'_>, headers: Option<&HeaderMap>) -> TraceContext {
        let sent = pick(meta.traceparent, headers, TRACE_HEADER).unwrap_or_default();
        TraceContext::continue_from(sent.as_deref())
    }

    /// For what is no call of a tool: it writes nothing, and needs no key.
    pub fn into_ask(self, caller: Caller) -> Ask {
        let trace = TraceContext::continue_from(self.trace.as_deref());
        Ask { caller, timeout: self.timeout, trace }
    }

    pub fn into_call(self, arguments: Box<RawValue>, caller: Caller) -> ToolCall {
        let trace = TraceContext::continue_from(self.trace.as_deref());
        // A trace that begins here groups nothing.
        let brought =
            || self.trace.as_ref().and_then(|sent| Some(trace.trace_id()).filter(|id| sent.contains(id)));
        ToolCall {
            arguments,
            caller,
            timeout: self.timeout,
            priority: self.priority,
            workflow: self.workflow.or_else(brought),
            idempotency_key: self.idempotency_key,
            trace,
            inputs: None,
            consent: Consent::default(),
            client: Client::default(),
        }
    }
}

/// One hint's text: a string or a number in `_meta`, else the header.
fn pick<'a>(
    in_meta: Option<&'a RawValue>,
    headers: Option<&'a HeaderMap>,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, String> {
    if let Some(raw) = in_meta {
        let number = raw.get().starts_with(|c: char| c.is_ascii_digit());
        let text = if number { Some(Cow::Borrowed(raw.get())) } else { jsonrpc::text(raw) };
        return text.map(Some).ok_or_else(|| format!("The hint that {name} stands for must be text."));
    }
    let Some(value) = headers.and_then(|headers| headers.get(name)) else { return Ok(None) };
    value.to_str().map(|text| Some(text.into())).map_err(|_| format!("The header {name} must be ASCII."))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(millis) if millis > 0 && !text.starts_with('+') => Ok(Duration::from_millis(millis)),
        _ => Err("The timeout must be a whole number of milliseconds, at least 1.".into()),
    }
}

fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "interactive" => Ok(Priority::Interactive),
        "background" => Ok(Priority::Background),
        _ => Err("The priority must be `interactive` or `background`.".into()),
    }
}

fn checked_token(text: &str, name: &str) -> Result<String, String> {
    let fits = (1..=MAX_TOKEN_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        format!("The hint that {name} stands for must be 1 to {MAX_TOKEN_BYTES} bytes of text.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(meta: &str, headers: &[(&'static str, &str)]) -> Result<Hints, String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let params = RawValue::from_string(format!("{{\"_meta\":{meta}}}")).unwrap();
        let params = crate::protocol::mcp::Params::read(Some(&params)).unwrap();
        Hints::read(params.hints(), Some(&headers.collect()))
    }

    #[test]
    fn headers_speak_where_meta_is_silent() {
        let headers = [
            (TIMEOUT_HEADER, "250"),
            (PRIORITY_HEADER, "background"),
            (WORKFLOW_HEADER, "from header"),
            (IDEMPOTENCY_HEADER, "k-1"),
            (TRACE_HEADER, "t"),
        ];
        let hints = read(r#"{"dev.ferrata/workflow":"from meta","progressToken":1}"#, &headers).unwrap();
        let expected = Hints {
            timeout: Some(Duration::from_millis(250)),
            priority: Some(Priority::Background),
            workflow: Some("from meta".into()),
            idempotency_key: Some("k-1".into()),
            trace: Some("t".into()),
        };
        assert_eq!(hints, expected);
        assert_eq!(
            read(r#"{"dev.ferrata/timeoutMs":7}"#, &headers).unwrap().timeout,
            Some(Duration::from_millis(7))
        );
    }

    #[test]
    fn a_hint_that_cannot_be_followed_is_said() {
        for meta in [
            r#"{"dev.ferrata/timeoutMs":0}"#,
            r#"{"dev.ferrata/timeoutMs":-5}"#,
            r#"{"dev.ferrata/timeoutMs":1.5}"#,
            r#"{"dev.ferrata/timeoutMs":{}}"#,
            r#"{"dev.ferrata/priority":"urgent"}"#,
            r#"{"dev.ferrata/workflow":[]}"#,
            r#"{"dev.ferrata/idempotencyKey":""}"#,
        ] {
            read(meta, &[]).unwrap_err();
        }
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        read("{}", &[(IDEMPOTENCY_HEADER, &long)]).unwrap_err();
        assert!(read(r#"{"traceparent":5}"#, &[]).is_ok());
    }
}
