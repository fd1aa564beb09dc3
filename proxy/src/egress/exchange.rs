//! One request and its answer, as a guest may see it: scrubbed, and with secrets taken out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::account::Pending;
use super::client::Answer;
use super::health;
use super::request::Judged;
use super::reticence;
use super::scope::{Purpose, Scope};
use super::scrub::{MIN_SCRUBBED_BYTES, REDACTED, Scrubber};
use super::sending::Sending;
use crate::credential::grant::REFRESH_TOKEN;
use crate::credential::{Material, SecretValue};
use crate::fault::{Fault, FaultKind};
use crate::policy::time::Moment;
use crate::telemetry::metric;

/// Largest secret that is taken out of an answer, in bytes: as `credential` bounds those that it reads.
pub(super) const MAX_CAPTURED_BYTES: usize = 64 << 10;

/// Places at which a connector may look for secrets in one exchange: each look reads the whole body. A login has a handful.
const MAX_LOOKS: usize = 32;

/// What an answer means, as the connector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    Throttled { retry_after: Option<Duration>, scope: Option<String> },
    Unauthenticated,
    Transient,
    Rejected,
}

impl Verdict {
    /// Metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled { .. } => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::Transient => "transient",
            Self::Rejected => "rejected",
        }
    }

    /// What a status says when nobody says more.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=399 => Self::Ok,
            401 => Self::Unauthenticated,
            429 => Self::Throttled { retry_after: None, scope: None },
            408 | 500..=599 => Self::Transient,
            _ => Self::Rejected,
        }
    }
}

/// What the host did about a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    Accepted,
    SentAgain,
}

/// Where in an answer a secret stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// JSON Pointer.
    Body(String),
    Header(String),
}

/// A request and its latest answer.
#[derive(Debug)]
pub struct Exchange {
    pub(super) request: Judged,
    pub(super) sending: Sending,
    /// What the request was written with, by credential.
    pub(super) materials: BTreeMap<Arc<str>, Arc<Material>>,
    /// What the answer says of the system's health is still to be said.
    pending: Option<Pending>,
    pub(super) renewed: bool,
    pub(super) settled: bool,
    answer: Answer,
    /// The body as JSON without what was taken out of it; none while nothing was.
    redacted: Option<Value>,
    /// Finds what the connector must not see.
    scrubber: Scrubber,
    /// In a login, nothing is shown that the host does not understand.
    in_login: bool,
    /// The body as it was shown, once it has been asked for.
    visible: Option<Bytes>,
    /// Looks for secrets so far.
    looks: usize,
}

/// One answer, what it was asked with, and what it is still to be judged by.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) scrubber: Scrubber,
    pub(super) materials: BTreeMap<Arc<str>, Arc<Material>>,
    pub(super) pending: Pending,
}

impl Exchange {
    pub(super) fn new(request: Judged, sending: Sending, answered: Answered, scope: &Scope) -> Self {
        let Answered { answer, scrubber, materials, pending } = answered;
        let mut exchange = Self {
            request,
            sending,
            materials,
            pending: Some(pending),
            renewed: false,
            settled: false,
            answer,
            redacted: None,
            scrubber,
            in_login: matches!(scope.purpose, Purpose::Login { .. }),
            visible: None,
            looks: 0,
        };
        exchange.hide_tokens();
        exchange
    }

    /// Puts a new answer in place of the old one.
    pub(super) fn replace(&mut self, answered: Answered) {
        let Answered { answer, scrubber, materials, pending } = answered;
        (self.answer, self.scrubber, self.redacted, self.visible) = (answer, scrubber, None, None);
        (self.materials, self.pending) = (materials, Some(pending));
        self.hide_tokens();
    }

    /// When the request was sent whose answer nobody has judged yet.
    pub(super) fn sent_at(&self) -> Option<Moment> {
        self.pending.as_ref().map(|pending| pending.sent_at)
    }

    /// Says what the answer means for the system's health; when its request was sent.
    pub(super) fn judge(&mut self, verdict: &Verdict) -> Option<Moment> {
        let pending = self.pending.take()?;
        let (sent_at, took) = (pending.sent_at, pending.took);
        pending.judge(health::of_verdict(verdict, took));
        Some(sent_at)
    }

    pub fn status(&self) -> StatusCode {
        self.answer.status
    }

