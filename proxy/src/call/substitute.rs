//! What an agent is told of a result that is not what the system says now.

use std::sync::Arc;
use std::time::Duration;

use crate::fault::FaultKind;

/// A result that stands in for one that could not be had.
#[derive(Clone, Debug)]
pub struct Substitute {
    pub source: Source,
    /// Why what was asked for could not be had.
    pub reason: FaultKind,
    /// The same in words.
    pub message: String,
}

/// Where a substitute comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// An earlier answer to the same call of the same caller.
    Stale {
        age: Duration,
        /// When it was true, in whole seconds of UTC.
        as_of: jiff::Timestamp,
    },
    /// Another tool that the operator named for this.
    Tool(Arc<str>),
}

impl Substitute {
    /// For a model, so that it cannot take the result for what the system says now.
    pub fn sentence(&self) -> String {
        let message = &self.message;
        match &self.source {
            Source::Stale { age, as_of } => {
                let age = age.as_secs();
                format!(
                    "Not current: this is an earlier answer, from {as_of} ({age} s ago), because: {message}"
                )
            }
            Source::Tool(tool) => format!("Answered by `{tool}` instead, because: {message}"),
        }
    }

    /// What the call ended as, beside `ok` and the labels of faults.
    pub fn label(&self) -> &'static str {
        match self.source {
            Source::Stale { .. } => "stale",
            Source::Tool(_) => "fallback",
        }
    }
}
