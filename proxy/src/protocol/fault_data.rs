//! A fault as data: the record that the model does not read but the program around it can act on.

use serde::Serialize;

use crate::fault::{Fault, Record};

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
