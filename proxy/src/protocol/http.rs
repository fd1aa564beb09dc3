//! Plain HTTP, for agents without MCP: the list of tools, one address for each, problems by RFC 9457.

use std::error::Error;

use bytes::Bytes;
use http::header::{AGE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::fault_data::FaultData;
use super::hints::{Hints, MetaHints};
use super::nesting::is_too_deep;
use super::refusal::Refusal;
use super::{Endpoint, TOOLS_PATH, body, jsonrpc, not_found, respond};
use crate::call::{Answered, Ask, Caller, Source, ToolResult};
use crate::fault::{Fault, quotable};
use crate::server::Body;

/// Begins the URI that identifies a kind of fault. It names, it need not resolve.
const FAULT_TYPE: &str = "https://ferrata.dev/faults/";

/// A result with content blocks is of a type of its own, so that nobody takes it for the tool's object.
const CONTENT: &str = "application/vnd.ferrata.content+json";

/// Why an earlier answer is given, whose age stands in `Age`.
const STALE: HeaderName = HeaderName::from_static("ferrata-stale");

/// Why another tool was asked, which `Ferrata-Answered-By` names.
const FALLBACK: HeaderName = HeaderName::from_static("ferrata-fallback");
const ANSWERED_BY: HeaderName = HeaderName::from_static("ferrata-answered-by");

/// A failed call (RFC 9457), with the fault's record as further members.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten)]
    data: FaultData<'a>,
}

impl Endpoint {
    /// Serves a request to any address but MCP's.
    pub(crate) async fn plain<B>(&self, request: Request<B>, caller: Caller) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let Some(below) = parts.uri.path().strip_prefix(TOOLS_PATH) else {
            return not_found().into_problem();
        };
        let served = match (below.strip_prefix('/'), &parts.method) {
            (None, &Method::GET) if below.is_empty() => Ok(self.list(&caller)),
            (None, _) if below.is_empty() => Err(Refusal::method("GET")),
            (Some(tool), &Method::POST) => self.call(tool, &parts.headers, body, caller).await,
            (Some(_), _) => Err(Refusal::method("POST")),
            (None, _) => Err(not_found()),
        };
        served.unwrap_or_else(Refusal::into_problem)
    }

    fn list(&self, caller: &Caller) -> Response<Body> {
        let listing = self.gate.tools(caller);
        respond::json(StatusCode::OK, [b"{\"tools\":", &listing.mcp[..], b"}"].concat())
    }

    async fn call<B>(
        &self,
        name: &str,
        headers: &HeaderMap,
        body: B,
        caller: Caller,
    ) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("There is no tool {}.", quotable(name)));
        let read = self.read_call(headers, body).await;
        let (hints, arguments) = read.inspect_err(|refusal| {
            let trace = Hints::trace(MetaHints::default(), Some(headers));
            let ask = Ask { caller: caller.clone(), timeout: None, trace };
            self.gate.note_turned_away(Some(name), &ask, refusal.outcome());
        })?;
        let call = hints.into_call(arguments, caller);
        let tool = self.gate.tool(name, &call).ok_or_else(unknown)?;
        Ok(match self.gate.call(&tool, call).await {
            Ok(answer) => result(answer),
            Err(fault) => problem(&fault),
        })
    }

    async fn read_call<B>(&self, headers: &HeaderMap, body: B) -> Result<(Hints, Box<RawValue>), Refusal>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let hints = Hints::read(MetaHints::default(), Some(headers)).map_err(Refusal::bad_request)?;
        Ok((hints, arguments(&body::read_json(headers, body, &self.settings).await?)?))
    }
}

/// A call's arguments; an empty body is none.
fn arguments(body: &[u8]) -> Result<Box<RawValue>, Refusal> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    if is_too_deep(body) {
        return Err(Refusal::bad_request("The arguments are nested too deeply."));
    }
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(arguments) if arguments.get().starts_with('{') => Ok(arguments.to_owned()),
        Ok(_) => Err(Refusal::bad_request("The arguments must be a JSON object.")),
        Err(error) => Err(Refusal::bad_request(format!("The arguments are not JSON: {error}."))),
    }
}

/// The result, as it is; the headers say if it is not what the system says now.
fn result(answer: Answered) -> Response<Body> {
    let mut response = match answer.result {
        ToolResult::Object(value) => respond::json(StatusCode::OK, String::from(value)),
        ToolResult::Content(content) => respond::whole(StatusCode::OK, CONTENT, content.to_json()),
        // Nobody was said to be there who could be asked.
        ToolResult::Question(_) => return problem(&Fault::internal("a question without anybody to ask")),
    };
    let Some(instead) = answer.instead else { return response };
    let reason = HeaderValue::from_static(instead.reason.traits().label);
    let headers = response.headers_mut();
    match instead.source {
        Source::Stale { age, .. } => {
            headers.insert(AGE, HeaderValue::from(age.as_secs()));
            headers.insert(STALE, reason);
        }
        Source::Tool(tool) => {
            headers.extend(HeaderValue::from_str(&tool).map(|tool| (ANSWERED_BY, tool)));
            headers.insert(FALLBACK, reason);
        }
    }
    response
}

fn problem(fault: &Fault) -> Response<Body> {
    let traits = fault.kind.traits();
    let problem = Problem {
        kind: format!("{FAULT_TYPE}{}", traits.label),
        title: traits.title,
        status: traits.status,
        detail: fault.sentence(),
        data: FaultData::of(fault),
    };
    let mut body = Vec::with_capacity(512);
    jsonrpc::push_json(&mut body, &problem);
    let status = StatusCode::from_u16(traits.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond::whole(status, "application/problem+json", body);
    let wait = fault.retry_after_secs().map(HeaderValue::from);
    response.headers_mut().extend(wait.map(|wait| (RETRY_AFTER, wait)));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::fault::FaultKind;

    #[tokio::test]
    async fn a_fault_is_a_problem_document_that_says_when_to_come_back() {
        let fault =
            Fault::new(FaultKind::RateLimited, "Slack is full.").with_retry_after(Duration::from_secs(90));
        let response = problem(&fault);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "https://ferrata.dev/faults/rate_limited");
        assert_eq!(
            (&body["status"], &body["kind"], &body["retryable"]),
            (&json!(429), &json!("rate_limited"), &json!(true))
        );
        assert_eq!(body["detail"], fault.sentence());
    }

    #[test]
    fn arguments_are_an_object_kept_as_they_are() {
        assert_eq!(arguments(b" {\"a\" : 1} ").unwrap().get(), "{\"a\" : 1}");
        assert_eq!(arguments(b"").unwrap().get(), "{}");
        for wrong in ["[]", "1", "{", "nonsense", "{} {}", &"[".repeat(1000)] {
            arguments(wrong.as_bytes()).unwrap_err();
        }
    }
}
