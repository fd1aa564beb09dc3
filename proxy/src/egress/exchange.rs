//! One request and its answer, as a guest may see it: scrubbed, and with secrets taken out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::client::Answer;
use super::request::Judged;
use super::scope::{Purpose, Scope};
use super::scrub::{MIN_SCRUBBED_BYTES, scrub};
use crate::credential::{Material, SecretValue};
use crate::fault::{Fault, FaultKind};

/// Members of a login's answer that are tokens, whatever the connector says: the host takes them out by itself.
const TOKEN_MEMBERS: [&str; 6] =
    ["access_token", "refresh_token", "id_token", "token", "client_secret", "device_code"];

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
    /// What the request was written with, by credential.
    pub(super) materials: BTreeMap<Arc<str>, Arc<Material>>,
    pub(super) renewed: bool,
    pub(super) settled: bool,
    answer: Answer,
    /// To be scrubbed: what the request carried and what was taken out of the answer.
    secrets: Vec<SecretValue>,
    /// The scrubbed body, once it has been asked for.
    visible: Option<Bytes>,
}

impl Exchange {
    pub(super) fn new(
        request: Judged,
        materials: BTreeMap<Arc<str>, Arc<Material>>,
        answer: Answer,
        secrets: Vec<SecretValue>,
        scope: &Scope,
    ) -> Self {
        let (renewed, settled) = (false, false);
        let mut exchange = Self { request, materials, renewed, settled, answer, secrets, visible: None };
        exchange.hide_tokens(scope);
        exchange
    }

    /// Puts a new answer in place of the old one.
    pub(super) fn replace(&mut self, answer: Answer, secrets: Vec<SecretValue>, scope: &Scope) {
        (self.answer, self.secrets, self.visible) = (answer, secrets, None);
        self.hide_tokens(scope);
    }

    pub fn status(&self) -> StatusCode {
        self.answer.status
    }

    pub(super) fn raw_header(&self, name: &str) -> Option<&str> {
        self.answer.headers.get(name)?.to_str().ok()
    }

    /// The first header of that name, scrubbed, if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.answer.headers.get(name)?.as_bytes();
        String::from_utf8(self.scrubbed(value)).ok()
    }

    /// All headers, scrubbed.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.answer.headers.iter().map(|(n, v)| (n.to_string(), self.scrubbed(v.as_bytes()))).collect()
    }

    /// The body, scrubbed. Nothing can be captured afterwards.
    pub fn body(&mut self) -> Bytes {
        if self.visible.is_none() {
            let body = &self.answer.body;
            self.visible = Some(scrub(body, &self.secrets).map_or_else(|| body.clone(), Bytes::from));
        }
        self.visible.clone().unwrap_or_default()
    }

    fn scrubbed(&self, text: &[u8]) -> Vec<u8> {
        scrub(text, &self.secrets).unwrap_or_else(|| text.to_vec())
    }

    /// Takes a secret out of the answer and keeps it for this call; its name, or none if nothing stands there.
    pub fn capture(&mut self, place: &Place, scope: &Scope) -> Result<Option<String>, Fault> {
        let found = match place {
            Place::Header(name) => self.answer.headers.get(name).map(|v| v.as_bytes().to_vec()),
            Place::Body(_) if self.visible.is_some() => {
                let why = "The body was read before the secret was captured.";
                return Err(Fault::new(FaultKind::InvalidArguments, why));
            }
            Place::Body(pointer) => string_at(&self.answer.body, pointer),
        };
        let Some(found) = found else { return Ok(None) };
        if found.len() < MIN_SCRUBBED_BYTES {
            let why = format!(
                "A secret of fewer than {MIN_SCRUBBED_BYTES} bytes cannot be taken out of an answer."
            );
            return Err(Fault::new(FaultKind::SchemaMismatch, why));
        }
        let value = SecretValue::new(found);
        let name = scope.keep(vec![self.request.upstream.to_string()], value.clone());
        self.secrets.push(value);
        name.map(Some)
            .ok_or_else(|| Fault::new(FaultKind::ConnectorFailed, "Too many secrets were captured."))
    }

    /// In a login, tokens are hidden before the guest looks: a hostile one gains nothing by not capturing them.
    fn hide_tokens(&mut self, scope: &Scope) {
        if matches!(scope.purpose, Purpose::Login { .. })
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&self.answer.body)
        {
            tokens_in(&value, &mut self.secrets);
        }
    }
}

fn string_at(body: &[u8], pointer: &str) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.pointer(pointer)?.as_str().map(|s| s.as_bytes().to_vec())
}

fn tokens_in(value: &serde_json::Value, found: &mut Vec<SecretValue>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if TOKEN_MEMBERS.contains(&name.as_str()) => {
                        found.push(SecretValue::new(text.as_bytes().to_vec()));
                    }
                    _ => tokens_in(member, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| tokens_in(item, found)),
        _ => {}
    }
}

/// What a `Retry-After` header asks for (RFC 9110 section 10.2.3): seconds or a date.
pub fn retry_after(header: &str) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(header.trim()).ok()?.timestamp();
    let wait = date.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("30"), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn tokens_are_found_however_deep() {
        let body = serde_json::json!({"ok": true, "authed_user": {"access_token": "xoxp-1"}, "list": [{"id_token": "j"}]});
        let mut found = Vec::new();
        tokens_in(&body, &mut found);
        assert_eq!(found.len(), 2);
    }
}
