//! One scripted exchange: its answers, what is captured from them, and what a verdict leads to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::expect::{Answer, hosts_own};
use crate::bindings::base::ferrata::connector::http::{Directive, Place, Verdict};
use crate::fault::{Fault, FaultKind};
use crate::host::native::Answered;

/// One exchange, with the answers that are still to come.
pub(super) struct Exchange {
    current: RefCell<Answer>,
    later: RefCell<VecDeque<Result<Answer, Fault>>>,
    body_was_read: RefCell<bool>,
    captured: Rc<RefCell<Vec<(String, String)>>>,
    observed: Rc<RefCell<Vec<Value>>>,
}

impl Exchange {
    pub(super) fn begin(
        line: &str,
        answers: Vec<Result<Answer, Fault>>,
        captured: Rc<RefCell<Vec<(String, String)>>>,
        observed: Rc<RefCell<Vec<Value>>>,
    ) -> Result<Rc<dyn Answered>, Fault> {
        let mut later = VecDeque::from(answers);
        let Some(first) = later.pop_front() else { panic!("the script has no answer to {line}") };
        Ok(Rc::new(Self {
            current: RefCell::new(first?),
            later: RefCell::new(later),
            body_was_read: RefCell::new(false),
            captured,
            observed,
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

    fn observe(&self, limits: &str) -> Result<(), Fault> {
        let limits = serde_json::from_str(limits).unwrap_or_default();
        self.observed.borrow_mut().push(limits);
        Ok(())
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
