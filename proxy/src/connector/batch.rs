//! Several calls of one tool, made as one call of the guest.

use std::sync::Arc;

use super::bindings::tools::{self, Invocation};
use super::{Admitted, Connector, ToolSpec, stamp};
use crate::call::{Client, ToolResult, Trail};
use crate::egress::First;
use crate::egress::scope::{Purpose, Scope};
use crate::fault::{Fault, FaultKind};

/// What one call of a batch came to.
#[derive(Debug)]
pub enum Done {
    Result(Result<ToolResult, Fault>),
    /// It is to be made alone, and can be: nothing was done for it.
    Alone,
}

impl Connector {
    /// Waits for the permit of the operation that a call of the tool begins with, before there is a sandbox; none if the manifest does not say which walls
    /// stand before it.
    pub async fn permit(&self, tool: &ToolSpec, call: &Admitted) -> Result<Option<First>, Fault> {
        self.enter_first(tool, &scope_of(tool, call)).await
    }

    /// What that permit is about besides the operation.
    pub fn resource(&self, tool: &ToolSpec, call: &Admitted) -> Option<Arc<str>> {
        self.sandboxes.runtime.egress.first_resource(&tool.first_operation, call.arguments.get())
    }

    /// Makes calls of one tool and one caller together, with one permit. One result per call, in their order.
    pub async fn call_together(
        &self,
        tool: &ToolSpec,
        calls: &[Admitted],
        permit: Option<First>,
    ) -> Vec<Done> {
        // Whoever has less time than the others does not shorten theirs: it stops waiting by itself.
        let Some(latest) = calls.iter().max_by_key(|call| call.deadline) else { return Vec::new() };
        let trail =
            if calls.iter().any(|call| call.trail.is_kept()) { Trail::kept() } else { Trail::default() };
        calls.iter().for_each(|call| call.trail.join(trail.clone(), calls.len()));
        let scope = Arc::new(scope_of(tool, latest).noting(trail));
        scope.bring(permit);
        let ran = self.run(Arc::clone(&scope), tool, invocations(calls), Client::default()).await;
        let answers = match ran {
            Ok((answers, _)) => answers,
            // What became of one became of all.
            Err(fault) => {
                let fault = stamp(fault, &scope);
                return calls.iter().map(|_| Done::Result(Err(fault.clone()))).collect();
            }
        };
        if answers.len() > 1 && !scope.may_have_written() && is_rejected_as_a_whole(&answers) {
            return calls.iter().map(|_| Done::Alone).collect();
        }
        answers.into_iter().map(|answer| self.part(tool, answer, &scope)).collect()
    }

    fn part(&self, tool: &ToolSpec, answer: Result<tools::Answer, Fault>, scope: &Scope) -> Done {
        let bound = self.sandboxes.runtime.bounds.result;
        match answer.and_then(|answer| tool.accept(&self.name, answer, bound)) {
            // Only a call of its own can be answered with one.
            Ok(ToolResult::Question(_)) if !scope.may_have_written() => Done::Alone,
            Ok(ToolResult::Question(_)) => {
                let message =
                    format!("`{}_{}` asked for more after it had written something.", self.name, tool.name);
                Done::Result(Err(stamp(Fault::new(FaultKind::ConnectorFailed, message), scope)))
            }
            result => Done::Result(result.map_err(|fault| stamp(fault, scope))),
        }
    }
}

/// What egress must know of a call, or of those that travel with it.
fn scope_of(tool: &ToolSpec, call: &Admitted) -> Scope {
    let purpose = Purpose::Call { ceiling: tool.effect };
    let scope = Scope::new(purpose, call.caller.clone(), call.deadline, call.trace);
    scope.of_call(Some(call.arguments.clone()), call.priority, call.workflow.clone())
}

fn invocations(calls: &[Admitted]) -> Vec<Invocation> {
    let invocation = |(number, call): (usize, &Admitted)| Invocation {
        id: (number + 1).to_string(),
        arguments: call.arguments.get().to_owned(),
        idempotency_key: call.idempotency_key.clone(),
        inputs: None,
    };
    calls.iter().enumerate().map(invocation).collect()
}

/// Whether the system refused the batch and not its items: the connector has the same to say of each. One item that is wrong then fails the others as
/// well, although they would pass alone.
fn is_rejected_as_a_whole<T>(answers: &[Result<T, Fault>]) -> bool {
    let refused = |answer: &Result<T, Fault>| match answer {
        Err(fault) if fault.kind.is_guests_to_say() && fault.kind != FaultKind::SchemaMismatch => {
            Some((fault.kind, fault.message.clone(), fault.code.clone()))
        }
        _ => None,
    };
    let first = answers.first().and_then(refused);
    first.is_some() && answers.iter().all(|answer| refused(answer) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_rejected_as_a_whole_when_all_are_told_the_same() {
        let fault = |kind, message: &str| Err::<(), _>(Fault::new(kind, message));
        let rejected = |message| fault(FaultKind::Rejected, message);
        assert!(is_rejected_as_a_whole(&[rejected("bad"), rejected("bad")]));
        assert!(!is_rejected_as_a_whole(&[rejected("bad"), rejected("other")]));
        assert!(!is_rejected_as_a_whole(&[rejected("bad"), Ok(())]));
        let down = || fault(FaultKind::Unavailable, "down");
        assert!(!is_rejected_as_a_whole(&[down(), down()]));
    }
}
