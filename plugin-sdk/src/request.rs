//! One request, built step by step.
//!
//! Mistakes met while building (a path segment that cannot be written, a body that is no JSON) are kept and returned by
//! `send`, so that a request is one chain of calls.

use std::fmt::{Display, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::base::ferrata::connector::http as wire;
use crate::fault::Fault;
use crate::operation::{Effect, Operation};
use crate::response::Response;
use crate::secret::{Form, Parts, secret};
use crate::settle::Settling;
use crate::verdict::{Classify, Reading};
use crate::{host, json_body};

/// A request of one operation. [`Cx::request`](crate::Cx::request) makes one.
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    operation: Operation,
    effect: Effect,
    path: String,
    query: String,
    headers: Vec<wire::Header>,
    body: Vec<crate::bindings::base::ferrata::connector::types::Part>,
    captures: Vec<(&'static str, wire::Place)>,
    options: Map<String, Value>,
    reading: Reading,
    mistake: Option<Fault>,
}

impl Request {
    pub(crate) fn new(operation: &Operation, reading: Reading) -> Self {
        Self {
            operation: *operation,
            effect: operation.effect,
            path: operation.path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            captures: Vec::new(),
            options: Map::new(),
            reading,
            mistake: None,
        }
    }

    /// Puts a value in place of `{name}` in the operation's path, percent-encoded. An empty value, `.` and `..` cannot stand in a path
    /// and are `invalid_arguments`.
    pub fn segment(self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        match encode_segment(&value) {
            Some(encoded) => self.fill(&format!("{{{name}}}"), &encoded),
            None => self.mistaken(unwritable(name, &value)),
        }
    }

    /// Puts several segments, divided by `/`, in place of `{name...}`.
    pub fn rest(self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        let segments: Option<Vec<String>> = value.trim_matches('/').split('/').map(encode_segment).collect();
        match segments {
            Some(segments) => self.fill(&format!("{{{name}...}}"), &segments.join("/")),
            None => self.mistaken(unwritable(name, &value)),
        }
    }

    /// Takes path and query from the system, such as the address of a next page. It must match the operation's pattern, which
    /// the host checks.
    pub fn at(mut self, path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        self.path = path.to_owned();
        self.query = query.to_owned();
        self
    }

    /// Appends to the query, encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        encode(name, &mut self.query);
        self.query.push('=');
        encode(&value.to_string(), &mut self.query);
        self
    }

    /// Appends to the query if there is a value.
    pub fn query_if(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<Parts>) -> Self {
        self.headers.push(wire::Header { name: name.to_owned(), value: value.into().0 });
        self
    }

    /// `Authorization: Bearer` and a secret by its name ("bot.token").
    pub fn bearer(self, name: &str) -> Self {
        self.header("authorization", Parts::new().raw("Bearer ").raw(secret(name)))
    }

    /// `Authorization: Basic` with a user that is known and a secret by its name.
    pub fn basic(self, user: &str, name: &str) -> Self {
        self.header("authorization", Parts::basic(user, secret(name)))
    }

    /// A body of any type.
    pub fn body(mut self, content_type: &str, body: impl Into<Parts>) -> Self {
        self.body = body.into().0;
        self.header("content-type", content_type)
    }

    /// A JSON body. In a struct ([`body`](crate::body)) a [`Secret`](crate::Secret) may stand where a string does; the
    /// `json!` macro cannot hold one.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match json_body::parts(value) {
            Ok(body) => {
                self.body = body;
                self.header("content-type", "application/json; charset=utf-8")
            }
            Err(fault) => self.mistaken(fault),
        }
    }

    /// A form body, whose values may be secrets.
    pub fn form(self, form: Form) -> Self {
        self.body("application/x-www-form-urlencoded", form)
    }

    /// States an effect other than the operation's: a stronger one for these arguments, say.
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Reads the answer with another function than the connector's `classify`.
    pub fn classify(mut self, classify: Classify) -> Self {
        self.reading.classify = classify;
        self
    }

    /// Names what the operation's walls [`per`](crate::Wall::per) an argument are about, under its one true name. Without it the tool's
    /// argument does, and a channel's name and its id would be two channels.
    pub fn resource(mut self, name: impl Into<String>) -> Self {
        self.options.insert("resource".to_owned(), Value::String(name.into()));
        self
    }

    /// States that the request carries [`Cx::idempotency_key`](crate::Cx::idempotency_key) where the system honours it, so that the host
    /// may send it again when no answer came. A header `Idempotency-Key` says so by itself.
    pub fn idempotent(mut self) -> Self {
        self.options.insert("idempotent".to_owned(), true.into());
        self
    }

    /// Has the host take a string out of the answer's body, at a JSON Pointer, before the connector reads it;
    /// [`Response::captured`] is its name. Only inside a login.
    pub fn capture(mut self, field: &'static str, pointer: &str) -> Self {
        self.captures.push((field, wire::Place::Body(pointer.to_owned())));
        self
    }

    /// Has the host take a header's value out of the answer.
    pub fn capture_header(mut self, field: &'static str, name: &str) -> Self {
        self.captures.push((field, wire::Place::Header(name.to_owned())));
        self
    }

    /// Sends it and settles: as long as the host sends again, the new answer is classified anew.
    ///
    /// # Errors
    /// The fault of a verdict [`Rejected`](crate::Verdict::Rejected); the host's fault for everything that ended the exchange; a mistake
    /// made while building. What is returned is therefore an answer that was classified as [`Ok`](crate::Verdict::Ok).
    pub fn send(self) -> Result<Response, Fault> {
        let (request, settling) = self.finish()?;
        settling.settle(host::send(request)?)
    }

    pub(crate) fn finish(self) -> Result<(wire::Request, Settling), Fault> {
        if let Some(fault) = self.mistake {
            return Err(fault);
        }
        if self.path.contains(['{', '}']) {
            let path = self.path;
            return Err(Fault::broken(format!("The path `{path}` has a place that was not filled.")));
        }
        let mut path = self.path;
        if !self.query.is_empty() {
            path.push('?');
            path.push_str(&self.query);
        }
        let request = wire::Request {
            upstream: self.operation.upstream.to_owned(),
            operation: self.operation.label.to_owned(),
            effect: self.effect,
            method: self.operation.method.to_owned(),
            path,
            headers: with_accept(self.headers),
            body: self.body,
            options: (!self.options.is_empty()).then(|| Value::Object(self.options).to_string()),
        };
        Ok((request, Settling::new(self.reading, self.captures)))
    }

    fn fill(mut self, place: &str, value: &str) -> Self {
        if !self.path.contains(place) {
            let path = self.operation.path;
            return self.mistaken(Fault::broken(format!("The path `{path}` has no place `{place}`.")));
        }
        self.path = self.path.replace(place, value);
        self
    }

    fn mistaken(mut self, fault: Fault) -> Self {
        self.mistake.get_or_insert(fault);
        self
    }
}

fn with_accept(mut headers: Vec<wire::Header>) -> Vec<wire::Header> {
    if !headers.iter().any(|header| header.name.eq_ignore_ascii_case("accept")) {
        headers.push(wire::Header { name: "accept".to_owned(), value: Parts::from("application/json").0 });
    }
    headers
}

fn unwritable(name: &str, value: &str) -> Fault {
    Fault::invalid_arguments(format!("`{name}` cannot be {value:?}."))
}

fn encode_segment(value: &str) -> Option<String> {
    if matches!(value, "" | "." | "..") {
        return None;
    }
    let mut encoded = String::with_capacity(value.len());
    encode(value, &mut encoded);
    Some(encoded)
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub(crate) fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            // Writing to a string cannot fail.
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
}
