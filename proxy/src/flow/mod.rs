//! What happens to a call before a sandbox exists for it.
//!
//! Owns what calls have to do with each other: identical reads in flight are one ([`flight`]), calls that wait for the same permit travel as one
//! ([`together`]), an earlier answer stands in for one that cannot
//! be had ([`stale`]), and so does another tool ([`fallback`]). All of it stays within one caller ([`callers`]). Whether a call may be made is the
//! gate's business, making it the connector's.

mod batch;
mod callers;
pub mod fallback;
mod flight;
mod stale;
mod together;

use std::sync::Arc;

pub use callers::Callers;
pub use fallback::{Route, Step};

use crate::call::{Answered, Caller, Substitute, ToolResult};
use crate::connector::Admitted;
use crate::egress::operation::Effect;
use crate::fault::Fault;
use crate::telemetry::metric;
use callers::CallerState;
use flight::{Joined, Landing, Read, Rules};
use stale::StaleAnswers;
use together::Together;

/// What calls have in common, for as long as the process lives: reloads and swaps take nothing away, but no answer outlives the generation of the
/// connector that gave it.
#[derive(Default)]
pub struct Flow {
    callers: Callers,
    stale: StaleAnswers,
    together: Together,
}

/// A call, where it goes, and what the operator wants if it fails.
pub struct Going<'a> {
    pub route: &'a Route,
    pub fallback: &'a [Step],
    /// Tells one version of the rules for agents from the next.
    pub policy: u64,
    pub call: Admitted,
}

impl Flow {
    /// Makes a call, or finds its answer. Dropping the future stops the guest and what it has under way, unless others wait for the same.
    pub async fn call(&self, going: Going<'_>) -> Result<Answered, Fault> {
        if going.route.spec().effect == Effect::Read {
            return self.read(going).await;
        }
        let Going { route, policy, call, .. } = going;
        let _ended = self.callers.write(&call.caller, &route.connector.name);
        self.together.call(route, policy, call).await.map(Answered::from)
    }

    async fn read(&self, going: Going<'_>) -> Result<Answered, Fault> {
        let Going { route, fallback, policy, call } = going;
        // What goes on where an earlier call asked is like no other call.
        if call.inputs.is_some() || (!route.connector.coalesces() && fallback.is_empty()) {
            return self.together.call(route, policy, call).await.map(Answered::from);
        }
        let caller = self.callers.of(&call.caller, &route.connector.name);
        let read = Arc::new(Read::new(route, &call));
        let rules = Rules { policy, can_bring: call.client.can_bring };
        if fallback.is_empty() {
            return self.fly(&caller, route, rules, read, call).await.map(Answered::from);
        }
        let again = call.again();
        let epoch = caller.epoch();
        match self.fly(&caller, route, rules, Arc::clone(&read), call).await {
            Ok(result) => {
                if fallback::keeps(fallback) {
                    self.stale.keep(epoch, read, &result);
                }
                Ok(result.into())
            }
            Err(fault) => {
                if !fallback::may_stand_in(fault.kind) {
                    self.stale.forget(caller.epoch(), read);
                    return Err(fault);
                }
                self.fall_back(fallback, &caller, read, again, fault).await
            }
        }
    }

    /// Makes a read, or waits for the same one of the same caller that is under way already.
    async fn fly(
        &self,
        caller: &CallerState,
        route: &Route,
        rules: Rules,
        read: Arc<Read>,
        call: Admitted,
    ) -> Result<ToolResult, Fault> {
        // What is reserved does not wait for what is not.
        if !route.connector.coalesces() || route.connector.has_booked(route.spec(), &call) {
            return self.together.call(route, rules.policy, call).await;
        }
        loop {
            match caller.join(rules, &read) {
                Joined::Lead(lead) => {
                    let result = self.together.call(route, rules.policy, call).await;
                    lead.land(&result);
                    return result;
                }
                Joined::Follow(flight) => {
                    call.trail.note_coalesced();
                    metrics::counter!(metric::COALESCED, "tool" => route.name.to_string()).increment(1);
                    match flight.landed(call.deadline).await? {
                        Landing::Shared(result) => return *result,
                        // Whoever led went away, or had less time.
                        Landing::Gone => {}
                    }
                }
            }
        }
    }

    /// Tries what the operator named, in that order.
    async fn fall_back(
        &self,
        steps: &[Step],
        caller: &CallerState,
        read: Arc<Read>,
        call: Admitted,
        fault: Fault,
    ) -> Result<Answered, Fault> {
        for step in steps {
            let found = match step {
                Step::Stale { within } => self.stale.find(caller.epoch(), &read, *within),
                Step::Tool(route) => fallback::ask(route, call.again()).await,
            };
            if let Some((result, source)) = found {
                let instead = Substitute { source, reason: fault.kind, message: fault.message.clone() };
                return Ok(Answered { result, instead: Some(Box::new(instead)) });
            }
        }
        Err(fault)
    }
}

/// Whose calls have to do with each other: those of one agent for one subject, over one connector.
type Scope = (Caller, Arc<str>);
