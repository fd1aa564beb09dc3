//! The scripted host: takes one expectation after the other, and compares.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::exchange::Exchange;
use super::expect::{Body, Expect, ExpectSql, Expectation};
use super::grants::{Grants, Purpose, Sent};
use super::written::text;
use crate::bindings::base::ferrata::connector as wit;
use crate::fault::{Fault, millis};
use crate::host::native::{Answered, Host};
use wit::http::Request;

/// How far a call has come, as the connector reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// What is done.
    pub done: f64,
    /// What will be done in the end.
    pub total: Option<f64>,
    /// A few words for a person.
    pub message: Option<String>,
}

/// The state of a harness that the guest's calls reach.
pub(super) struct Script {
    pub(super) grants: Grants,
    pub(super) purpose: Cell<Purpose>,
    pub(super) settings: RefCell<Value>,
    pub(super) remaining: RefCell<Duration>,
    pub(super) subject: RefCell<Option<String>>,
    /// What the client says that it can bring.
    pub(super) client: RefCell<Value>,
    pub(super) progress: RefCell<Vec<Reported>>,
    pub(super) expected: RefCell<VecDeque<Expectation>>,
    pub(super) cache: RefCell<HashMap<String, Vec<u8>>>,
    pub(super) log: RefCell<Vec<String>>,
    /// What the guest said of limits.
    pub(super) observed: Rc<RefCell<Vec<Value>>>,
    /// Captured values by the names that the guest got for them.
    pub(super) captured: Rc<RefCell<Vec<(String, String)>>>,
}

impl Host for Script {
    fn settings(&self) -> String {
        self.settings.borrow().to_string()
    }

    fn remaining_ms(&self) -> u64 {
        millis(*self.remaining.borrow())
    }

    fn subject(&self) -> Option<String> {
        self.subject.borrow().clone()
    }

    fn connector_name(&self) -> String {
        "test".to_owned()
    }

    fn can_bring(&self) -> String {
        self.client.borrow().to_string()
    }

    fn report_progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        let message = message.map(str::to_owned);
        self.progress.borrow_mut().push(Reported { done, total, message });
    }

    fn send(&self, request: Request) -> Result<Rc<dyn Answered>, Fault> {
        let line = format!("{} {}", request.method, request.path);
        self.check(&request);
        match self.expected.borrow_mut().pop_front() {
            Some(Expectation::Http(expect)) => {
                compare(&expect, &request);
                Exchange::begin(&line, expect.answers, Rc::clone(&self.captured), Rc::clone(&self.observed))
            }
            Some(Expectation::Sql(expect)) => {
                panic!("expected a statement of {:?}, got {line}", expect.operation)
            }
            None => panic!("unexpected request: {line}"),
        }
    }

    fn sql_query(&self, request: &wit::sql::Request) -> Result<wit::sql::Rows, Fault> {
        let expect = self.next_statement(request);
        assert!(expect.plan.is_none(), "a statement was to be explained and is run: {}", request.statement);
        expect.answer
    }

    fn sql_explain(&self, request: &wit::sql::Request) -> Result<String, Fault> {
        let expect = self.next_statement(request);
        expect.answer?;
        match expect.plan {
            Some(plan) => Ok(plan.to_string()),
            None => panic!("a statement was to be run and is explained: {}", request.statement),
        }
    }

    fn cache_get(&self, key: &str) -> Option<Vec<u8>> {
        self.cache.borrow().get(key).cloned()
    }

    fn cache_put(&self, key: &str, value: &[u8], _ttl_ms: u64) {
        self.cache.borrow_mut().insert(key.to_owned(), value.to_vec());
    }

    fn log(&self, _level: wit::log::Level, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }

    fn sign_jwt(&self, secret: &str, claims: &str) -> String {
        format!("jwt({secret},{claims})")
    }

    fn sign_hmac(&self, secret: &str, _hash: wit::secrets::Hash, message: &[u8]) -> Vec<u8> {
        format!("hmac({secret},{})", String::from_utf8_lossy(message)).into_bytes()
    }
}

impl Script {
    fn check(&self, request: &Request) {
        let purpose = self.purpose.get();
        let sent = Sent {
            upstream: &request.upstream,
            label: &request.operation,
            method: &request.method,
            path: &request.path,
            effect: request.effect,
        };
        self.grants.check(&sent, purpose);
        for parts in request.headers.iter().map(|header| &header.value).chain([&request.body]) {
            self.grants.check_secrets(&request.upstream, parts, purpose);
        }
    }

    fn next_statement(&self, request: &wit::sql::Request) -> ExpectSql {
        let statement = &request.statement;
        let (upstream, label, effect) = (&request.upstream, &request.operation, request.effect);
        self.grants.check(&Sent { upstream, label, method: "SQL", path: "*", effect }, self.purpose.get());
        let expect = match self.expected.borrow_mut().pop_front() {
            Some(Expectation::Sql(expect)) => expect,
            Some(Expectation::Http(expect)) => {
                panic!("expected {} {}, got {statement}", expect.method, expect.path)
            }
            None => panic!("unexpected statement: {statement}"),
        };
        assert_eq!(expect.operation, request.operation, "the operation of: {statement}");
        for text in &expect.contains {
            assert!(squeezed(statement).contains(&squeezed(text)), "no {text:?} in: {statement}");
        }
        if let Some(parameters) = &expect.parameters {
            let sent: Vec<Value> = request.parameters.iter().map(parameter).collect();
            assert_eq!(*parameters, sent, "the parameters of: {statement}");
        }
        if let Some(rows) = expect.max_rows {
            assert_eq!(rows, request.max_rows, "`max_rows` of: {statement}");
        }
        expect
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn parameter(value: &wit::sql::Value) -> Value {
    use wit::sql::Value as Sql;
    match value {
        Sql::Null => Value::Null,
        Sql::Boolean(value) => (*value).into(),
        Sql::Integer(value) => (*value).into(),
        Sql::Float(value) => (*value).into(),
        Sql::Text(text) => text.as_str().into(),
        Sql::Json(text) => {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("a parameter is no JSON: {error}"))
        }
        Sql::Bytes(bytes) => format!("{bytes:?}").into(),
    }
}

fn compare(expect: &Expect, request: &Request) {
    let line = format!("{} {}", request.method, request.path);
    if let Some(resource) = &expect.resource {
        let options: Value =
            request.options.as_deref().and_then(|o| serde_json::from_str(o).ok()).unwrap_or_default();
        assert_eq!(options["resource"], resource.as_str(), "the resource of {line}");
    }
    assert_eq!(format!("{} {}", expect.method, expect.path), line, "another request was expected");
    for (name, value) in &expect.headers {
        let sent = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let sent = sent.map(|header| text(&header.value));
        assert_eq!(Some(value), sent.as_ref(), "header {name} of {line}");
    }
    let body = text(&request.body);
    match &expect.body {
        None => {}
        Some(Body::Text(expected)) => assert_eq!(*expected, body, "the body of {line}"),
        Some(Body::Json(expected)) => match serde_json::from_str::<Value>(&body) {
            Ok(body) => assert_eq!(*expected, body, "the body of {line}"),
            Err(error) => panic!("the body of {line} is no JSON ({error}): {body}"),
        },
    }
}
