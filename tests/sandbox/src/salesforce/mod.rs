//! Salesforce as far as a login needs it: the token endpoint, and one resource of the REST API behind it, on a host of the org's own.
//!
//! | file | owns |
//! |---|---|
//! | `token` | `POST /services/oauth2/token`: three grants, and its refusals |
//! | `session` | access tokens, which end when nobody uses them, and refresh tokens |
//!
//! `GET /services/data/vNN.0/limits` answers on the host of `instance_url` alone. Not here: records, queries, the web server flow.

mod session;
mod token;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::sandbox::lock;
use crate::{Answer, Clock, Failure, Request, System};

use session::Sessions;
pub use session::TIMEOUT;

/// The client ("connected app") that it knows, and the user it may be.
pub const CLIENT_ID: &str = "3MVG9sandbox.client";
pub const CLIENT_SECRET: &str = "sandbox-consumer-s3cret";
pub const USERNAME: &str = "bot@acme.example";

/// What an assertion must be for.
pub const AUDIENCE: &str = "https://login.salesforce.com";

/// Calls of an org in any 24 hours.
pub const DAILY_CALLS: usize = 100_000;
const DAY: Duration = Duration::from_hours(24);

/// The stand-in.
#[derive(Debug)]
pub struct Salesforce {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the org is.
    instance: String,
    /// The public key with which the client's assertions are judged, in PEM.
    certificate: Option<String>,
    sessions: Sessions,
    /// When the calls of the last 24 hours came.
    calls: VecDeque<Duration>,
    daily: usize,
}

impl Salesforce {
    /// An org at that base URL (`https://acme.my.salesforce.com`). With `rotation`, a refresh token is good for one use.
    pub fn org(clock: Clock, rotation: bool) -> Self {
        let state = State { daily: DAILY_CALLS, sessions: Sessions::new(rotation), ..State::default() };
        Self { clock, state: Mutex::new(state) }
    }

    /// The org's host changes, as with a new My Domain: what tokens are answered with, and where they are good.
    pub fn moves_to(&self, instance: &str) {
        instance.clone_into(&mut self.state().instance);
    }

    /// Assertions signed with that key are the client's from now on.
    pub fn certify(&self, public_pem: &str) {
        self.state().certificate = Some(public_pem.to_owned());
    }

    /// An administrator consents: a refresh token.
    pub fn consent(&self) -> String {
        self.state().sessions.consent()
    }

    /// An administrator ends every session; refresh tokens stay good.
    pub fn end_sessions(&self) {
        self.state().sessions.end();
    }

    /// An administrator takes every consent back.
    pub fn revoke(&self) {
        self.state().sessions.revoke();
    }

    /// How many calls a day the org has from now on.
    pub fn buys(&self, daily: usize) {
        self.state().daily = daily;
    }

    /// Tokens granted so far.
    pub fn granted(&self) -> u64 {
        self.state().sessions.granted()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn limits(&self, request: &Request) -> Answer {
        let (mut state, now) = (self.state(), self.clock.now());
        let host = request.header("host").unwrap_or_default();
        if state.instance.split_once("://").is_none_or(|(_, own)| own != host) {
            return refused(StatusCode::NOT_FOUND, "URL_NOT_RESET", "This org is not at this host.");
        }
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !bearer.is_some_and(|token| state.sessions.is_used(token, now)) {
            return refused(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", "Session expired or invalid");
        }
        let daily = state.daily;
        while state.calls.front().is_some_and(|at| *at + DAY <= now) {
            state.calls.pop_front();
        }
        if state.calls.len() >= daily {
            return refused(StatusCode::FORBIDDEN, LIMIT, "TotalRequests Limit exceeded.");
        }
        state.calls.push_back(now);
        let used = state.calls.len();
        let mut answer = answer(
            StatusCode::OK,
            &json!({ "DailyApiRequests": { "Max": daily, "Remaining": daily.saturating_sub(used) } }),
        );
        if let Ok(usage) = HeaderValue::from_str(&format!("api-usage={used}/{daily}")) {
            answer.headers_mut().insert("sforce-limit-info", usage);
        }
        answer
    }
}

/// A limit, in the dress of a permission.
const LIMIT: &str = "REQUEST_LIMIT_EXCEEDED";

impl System for Salesforce {
    const BASE_PATH: &'static str = "";

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn answer(&self, request: &Request) -> Answer {
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/services/oauth2/token") => {
                let now = self.clock.now();
                token::answer(&mut self.state(), request, now)
            }
            (&Method::GET, path) if is_limits(path) => self.limits(request),
            _ => refused(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    fn refuse(&self, failure: &Failure) -> Answer {
        match failure {
            Failure::RateLimited { .. } => {
                refused(StatusCode::FORBIDDEN, LIMIT, "TotalRequests Limit exceeded.")
            }
            Failure::Code(code) => refused(StatusCode::BAD_REQUEST, code, "Refused."),
            Failure::Unavailable => {
                refused(StatusCode::SERVICE_UNAVAILABLE, "SERVER_UNAVAILABLE", "Down for maintenance.")
            }
            _ => refused(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_EXCEPTION", "An unexpected error."),
        }
    }

    fn control(&self, action: &str, arguments: &Map<String, Value>) -> Option<Value> {
        match action {
            "consent" => return Some(json!({ "refresh_token": self.consent() })),
            "revoke" => self.revoke(),
            "end_sessions" => self.end_sessions(),
            "moves_to" => self.moves_to(arguments.get("instance")?.as_str()?),
            _ => return None,
        }
        Some(json!({}))
    }
}

fn is_limits(path: &str) -> bool {
    let version = path.strip_prefix("/services/data/v").and_then(|rest| rest.strip_suffix(".0/limits"));
    version.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The REST API refuses with a list.
fn refused(status: StatusCode, code: &str, message: &str) -> Answer {
    answer(status, &json!([{ "message": message, "errorCode": code }]))
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json;charset=UTF-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
