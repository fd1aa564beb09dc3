//! The scripted host: takes one expectation after the other, and compares.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::expect::{Answer, Body, Expect, ExpectSql, Expectation, hosts_own};
use crate::bindings::base::ferrata::connector as wit;
use crate::fault::{Fault, FaultKind, millis};
use crate::host::native::{Answered, Host};
use wit::http::{Directive, Place, Request, Verdict};
use wit::types::{Atom, Encoding, Part};

/// The state of a harness that the guest's calls reach.
pub(super) struct Script {
    pub(super) settings: RefCell<Value>,
    pub(super) remaining: RefCell<Duration>,
    pub(super) subject: RefCell<Option<String>>,
    pub(super) expected: RefCell<VecDeque<Expectation>>,
    pub(super) cache: RefCell<HashMap<String, Vec<u8>>>,
    pub(super) log: RefCell<Vec<String>>,
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

    fn send(&self, request: Request) -> Result<Rc<dyn Answered>, Fault> {
        let line = format!("{} {}", request.method, request.path);
        match self.expected.borrow_mut().pop_front() {
            Some(Expectation::Http(expect)) => {
                compare(&expect, &request);
                Exchange::begin(&line, expect.answers, Rc::clone(&self.captured))
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
    fn next_statement(&self, request: &wit::sql::Request) -> ExpectSql {
        let statement = &request.statement;
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

/// Parts as the host would write them, with `{{name}}` for a secret.
fn text(parts: &[Part]) -> String {
    parts.iter().map(part_text).collect()
}

fn part_text(part: &Part) -> String {
    let encode = match part.encoding {
        Encoding::Raw => |text: &str| text.to_owned(),
        Encoding::Form => form_text,
        Encoding::Json => json_text,
        Encoding::Base64 => return format!("base64({})", atoms_text(&part.atoms, str::to_owned)),
        Encoding::Base64url => return format!("base64url({})", atoms_text(&part.atoms, str::to_owned)),
    };
    atoms_text(&part.atoms, encode)
}

fn atoms_text(atoms: &[Atom], encode: fn(&str) -> String) -> String {
    let atom_text = |atom: &Atom| match atom {
        Atom::Bytes(bytes) => encode(&String::from_utf8_lossy(bytes)),
        Atom::Secret(name) => format!("{{{{{name}}}}}"),
    };
    atoms.iter().map(atom_text).collect()
}

fn form_text(text: &str) -> String {
    let byte_text = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte_text).collect()
}

fn json_text(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.trim_matches('"').to_owned()
}

/// One exchange, with the answers that are still to come.
struct Exchange {
    current: RefCell<Answer>,
    later: RefCell<VecDeque<Result<Answer, Fault>>>,
    body_was_read: RefCell<bool>,
    captured: Rc<RefCell<Vec<(String, String)>>>,
}

impl Exchange {
    fn begin(
        line: &str,
        answers: Vec<Result<Answer, Fault>>,
        captured: Rc<RefCell<Vec<(String, String)>>>,
    ) -> Result<Rc<dyn Answered>, Fault> {
        let mut later = VecDeque::from(answers);
        let Some(first) = later.pop_front() else { panic!("the script has no answer to {line}") };
        Ok(Rc::new(Self {
            current: RefCell::new(first?),
            later: RefCell::new(later),
            body_was_read: RefCell::new(false),
            captured,
        }))
    }

    fn keep(&self, value: &str) -> String {
        let mut captured = self.captured.borrow_mut();
        let name = format!("captured-{}", captured.len() + 1);
        captured.push((name.clone(), value.to_owned()));
        name
    }
}

impl Answered for Exchange {
    fn status(&self) -> u16 {
        self.current.borrow().status
    }

    fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let answer = self.current.borrow();
        answer.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
    }

    fn body(&self) -> Vec<u8> {
        self.body_was_read.replace(true);
        self.current.borrow().body.clone().into_bytes()
    }

    fn capture(&self, place: &Place) -> Result<Option<String>, Fault> {
        assert!(!*self.body_was_read.borrow(), "a secret is captured before the body is read");
        let mut answer = self.current.borrow_mut();
        match place {
            Place::Header(name) => {
                let header = answer.headers.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name));
                Ok(header.map(|(_, value)| self.keep(&std::mem::replace(value, CAPTURED.to_owned()))))
            }
            Place::Body(pointer) => {
                let mut body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                let Some(Value::String(secret)) = body.pointer_mut(pointer) else { return Ok(None) };
                let name = self.keep(&std::mem::replace(secret, CAPTURED.to_owned()));
                answer.body = body.to_string();
                Ok(Some(name))
            }
        }
    }

    fn settle(&self, verdict: &Verdict) -> Result<Directive, Fault> {
        let (kind, wait) = match verdict {
            Verdict::Ok | Verdict::Rejected => return Ok(Directive::Accepted),
            Verdict::Throttled(throttle) => (FaultKind::RateLimited, throttle.retry_after_ms),
            Verdict::Unauthenticated => (FaultKind::CredentialDead, None),
            Verdict::Transient => (FaultKind::Unavailable, None),
        };
        let Some(next) = self.later.borrow_mut().pop_front() else {
            let fault = hosts_own(kind);
            return Err(wait.map_or_else(
                || fault.clone(),
                |ms| fault.clone().with_retry_after(Duration::from_millis(ms)),
            ));
        };
        *self.current.borrow_mut() = next?;
        self.body_was_read.replace(false);
        Ok(Directive::SentAgain)
    }
}

/// What the guest reads where a secret stood.
const CAPTURED: &str = "[captured]";

impl Drop for Exchange {
    fn drop(&mut self) {
        let left = self.later.borrow().len();
        if !std::thread::panicking() {
            assert!(
                left == 0,
                "{left} further answers were scripted, and the connector settled without them"
            );
        }
    }
}
