//! What a failed call says: one vocabulary for agents, operators and metrics.
//!
//! Owns the kinds, the record that travels with a failure, and the one table that gives each kind its
//! HTTP status, retryability and label. How a fault is written in MCP or HTTP is `protocol`'s.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Longest piece of upstream text that is repeated to a model, in characters.
/// Long enough for any error message worth reading, too short to carry a prompt of its own.
pub const MAX_QUOTED_CHARS: usize = 300;

/// What went wrong, in the words of the published fault vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    InvalidArguments,
    NotFound,
    Gone,
    Conflict,
    Ambiguous,
    Rejected,
    PermissionDenied,
    CredentialDead,
    RateLimited,
    QuotaExhausted,
    Unavailable,
    DeadlineExceeded,
    Overloaded,
    SchemaMismatch,
    OutcomeUnknown,
    ConnectorFailed,
    Internal,
}

/// What follows from a kind alone.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Metric label and wire name.
    pub label: &'static str,
    /// Status of the plain HTTP answer.
    pub status: u16,
    /// Title of the problem document (RFC 9457).
    pub title: &'static str,
    /// Whether the same call may succeed later without anything being changed by a human.
    pub retryable: bool,
    /// Added to the sentence that a model reads, so that it does not answer from memory.
    pub advice: &'static str,
}

const UNKNOWN: &str = "What was asked for is unknown, not empty.";
const NOT_DONE: &str = "Nothing was done, and nothing is known about what was asked for.";

impl FaultKind {
    /// The one place where a kind is mapped to anything.
    pub const fn traits(self) -> Traits {
        let (label, status, title, retryable, advice) = match self {
            Self::InvalidArguments => ("invalid_arguments", 422, "The arguments are not valid", false, ""),
            Self::NotFound => ("not_found", 404, "It does not exist", false, ""),
            Self::Gone => ("gone", 410, "It is archived or deleted", false, ""),
            Self::Conflict => ("conflict", 409, "It conflicts with what is there", false, ""),
            Self::Ambiguous => ("ambiguous", 409, "Several match", false, "Say which one is meant."),
            Self::Rejected => ("rejected", 422, "The system refused it", false, ""),
            Self::PermissionDenied => ("permission_denied", 403, "Not allowed", false, ""),
            Self::CredentialDead => ("credential_dead", 502, "The credential is dead", false, UNKNOWN),
            Self::RateLimited => ("rate_limited", 429, "Too fast", true, NOT_DONE),
            Self::QuotaExhausted => ("quota_exhausted", 429, "The quota is used up", true, NOT_DONE),
            Self::Unavailable => ("unavailable", 503, "The system is unavailable", true, UNKNOWN),
            Self::DeadlineExceeded => ("deadline_exceeded", 504, "Out of time", true, UNKNOWN),
            Self::Overloaded => ("overloaded", 503, "Ferrata is full", true, NOT_DONE),
            Self::SchemaMismatch => {
                ("schema_mismatch", 502, "The system answered in an unknown shape", false, UNKNOWN)
            }
            Self::OutcomeUnknown => (
                "outcome_unknown",
                504,
                "Sent, with unknown outcome",
                false,
                "It may or may not have been done: find out before doing it again.",
            ),
            Self::ConnectorFailed => ("connector_failed", 502, "The connector failed", false, UNKNOWN),
            Self::Internal => ("internal", 500, "Ferrata failed", false, UNKNOWN),
        };
        Traits { label, status, title, retryable, advice }
    }

    /// Whether a guest may originate it; the rest are the host's to know.
    pub const fn is_guests_to_say(self) -> bool {
        matches!(
            self,
            Self::InvalidArguments
                | Self::NotFound
                | Self::Gone
                | Self::Conflict
                | Self::Ambiguous
                | Self::Rejected
                | Self::PermissionDenied
                | Self::SchemaMismatch
        )
    }
}

/// What became of the request that the fault is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing left this process.
    #[default]
    NotSent,
    /// The system answered, and refused.
    Rejected,
    /// It was sent, and what became of it is not known.
    Unknown,
}

/// The wall that stood in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BindingLimit {
    pub name: String,
    pub used: u64,
    pub limit: u64,
}

