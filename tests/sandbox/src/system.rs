//! What a stand-in implements. Serving, failures on demand and the record of requests come from the crate root.

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use serde_json::{Map, Value};

use crate::{Clock, Failure};

/// A whole request, as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Percent-encoded, as sent, without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A whole answer.
pub type Answer = Response<Bytes>;

/// One stand-in. Answers are computed, never waited for, so that a test decides alone what is slow.
pub trait System: Send + Sync + 'static {
    /// What the base URL ends with, as in the vendor's own ("/api"); no slash at the end.
    const BASE_PATH: &'static str;

    fn clock(&self) -> &Clock;

    fn answer(&self, request: &Request) -> Answer;

    /// How this system words a failure that a test asked for.
    fn refuse(&self, failure: &Failure) -> Answer;

    /// A change of state asked for over the wire. `None` when the action is unknown or its arguments are wrong.
    fn control(&self, action: &str, arguments: &Map<String, Value>) -> Option<Value>;
}
