//! A request that is turned away before it means anything: wrong place, wrong method, not allowed in.
//!
//! Owns the reasons and their two spellings, a problem document (RFC 9457) for plain HTTP and a
//! JSON-RPC error for MCP. What goes wrong with a call is a [`Fault`](crate::fault::Fault).

use std::borrow::Cow;

use http::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use super::{jsonrpc, respond};
use crate::fault::FaultKind;
use crate::gate::MALFORMED;
use crate::server::Body;
use crate::telemetry::metric;

/// Why a request is not served at all.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// `challenge` says how to do better.
    pub fn unauthorized(detail: String, challenge: HeaderValue) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// `allow` names the methods that the resource has.
    pub fn method(allow: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("Only {allow} is served here."))
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    pub fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be sent as `Content-Type: application/json`.",
        )
    }

    /// The rest of the body is not read, so the connection ends with the answer.
    pub fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {limit} bytes."))
            .with(CONNECTION, HeaderValue::from_static("close"))
    }

    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.")
            .with(CONNECTION, HeaderValue::from_static("close"))
    }

    pub fn overloaded(detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub fn too_many_listeners() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "As many event streams as are allowed are open.")
            .with(RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// What a call is called that is turned away so.
    pub fn outcome(&self) -> &'static str {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => FaultKind::Overloaded.traits().label,
            _ => MALFORMED,
        }
    }

    /// As a problem document.
    pub fn into_problem(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        self.respond("application/problem+json", body.to_string().into_bytes())
    }

    /// As a JSON-RPC error without an id.
    pub fn into_jsonrpc(self) -> Response<Body> {
        let error = jsonrpc::Error::invalid_request(self.detail.clone());
        self.respond(respond::JSON, jsonrpc::error(None, &error))
    }

    fn respond(self, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
        count(reason(self.status));
        let mut response = respond::whole(self.status, content_type, body);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Counts a message that is turned away, by one of few reasons.
pub fn count(reason: &'static str) {
    metrics::counter!(metric::REFUSED_MESSAGES, "reason" => reason).increment(1);
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method",
        StatusCode::NOT_ACCEPTABLE => "not_acceptable",
        StatusCode::REQUEST_TIMEOUT => "too_slow",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded",
        _ => MALFORMED,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn both_spellings_carry_the_reason_and_the_header() {
        let problem = Refusal::method("GET").into_problem();
        assert_eq!(
            (problem.status().as_u16(), &problem.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET"))
        );
        let body = problem.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["title"], &body["status"]), (&json!("Method Not Allowed"), &json!(405)));

        let error =
            Refusal::unauthorized("Who?".to_owned(), HeaderValue::from_static("Bearer")).into_jsonrpc();
        assert_eq!(error.headers()[WWW_AUTHENTICATE], "Bearer");
        let body = error.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["id"], &body["error"]["code"]), (&json!(null), &json!(jsonrpc::INVALID_REQUEST)));
    }
}
