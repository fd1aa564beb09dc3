//! The envelope of every answer: `ok`, `error`, warnings, headers, and the two spellings of "too fast".

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::Answer;

/// How "too fast" looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Status 429, `Retry-After`, `ratelimited`: what the documentation describes.
    Status429,
    /// Status 200 and `rate_limited`: what the error tables of some methods describe.
    Under200,
}

/// Anything but an answer.
#[derive(Debug)]
pub(super) enum Refusal {
    Error {
        code: String,
        more: Map<String, Value>,
    },
    /// Seconds until it is worth trying again.
    RateLimited(Option<u64>),
}

impl Refusal {
    pub(super) fn coded(code: &str) -> Self {
        Self::Error { code: code.to_owned(), more: Map::new() }
    }

    /// With further members beside `ok` and `error`.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Self::Error { more, .. } = &mut self {
            more.insert(name.to_owned(), value.into());
        }
        self
    }

    pub(super) fn unknown_method(name: &str) -> Self {
        Self::coded("unknown_method").with("req_method", name)
    }

    /// A required argument is absent.
    pub(super) fn missing(argument: &str) -> Self {
        let message = format!("[ERROR] missing required field: {argument}");
        Self::coded("invalid_arguments").with("response_metadata", json!({ "messages": [message] }))
    }
}

impl From<&str> for Refusal {
    fn from(code: &str) -> Self {
        Self::coded(code)
    }
}

/// Puts the envelope around an outcome.
pub(super) fn dress(
    outcome: Result<Map<String, Value>, Refusal>,
    warning: Option<&'static str>,
    spelling: Spelling,
    number: u64,
) -> Answer {
    let mut status = StatusCode::OK;
    let mut retry_after = None;
    let mut body = match outcome {
        Ok(mut body) => {
            body.insert("ok".to_owned(), true.into());
            body
        }
        Err(Refusal::Error { code, more }) => error_body(&code, more),
        Err(Refusal::RateLimited(_)) if spelling == Spelling::Under200 => {
            error_body("rate_limited", Map::new())
        }
        Err(Refusal::RateLimited(seconds)) => {
            (status, retry_after) = (StatusCode::TOO_MANY_REQUESTS, seconds);
            error_body("ratelimited", Map::new())
        }
    };
    if let Some(warning) = warning {
        warn(&mut body, warning);
    }
    with_headers(status, &Value::Object(body), retry_after, number)
}

fn error_body(code: &str, mut more: Map<String, Value>) -> Map<String, Value> {
    more.insert("ok".to_owned(), false.into());
    more.insert("error".to_owned(), code.into());
    more
}

/// A warning stands in two places: once alone, once in a list beside the cursor.
fn warn(body: &mut Map<String, Value>, warning: &str) {
    body.insert("warning".to_owned(), warning.into());
    let metadata = body.entry("response_metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("warnings".to_owned(), json!([warning]));
    }
}

fn with_headers(status: StatusCode, body: &Value, retry_after: Option<u64>, number: u64) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    if let Ok(id) = HeaderValue::from_str(&format!("{number:032x}")) {
        headers.insert("x-slack-req-id", id);
    }
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    answer
}