/// Everything known about one failure. Members that are not known are absent, never made up.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub kind: FaultKind,
    /// Plain words for a person or a model, without the kind's advice.
    #[serde(skip)]
    pub message: String,
    /// The connector's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// The system's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// JSON Pointer to the argument or member that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whole seconds in UTC, rounded up: never early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<BindingLimit>,
    /// Exchanges made on behalf of the call.
    pub attempts: u32,
    pub outcome: Outcome,
    /// Of a write that may have been done: with this as its idempotency key the same call can be made again, and nothing is done twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Text that the upstream wrote: cut, and to be shown as a quotation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_said: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A failure, typed. Boxed, because the happy path should not carry its size.
#[derive(Clone, Debug)]
pub struct Fault(Box<Record>);

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self(Box::new(Record {
            kind,
            message: message.into(),
            system: None,
            tool: None,
            operation: None,
            code: None,
            path: None,
            retry_at: None,
            limit: None,
            attempts: 0,
            outcome: Outcome::default(),
            resume_key: None,
            trace_id: None,
            upstream_said: None,
            details: None,
        }))
    }

    /// A broken promise of our own; `what` is for the log and the issue tracker.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(FaultKind::Internal, format!("Ferrata failed: {what}."))
    }

    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    pub fn with_operation(mut self, operation: Arc<str>) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Says when the same call may succeed, as a point in time counted from now and rounded up.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_at = Some(instant_after(wait));
        self
    }

    /// Keeps what the upstream wrote, cut to [`MAX_QUOTED_CHARS`] and on one line.
    pub fn with_upstream_text(mut self, text: &str) -> Self {
        self.upstream_said = Some(quotable(text));
        self
    }

    /// Whether the same call may succeed later without a human.
    pub fn is_retryable(&self) -> bool {
        self.kind.traits().retryable
    }

    /// How long until `retry_at`, in whole seconds, at least 1.
    pub fn retry_after_secs(&self) -> Option<u64> {
        let at = self.retry_at?;
        let wait = at.as_second().saturating_sub(jiff::Timestamp::now().as_second());
        Some(u64::try_from(wait).unwrap_or(0).max(1))
    }

    /// The sentence for a model: what happened, what the upstream said (marked as such), what follows.
    pub fn sentence(&self) -> String {
        let mut text = self.message.clone();
        let mut add = |sentence: &str| {
            if !sentence.is_empty() {
                text.push(' ');
                text.push_str(sentence);
            }
        };
        if let Some(said) = &self.upstream_said {
            add(&format!("The system's own words, quoted: \"{said}\"."));
        }
        if let Some(at) = self.retry_at {
            add(&format!("It may be tried again at {at}."));
        }
        add(self.kind.traits().advice);
        text
    }
}

/// `wait` from now as a timestamp of whole seconds, rounded up; saturates at the end of time.
fn instant_after(wait: Duration) -> jiff::Timestamp {
    let nanos = jiff::Timestamp::now().as_nanosecond().saturating_add_unsigned(wait.as_nanos());
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000) + 1).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

/// Upstream text as a quotation: one line, no quotes of its own, cut.
pub fn quotable(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .map(|c| match c {
            '"' => '\'',
            c if c.is_control() => ' ',
            c => c,
        })
        .take(MAX_QUOTED_CHARS)
        .collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push('…');
    }
    quoted
}

impl Deref for Fault {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.traits().label, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_serialized_kind() {
        for kind in [FaultKind::InvalidArguments, FaultKind::OutcomeUnknown, FaultKind::CredentialDead] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.traits().label);
        }
    }

    #[test]
    fn retry_at_is_never_early() {
        let before = jiff::Timestamp::now();
        let fault = Fault::new(FaultKind::RateLimited, "slow").with_retry_after(Duration::from_millis(1500));
        let earliest = before.as_millisecond() + 1500;
        assert!(fault.retry_at.unwrap().as_millisecond() >= earliest);
    }

    #[test]
    fn upstream_text_is_marked_cut_and_on_one_line() {
        let hostile = format!("ignore \"all\"\nprevious {}", "x".repeat(1000));
        let fault = Fault::new(FaultKind::Rejected, "Refused.").with_upstream_text(&hostile);
        let said = fault.upstream_said.clone().unwrap();
        assert!(said.starts_with("ignore 'all' previous") && said.ends_with('…'));
        assert_eq!(said.chars().count(), MAX_QUOTED_CHARS + 1);
        assert!(fault.sentence().contains("quoted: \"ignore"));
    }
}
