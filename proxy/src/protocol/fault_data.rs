//! A fault, or what stands in for one, as data: the record that the model does not read but the program around it can act on.

use serde::Serialize;

use crate::call::{Source, Substitute};
use crate::fault::{Fault, FaultKind, Record};

/// What MCP carries in `_meta` and plain HTTP in the problem document.
#[derive(Debug, Serialize)]
pub struct FaultData<'a> {
    /// Whether the same call may succeed later without a human.
    retryable: bool,
    #[serde(flatten)]
    record: &'a Record,
}

impl<'a> FaultData<'a> {
    pub fn of(fault: &'a Fault) -> Self {
        Self { retryable: fault.is_retryable(), record: fault }
    }
}

/// What MCP carries in `_meta` beside a result that is not what the system says now.
#[derive(Debug, Serialize)]
pub struct SubstituteData<'a> {
    /// `stale` or `tool`.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    reason: FaultKind,
    message: &'a str,
}

impl<'a> SubstituteData<'a> {
    pub fn of(instead: &'a Substitute) -> Self {
        let Substitute { source, reason, message } = instead;
        let (source, age, as_of, tool) = match source {
            Source::Stale { age, as_of } => ("stale", Some(*age), Some(*as_of), None),
            Source::Tool(tool) => ("tool", None, None, Some(&**tool)),
        };
        let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Self { source, age_ms, as_of, tool, reason: *reason, message }
    }
}
