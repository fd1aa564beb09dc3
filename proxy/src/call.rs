//! A tool call and its result: what every room on the request path passes on.
//!
//! Arguments and results are raw JSON text. They are parsed where somebody must look inside
//! (schema validation, the guest), never merely to be written out again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::telemetry::TraceContext;

/// Who calls. Verified by the listener; everything behind it may rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The agent's identity: a token's name, or `default` on a listener without authentication.
    pub agent: Arc<str>,
    /// For whom the agent acts, when a verified token said so.
    pub subject: Option<Arc<str>>,
}

impl Caller {
    /// The agent of a listener that asks for nothing.
    pub fn anonymous() -> Self {
        Self::agent("default")
    }

    pub fn agent(name: impl Into<Arc<str>>) -> Self {
        Self { agent: name.into(), subject: None }
    }
}

/// One call as an agent made it, before the gate has looked at it.
#[derive(Debug)]
pub struct ToolCall {
    /// A JSON object, as text.
    pub arguments: Box<RawValue>,
    pub caller: Caller,
    /// How long the agent is willing to wait; the gate cuts it to the operator's maximum.
    pub timeout: Option<Duration>,
    /// Groups calls of one task in usage and audit; the trace id stands in for it.
    pub workflow: Option<String>,
    /// Stable across the agent's own retries of the same call; made up when absent.
    pub idempotency_key: Option<String>,
    pub trace: TraceContext,
}

/// The answer to a call: an object that satisfies the tool's output schema, as text.
#[derive(Debug)]
pub struct ToolResult {
    pub value: Box<RawValue>,
}

/// The latest moment at which an answer is still of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}
