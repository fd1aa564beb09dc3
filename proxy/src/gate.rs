//! Who may call what, with which arguments, and for how long.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::call::{Caller, ToolCall, ToolResult};
use crate::fault::Fault;

/// One tool as an agent knows it.
#[derive(Debug)]
pub struct Tool {
    /// `<connector>_<tool>`.
    pub name: Arc<str>,
}

/// The tools that one agent may see, rendered once when they change.
#[derive(Debug)]
pub struct Listing {
    /// In a stable order.
    pub tools: Vec<Arc<Tool>>,
    /// The MCP `tools` array: a JSON array of tool definitions.
    pub mcp: Bytes,
}

/// The bearer token was missing or is not one that this listener knows.
#[derive(Debug)]
pub struct Unauthorized;

/// The gate.
#[derive(Debug)]
pub struct Gate {}

impl Gate {
    /// Who a request comes from, by the `Authorization: Bearer` value if there is one.
    pub fn identify(&self, _bearer: Option<&str>) -> Result<Caller, Unauthorized> {
        todo!()
    }

    /// What this caller may see.
    pub fn tools(&self, _caller: &Caller) -> Arc<Listing> {
        todo!()
    }

    /// The tool of that name, if this caller may see it.
    pub fn tool(&self, _caller: &Caller, _name: &str) -> Option<Arc<Tool>> {
        todo!()
    }

    /// Makes a call. Dropping the future stops the guest and what it has under way.
    pub async fn call(&self, _tool: &Tool, _call: ToolCall) -> Result<ToolResult, Fault> {
        todo!()
    }

    /// A number that changes when the list of tools does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
