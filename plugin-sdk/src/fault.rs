//! What a failed call says.
//!
//! Owns the record that a tool returns instead of an answer. Which kinds exist and what they mean is `wit/types.wit`;
//! what an agent reads in the end is the host's.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::base::ferrata::connector::types as wire;
pub use wire::FaultKind;

/// A failure, typed. Never returned as, or in place of, an empty success.
///
/// A connector originates the eight kinds that are its to know, one constructor each. Faults that calls to the host
/// return are the host's own: pass them on with `?`, and the agent gets the host's full record.
///
/// ```
/// use ferrata_sdk::Fault;
///
/// let fault = Fault::gone("The channel C042 is archived.").with_code("is_archived").with_path("/channel");
/// assert_eq!(fault.to_string(), "gone: The channel C042 is archived.");
/// ```
#[derive(Clone, Debug)]
pub struct Fault(Box<Record>);

#[derive(Clone, Debug)]
struct Record {
    kind: FaultKind,
    message: String,
    code: Option<String>,
    path: Option<String>,
    retry_after: Option<Duration>,
    ticket: Option<u64>,
    details: Map<String, Value>,
}

/// The member of the details that the host quotes, cuts and marks as the upstream's words.
const UPSTREAM_SAID: &str = "upstream_said";

impl Fault {
    /// The arguments cannot be right, whatever the system's state.
    pub fn invalid_arguments(message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidArguments, message)
    }

    /// It does not exist, as far as this credential can see.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// It existed, and is archived or deleted.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Gone, message)
    }

    /// A precondition failed, or it exists already.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Conflict, message)
    }

    /// Several match.
    pub fn ambiguous(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Ambiguous, message)
    }

    /// A business rule of the system says no.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Rejected, message)
    }

    /// The system knows who asks, and says no.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(FaultKind::PermissionDenied, message)
    }

    /// The system answered in a shape that the connector does not know.
    pub fn schema_mismatch(message: impl Into<String>) -> Self {
        Self::new(FaultKind::SchemaMismatch, message)
    }

    /// A mistake in the connector itself.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::new(FaultKind::ConnectorFailed, message)
    }

    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self(Box::new(Record {
            kind,
            message: message.into(),
            code: None,
            path: None,
            retry_after: None,
            ticket: None,
            details: Map::new(),
        }))
    }

    /// The system's own code ("is_archived", "23505").
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// JSON Pointer to the argument, or to the member of the answer, that is meant ("/channel").
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// How long to wait before the same request can succeed.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// What the system wrote, for the agent to read as a quotation. It belongs here and not in the message, because the
    /// system's text may have been written by anybody.
    pub fn with_upstream_text(self, text: impl Into<String>) -> Self {
        self.with_detail(UPSTREAM_SAID, text.into())
    }

    /// Data for the agent. A value that cannot be written as JSON is left out.
    pub fn with_detail(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.details.insert(name.to_owned(), value);
        }
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> FaultKind {
        self.0.kind
    }

    /// Whether the host originated it: then the agent gets the host's own record of it.
    pub fn is_the_hosts(&self) -> bool {
        self.0.ticket.is_some()
    }

    /// One sentence in plain words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The system's own code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// JSON Pointer to what is meant.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// How long to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Data for the agent.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// What the system wrote.
    pub fn upstream_text(&self) -> Option<&str> {
        self.0.details.get(UPSTREAM_SAID)?.as_str()
    }
}

/// The kind's name in the fault vocabulary.
pub(crate) fn label(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidArguments => "invalid_arguments",
        FaultKind::NotFound => "not_found",
        FaultKind::Gone => "gone",
        FaultKind::Conflict => "conflict",
        FaultKind::Ambiguous => "ambiguous",
        FaultKind::Rejected => "rejected",
        FaultKind::PermissionDenied => "permission_denied",
        FaultKind::SchemaMismatch => "schema_mismatch",
        FaultKind::CredentialDead => "credential_dead",
        FaultKind::RateLimited => "rate_limited",
        FaultKind::QuotaExhausted => "quota_exhausted",
        FaultKind::Unavailable => "unavailable",
        FaultKind::DeadlineExceeded => "deadline_exceeded",
        FaultKind::Overloaded => "overloaded",
        FaultKind::OutcomeUnknown => "outcome_unknown",
        FaultKind::ConnectorFailed => "connector_failed",
        FaultKind::Internal => "internal",
    }
}

impl From<wire::Fault> for Fault {
    fn from(fault: wire::Fault) -> Self {
        let details = fault.details.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self(Box::new(Record {
            kind: fault.kind,
            message: fault.message,
            code: fault.code,
            path: fault.path,
            retry_after: fault.retry_after_ms.map(Duration::from_millis),
            ticket: fault.ticket,
            details,
        }))
    }
}

impl From<Fault> for wire::Fault {
    fn from(Fault(record): Fault) -> Self {
        let record = *record;
        Self {
            kind: record.kind,
            message: record.message,
            code: record.code,
            path: record.path,
            retry_after_ms: record.retry_after.map(millis),
            ticket: record.ticket,
            details: (!record.details.is_empty()).then(|| Value::Object(record.details).to_string()),
        }
    }
}

/// Whole milliseconds, rounded up so that nobody comes back early.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", label(self.kind()), self.message())
    }
}

impl std::error::Error for Fault {}
