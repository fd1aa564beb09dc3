//! Streamable HTTP: MCP messages as requests to one address.
//!
//! `POST` brings one message, or in revision 2025-03-26 a batch. Answers are plain JSON; a listener gets a stream, by
//! `subscriptions/listen` or, in the legacy era, by `GET`, and so does a call that has progress to report. A client gives a call up by
//! closing its connection (HTTP/1) or its stream (HTTP/2).

use std::error::Error as StdError;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::listen::{Feed, Listener};
use super::refused::{self, Claim};
use super::reporting::Said;
use super::{Answer, Params, Request, Session, answer, batch, headers, modern, version};
use crate::call::Caller;
use crate::gate::MALFORMED;
use crate::protocol::jsonrpc::{self, Error, Message};
use crate::protocol::refusal::Refusal;
use crate::protocol::{Endpoint, body, respond};
use crate::server::Body;

/// Names a legacy session. It is given because some clients listen for changes only when they have one, and because it tells whose call
/// is given up. Whatever a client sends back is accepted, so that a restart ends no session.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

impl Endpoint {
    /// Serves a request to the MCP address.
    pub(crate) async fn mcp<B>(&self, request: http::Request<B>, caller: Caller) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let served = match *request.method() {
            Method::POST => {
                let (parts, incoming) = request.into_parts();
                match body::read_json(&parts.headers, incoming, &self.settings).await {
                    Ok(text) => self.post(&caller, &parts.headers, &text).await,
                    Err(refusal) => Err(refusal),
                }
            }
            Method::GET => self.listen(request.headers()),
            _ => Err(Refusal::method("GET, POST")),
        };
        served.unwrap_or_else(Refusal::into_jsonrpc)
    }

    async fn post(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        text: &[u8],
    ) -> Result<Response<Body>, Refusal> {
        if batch::is_batch(text) {
            return Ok(self.batch(caller, headers, text).await);
        }
        match jsonrpc::parse(text) {
            Ok(Message::Request { id, method, params }) => {
                let session = self.session(headers);
                let request = Request { id, method: &method, params, headers: Some(headers), session };
                self.respond(answer(&self.gate, caller, request).await).await
            }
            Ok(Message::Notification { method, params }) => {
                if method == "notifications/cancelled" {
                    self.cancel(caller, headers, params);
                }
                let claim = Claim { method: &method, params, headers: Some(headers) };
                refused::note(&self.gate, caller, claim, MALFORMED);
                Ok(acknowledge(headers))
            }
            Ok(Message::Response) => Ok(acknowledge(headers)),
            Err(malformed) => {
                refused::malformed(&self.gate, caller, &malformed, Some(headers));
                Ok(bad_request(malformed.id, &malformed.error))
            }
        }
    }

    /// Modern clients have none.
    fn session<'a>(&'a self, headers: &'a HeaderMap) -> Option<Session<'a>> {
        Session::new(headers.get(SESSION)?.to_str().ok()?, &self.cancellations)
    }

    fn cancel(&self, caller: &Caller, headers: &HeaderMap, params: Option<&RawValue>) {
        let Ok(Params { request_id: Some(id), .. }) = Params::read(params) else { return };
        if let Some(session) = self.session(headers) {
            session.cancel(caller, id);
        }
    }

    async fn respond(&self, answer: Answer) -> Result<Response<Body>, Refusal> {
        match answer {
            Answer::Message { status, body } => Ok(respond::json(status, body)),
            Answer::Initialized { body, .. } => {
                let mut response = respond::json(StatusCode::OK, body);
                let session = HeaderValue::try_from(Uuid::new_v4().simple().to_string());
                response.headers_mut().extend(session.ok().map(|session| (SESSION, session)));
                Ok(response)
            }
            // What reports nothing needs no stream, and keeps its status.
            Answer::Reporting(mut reporting) => Ok(match reporting.next().await {
                Said::Progress(first) => respond::events(reporting.into_events(first)),
                Said::Answer { status, body } => respond::json(status, body),
                Said::Nothing => respond::accepted(),
            }),
            Answer::Listen(subscription) => {
                let listener = Listener::modern(&subscription, self.feed()?);
                Ok(respond::events(listener.into_events()))
            }
        }
    }

    /// A legacy client's stream of what it did not ask for.
    fn listen(&self, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
        if headers::version(headers).is_some_and(|version| !version::is_legacy(&version)) {
            return Err(Refusal::method("POST"));
        }
        if !accepts_events(headers) {
            return Err(Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                "A GET here is answered by an event stream only.",
            ));
        }
        Ok(respond::events(Listener::legacy(self.feed()?).into_events()))
    }

    fn feed(&self) -> Result<Feed, Refusal> {
        let permit = self.listeners.clone().try_acquire_owned().map_err(|_| Refusal::too_many_listeners())?;
        Ok(Feed { changes: self.gate.changes(), drain: self.drain.clone(), permit })
    }

    async fn batch(&self, caller: &Caller, headers: &HeaderMap, text: &[u8]) -> Response<Body> {
        // The revision of batches had no header for its name; a client that does name another one has none.
        if headers::version(headers).is_some_and(|version| version != version::WITH_BATCHES) {
            refused::count();
            return bad_request(None, &batch::not_in_this_revision());
        }
        match batch::answer(&self.gate, caller, Some(headers), text).await {
            Ok(Some(answers)) => respond::json(StatusCode::OK, answers),
            Ok(None) => respond::accepted(),
            Err(error) => bad_request(None, &error),
        }
    }
}

/// 202 for what wants no answer, if it is in a revision that is spoken.
fn acknowledge(headers: &HeaderMap) -> Response<Body> {
    match headers::version(headers) {
        Some(version) if version != version::MODERN && !version::is_legacy(&version) => {
            bad_request(None, &modern::unsupported(&version))
        }
        _ => respond::accepted(),
    }
}

fn bad_request(id: Option<&RawValue>, error: &Error) -> Response<Body> {
    respond::json(StatusCode::BAD_REQUEST, jsonrpc::error(id, error))
}

pub fn accepts_events(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.eq_ignore_ascii_case("text/event-stream")
    })
}
