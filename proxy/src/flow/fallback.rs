//! What stands in for a read that cannot be had, in the operator's words, checked when it is loaded.

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Source, ToolResult};
use crate::connector::{Admitted, Connector, ToolSpec};
use crate::egress::operation::Effect;
use crate::fault::FaultKind;

/// One tool of one generation of a connector.
#[derive(Clone, Debug)]
pub struct Route {
    /// `<connector>_<tool>`.
    pub name: Arc<str>,
    pub connector: Arc<Connector>,
    /// Among the connector's tools.
    pub index: usize,
}

impl Route {
    pub fn spec(&self) -> &ToolSpec {
        &self.connector.tools[self.index]
    }
}

/// One thing that may stand in.
#[derive(Clone, Debug)]
pub enum Step {
    /// An earlier answer no older than that.
    Stale {
        within: Duration,
    },
    Tool(Route),
}

/// Whether answers are to be kept.
pub fn keeps(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Stale { .. }))
}

/// Whether something may stand in for what failed so: only where the system said nothing at all about what was asked. After "not found" or "not
/// allowed" an earlier answer would be a lie, and after a dead credential nobody would notice that it is dead.
pub fn may_stand_in(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Unavailable
            | FaultKind::DeadlineExceeded
            | FaultKind::RateLimited
            | FaultKind::QuotaExhausted
            | FaultKind::Overloaded
    )
}

/// Asks another tool the same, within what is left of the call's time.
pub async fn ask(route: &Route, call: Admitted) -> Option<(ToolResult, Source)> {
    let arguments = serde_json::from_str(call.arguments.get()).ok()?;
    if call.deadline.has_passed() || !route.spec().input.is_valid(&arguments) {
        return None;
    }
    let answer = route.connector.call(route.spec(), call).await;
    let answer = answer.inspect_err(|fault| {
        tracing::warn!(tool = %route.name, kind = fault.kind.traits().label, "the fallback failed too");
    });
    Some((answer.ok()?, Source::Tool(Arc::clone(&route.name))))
}

/// Whether something can stand in for a tool at all; the error is a sentence's end.
pub fn check_read(tool: &ToolSpec) -> Result<(), String> {
    match tool.effect {
        Effect::Read => Ok(()),
        _ => Err("only a read has a fallback, and only a read can be one".to_owned()),
    }
}

/// Whether `other` can stand in for `tool`; the error is a sentence's end.
pub fn check(tool: &ToolSpec, other: &ToolSpec) -> Result<(), String> {
    check_read(tool)?;
    check_read(other)?;
    match (tool.output_schema(), other.output_schema()) {
        (Some(schema), Some(others)) if schema == others => Ok(()),
        (Some(_), Some(_)) => Err("its results have another schema".to_owned()),
        _ => Err("one of them promises nothing about its results".to_owned()),
    }
}
