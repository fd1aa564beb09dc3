//! Batches on their way: from the first call that waits for a permit to the answer of each.
//!
//! A call of a tool that batches waits for the permit of the tool's first operation before there is a sandbox; calls of the same tool by the same
//! caller that come meanwhile join it, and travel as one call of the guest with one permit. Who sits in which batch is [`batch`](super::batch)'s.

use std::sync::Arc;

use super::batch::{Batch, Batches, Item};
use super::fallback::Route;
use super::flight::Rules;
use crate::call::{Caller, ToolResult};
use crate::connector::{Admitted, Done};
use crate::egress::First;
use crate::egress::operation::Effect;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::telemetry::metric;

type Result<T> = std::result::Result<T, Fault>;

/// A batch of calls.
type Calls = Batch<Admitted, Result<ToolResult>>;

/// What calls must have in common to travel together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: Caller,
    generation: u64,
    tool: usize,
    /// What the permit is about, besides the operation.
    resource: Option<Arc<str>>,
    rules: Rules,
    /// The workflow, if it has reserved the permit.
    booked: Option<Arc<str>>,
}

/// All batches.
#[derive(Clone, Default)]
pub struct Together(Arc<Batches<Key, Admitted, Result<ToolResult>>>);

impl Together {
    /// Makes a call, with others if they wait for the same permit. Dropping the future leaves the batch; the last to leave ends it.
    pub async fn call(&self, route: &Route, policy: u64, call: Admitted) -> Result<ToolResult> {
        let spec = route.spec();
        // What goes on where an earlier call asked is like no other call.
        if spec.max_batch <= 1 || call.inputs.is_some() || call.resumes {
            return route.connector.call(spec, call).await;
        }
        let booked = call.workflow.clone().filter(|_| route.connector.has_booked(spec, &call));
        let key = Key {
            booked,
            caller: call.caller.clone(),
            generation: route.connector.generation,
            tool: route.index,
            resource: route.connector.resource(spec, &call),
            rules: Rules { policy, can_bring: call.client.can_bring },
        };
        let deadline = call.deadline;
        let (mut seat, new) = self.0.join(&key, call, spec.max_batch);
        match new {
            Some(batch) => drop(tokio::spawn(self.clone().travel(key, route.clone(), batch))),
            None => metrics::counter!(metric::BATCH_JOINS, "tool" => route.name.to_string()).increment(1),
        }
        match tokio::time::timeout_at(deadline.instant(), seat.answer()).await {
            Ok(answer) => answer.unwrap_or_else(|| Err(Fault::internal("a batch ended without an answer"))),
            Err(_) => Err(too_late(route, seat.is_under_way())),
        }
    }

    /// Takes a batch to its end, or until nobody waits for it any more.
    async fn travel(self, key: Key, route: Route, batch: Arc<Calls>) {
        let journey = self.journey(&key, &route, &batch);
        tokio::pin!(journey);
        loop {
            tokio::select! {
                () = &mut journey => return,
                () = batch.deserted() => {
                    if self.0.end_deserted(&key, &batch) {
                        return;
                    }
                }
            }
        }
    }

    async fn journey(&self, key: &Key, route: &Route, batch: &Arc<Calls>) {
        let Some(first) = self.permit(key, route, batch).await else { return };
        let items = self.0.close(key, batch);
        if items.is_empty() {
            return;
        }
        metrics::histogram!(metric::BATCH_CALLS, "tool" => route.name.to_string()).record(items.len() as f64);
        let (calls, answers): (Vec<_>, Vec<_>) = items.into_iter().map(Item::split).unzip();
        let done = route.connector.call_together(route.spec(), &calls, first).await;
        for ((call, answer), done) in calls.into_iter().zip(answers).zip(done) {
            let result = match done {
                Done::Result(result) => result,
                // Whoever asked has left: what is not made does nothing unheard.
                Done::Alone if answer.is_closed() => continue,
                Done::Alone if call.deadline.has_passed() => Err(too_late(route, false)),
                // One after the other: each pays for itself.
                Done::Alone => route.connector.call(route.spec(), call).await,
            };
            // Whoever asked may have left, and then nobody hears it.
            let _ = answer.send(result);
        }
    }

    /// Waits for the permit, for as long as somebody has time. None if everybody has been told that there is none.
    async fn permit(&self, key: &Key, route: &Route, batch: &Arc<Calls>) -> Option<Option<First>> {
        loop {
            let first = batch.first(Admitted::again)?;
            let fault = match route.connector.permit(route.spec(), &first).await {
                Ok(permit) => return Some(permit),
                Err(fault) => fault,
            };
            // Of a refusal for want of time, only those hear who have no more.
            let of_time = matches!(
                fault.kind,
                FaultKind::RateLimited | FaultKind::QuotaExhausted | FaultKind::DeadlineExceeded
            );
            let over = |call: &Admitted| !of_time || call.deadline <= first.deadline;
            for item in self.0.dismiss(key, batch, over) {
                item.answer(Err(fault.clone()));
            }
        }
    }
}

/// Nobody knows what became of a write that travels.
fn too_late(route: &Route, under_way: bool) -> Fault {
    let message = format!("`{}` did not answer in time.", route.connector.name);
    if !under_way {
        return Fault::new(FaultKind::DeadlineExceeded, message);
    }
    let kind = match route.spec().effect {
        Effect::Read => FaultKind::DeadlineExceeded,
        _ => FaultKind::OutcomeUnknown,
    };
    Fault::new(kind, message).with_outcome(Outcome::Unknown)
}