    /// What it holds of the host's memory, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.answer.body.len() + self.request.body_bytes()
    }

    pub(super) fn raw_header(&self, name: &str) -> Option<&str> {
        self.answer.headers.get(name)?.to_str().ok()
    }

    /// The first header of that name, scrubbed, if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.answer.headers.get(name)?;
        let shown = self.shows_header(&name.to_ascii_lowercase());
        String::from_utf8(self.scrubbed(value.as_bytes())).ok().filter(|_| shown)
    }

    /// All headers, scrubbed.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let shown = self.answer.headers.iter().filter(|(name, _)| self.shows_header(name.as_str()));
        shown.map(|(name, value)| (name.to_string(), self.scrubbed(value.as_bytes()))).collect()
    }

    fn shows_header(&self, name: &str) -> bool {
        !self.in_login || reticence::shows_header(name)
    }

    /// The body, scrubbed. Nothing can be captured afterwards.
    pub fn body(&mut self) -> Bytes {
        if self.visible.is_none() {
            let body = match &self.redacted {
                Some(value) => Bytes::from(value.to_string()),
                None if self.in_login => Bytes::new(),
                None => self.answer.body.clone(),
            };
            self.visible = Some(self.clean(&body).map_or(body, Bytes::from));
        }
        self.visible.clone().unwrap_or_default()
    }

    fn scrubbed(&self, text: &[u8]) -> Vec<u8> {
        self.clean(text).unwrap_or_else(|| text.to_vec())
    }

    /// What is left of a text that holds secrets; counted, because a system that repeats them is one to know of.
    fn clean(&self, text: &[u8]) -> Option<Vec<u8>> {
        let clean = self.scrubber.scrub(text)?;
        let (connector, upstream) = (self.request.connector.to_string(), self.request.upstream.to_string());
        metrics::counter!(metric::REDACTIONS, "connector" => connector, "upstream" => upstream).increment(1);
        Some(clean)
    }

    /// Takes a secret out of the answer and keeps it for this call; its name, or none if nothing stands there.
    pub fn capture(&mut self, place: &Place, scope: &Scope) -> Result<Option<String>, Fault> {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            let why = format!("Secrets were looked for at more than {MAX_LOOKS} places.");
            return Err(Fault::new(FaultKind::ConnectorFailed, why));
        }
        let found = match place {
            Place::Header(name) => self.answer.headers.get(name).map(|v| v.as_bytes().to_vec()),
            Place::Body(_) if self.visible.is_some() => {
                let why = "The body was read before the secret was captured.";
                return Err(Fault::new(FaultKind::InvalidArguments, why));
            }
            Place::Body(pointer) => self.take_out(pointer),
        };
        let Some(found) = found else { return Ok(None) };
        if !(MIN_SCRUBBED_BYTES..=MAX_CAPTURED_BYTES).contains(&found.len()) {
            let bounds = format!("{MIN_SCRUBBED_BYTES} to {MAX_CAPTURED_BYTES} bytes");
            let why = format!("A secret that is taken out of an answer has {bounds}.");
            return Err(Fault::new(FaultKind::SchemaMismatch, why));
        }
        let value = SecretValue::new(found);
        self.scrubber.add(&value);
        if matches!(place, Place::Body(pointer) if pointer.rsplit('/').next() == Some(REFRESH_TOKEN)) {
            scope.fates.renewed_by(&value);
        }
        scope
            .keep(vec![self.request.upstream.to_string()], value)
            .map(Some)
            .ok_or_else(|| Fault::new(FaultKind::ConnectorFailed, "Too many secrets were captured."))
    }

    /// The text at a place of the body, which is hidden there from now on.
    fn take_out(&mut self, pointer: &str) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(&self.answer.body).ok()?;
        let found = value.pointer(pointer)?.as_str()?.as_bytes().to_vec();
        let shown = self.redacted.as_mut().unwrap_or(&mut value);
        if let Some(member) = shown.pointer_mut(pointer) {
            *member = REDACTED.into();
        }
        self.redacted.get_or_insert(value);
        Some(found)
    }

    /// In a login, what may be a secret is hidden before the guest looks: a hostile one gains nothing by not capturing it.
    fn hide_tokens(&mut self) {
        if self.in_login
            && let Ok(mut value) = serde_json::from_slice::<Value>(&self.answer.body)
        {
            reticence::hide(&mut value, self.answer.status, &mut self.scrubber);
            self.redacted = Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::call::{Caller, Deadline};
    use crate::clock::Clock;
    use crate::egress::account::{Account, Name};
    use crate::egress::operation::Effect;
    use crate::policy::breaker::Outcome;
    use crate::policy::limit::{Limits, WallSet};
    use crate::telemetry::TraceContext;

    async fn exchange(body: &str, in_login: bool) -> (Exchange, Scope) {
        let purpose = match in_login {
            true => Purpose::Login { credential: "login".into() },
            false => Purpose::Call { ceiling: Effect::Read },
        };
        let deadline = Deadline::after(Duration::from_secs(1));
        let scope = Scope::new(purpose, Caller::anonymous(), deadline, TraceContext::fresh());
        let mut headers = HeaderMap::new();
        headers.insert(http::header::SET_COOKIE, HeaderValue::from_static("sid=very-secret-cookie"));
        let answer = Answer { status: StatusCode::OK, headers, body: Bytes::from(body.to_owned()) };
        let request = Judged::for_tests("api");
        let name = Name { account: "test".into(), upstream: "api".into() };
        let account =
            Arc::new(Account::open(name, Clock::start(), Limits::new(&WallSet::default())).unwrap());
        let mut sending = Sending::new(&account, &"test".into(), &scope, request.claim());
        let pending = sending.enter(&scope).await.unwrap().answered(|took| Outcome::Success { took });
        let (scrubber, materials) = (Scrubber::default(), BTreeMap::new());
        let exchange =
            Exchange::new(request, sending, Answered { answer, scrubber, materials, pending }, &scope);
        (exchange, scope)
    }

    fn shown(exchange: &mut Exchange) -> String {
        String::from_utf8(exchange.body().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_login_shows_no_token_however_it_is_spelled_or_nested() {
        for body in [
            r#"{"authed_user":{"access_token":"xoxp-123456"},"scope":"a-word-that-is-none"}"#,
            r#"[{"idToken":"xoxp-123456"}]"#,
            r#"{"access_token":"xoxp\u002d123456"}"#,
            r#"{"access-token":"xoxp-123456","url":"https://h/?t=xoxp-123456"}"#,
            r#"{"sid":"123456"}"#,
            r#"{"auth":{"client_token":"123456","policies":["123456"]}}"#,
            r#"{"sessionToken":"123456","status":"SUCCESS"}"#,
            r#"["123456"]"#,
            r#""123456""#,
            r#"{"pin":123456}"#,
            "access_token=xoxp-123456",
        ] {
            let (mut exchange, _) = exchange(body, true).await;
            let shown = shown(&mut exchange);
            assert!(!shown.contains("123456"), "{body}");
            assert_eq!(shown.contains("a-word-that-is-none"), body.contains("a-word-that-is-none"), "{body}");
            assert!(exchange.header("set-cookie").is_none() && exchange.headers().is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_captured_leaves_the_body_and_can_be_captured_in_a_login_too() {
        for in_login in [false, true] {
            let body = r#"{"access_token":"a\/b-12345678","expires_in":3600}"#;
            let (mut exchange, scope) = exchange(body, in_login).await;
            let name = exchange.capture(&Place::Body("/access_token".to_owned()), &scope).unwrap().unwrap();
            assert_eq!(scope.captured(&name).unwrap().value.expose(), b"a/b-12345678");
            let shown = shown(&mut exchange);
            assert!(!shown.contains("12345678") && shown.contains("3600"), "{shown}");
            assert!(exchange.capture(&Place::Body("/access_token".to_owned()), &scope).is_err());
        }
    }

    #[tokio::test]
    async fn a_throttle_counts_even_if_the_guest_neither_judges_nor_drops_its_answer() {
        let (mut exchange, _) = exchange("{}", false).await;
        exchange.answer.status = StatusCode::TOO_MANY_REQUESTS;
        exchange.answer.headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("30"));
        let (account, asks) = (Arc::clone(&exchange.sending.account), exchange.sending.asks.clone());
        assert!(account.earliest(&asks).is_none_or(|wait| wait.is_zero()));
        drop(exchange);
        assert!(account.earliest(&asks).is_some_and(|wait| wait > Duration::from_secs(29)));
    }

    #[tokio::test]
    async fn secrets_are_looked_for_at_some_places_and_not_at_any_number() {
        let (mut exchange, scope) = exchange("{}", true).await;
        let look = |exchange: &mut Exchange| exchange.capture(&Place::Body("/absent".to_owned()), &scope);
        for _ in 0..MAX_LOOKS {
            assert!(look(&mut exchange).unwrap().is_none());
        }
        assert!(look(&mut exchange).is_err());
    }

    #[tokio::test]
    async fn a_captured_secret_is_bounded() {
        let body = serde_json::json!({ "t": "x".repeat(MAX_CAPTURED_BYTES + 1), "s": "short" }).to_string();
        let (mut exchange, scope) = exchange(&body, false).await;
        assert!(exchange.capture(&Place::Body("/t".to_owned()), &scope).is_err());
        assert!(exchange.capture(&Place::Body("/s".to_owned()), &scope).is_err());
        assert!(exchange.capture(&Place::Body("/absent".to_owned()), &scope).unwrap().is_none());
    }
}
