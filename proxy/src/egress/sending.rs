//! One request on its way through the policies: what it asks them for, how often it was sent, and whether it is sent again.

use std::sync::Arc;
use std::time::Duration;

use super::account::core::Request;
use super::account::{Account, Leave};
use super::fate::Fate;
use super::operation::Effect;
use super::scope::{Purpose, Scope};
use crate::call::{Ended, Exchanged, Step};
use crate::fault::{Fault, FaultKind, Outcome};
use crate::policy::breaker::Kind;
use crate::policy::retry::{Decision, Failure, Repeat, Retry};
use crate::telemetry::metric;

/// Why there is no answer, and whether that lets it be sent again; none if it does not matter what policy says.
#[derive(Debug)]
pub struct Failed {
    pub fault: Fault,
    pub failure: Option<Failure>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, failure: None }
    }
}

/// What an operation takes of the walls.
#[derive(Clone, Debug)]
pub struct Claim {
    pub operation: Arc<str>,
    pub resource: Option<Arc<str>>,
    pub cost: u64,
    pub effect: Effect,
    /// Whether it carries a key by which the system knows that it is the same request once more.
    pub keyed: bool,
    /// What it holds while it waits.
    pub bytes: usize,
}

/// A request and its attempts.
#[derive(Debug)]
pub struct Sending {
    pub account: Arc<Account>,
    system: Arc<str>,
    pub asks: Request,
    effect: Effect,
    retry: Retry,
    /// Whether it would do again what may have been done.
    repeats: bool,
    again: bool,
    login: bool,
    /// Whether a sending is noted as one of which nobody knows what became of it.
    noted: bool,
    /// Whether some attempt may have been received.
    unclear: bool,
    /// Where the last sending is written down.
    step: Step,
}

impl Sending {
    pub fn new(account: &Arc<Account>, system: &Arc<str>, scope: &Scope, claim: Claim) -> Self {
        let Claim { operation, resource, cost, effect, keyed, bytes } = claim;
        let deadline = account.clock().deadline(scope.deadline);
        let repeat = match effect {
            Effect::Read => Repeat::Read,
            Effect::IdempotentWrite => Repeat::Idempotent,
            Effect::Write | Effect::Destructive if keyed => Repeat::Keyed,
            Effect::Write | Effect::Destructive => Repeat::Twice,
        };
        let asks = Request {
            agent: Arc::clone(&scope.caller.agent),
            operation,
            resource,
            cost,
            priority: scope.priority,
            kind: if effect == Effect::Read { Kind::Read } else { Kind::Write },
            deadline,
            bytes: bytes as u64,
            workflow: scope.workflow.clone(),
        };
        Self {
            account: Arc::clone(account),
            system: Arc::clone(system),
            asks,
            effect,
            retry: Retry::new(repeat, deadline),
            repeats: scope.resumes && repeat == Repeat::Twice,
            again: false,
            login: matches!(scope.purpose, Purpose::Login { .. }),
            noted: false,
            unclear: false,
            step: Step::default(),
        }
    }

    /// Everything that stands between a request and its sending: waits for its turn, unless that was done before there was a sandbox.
    pub async fn enter(&mut self, scope: &Scope) -> Result<Leave, Fault> {
        if self.repeats {
            return Err(self.still_unknown());
        }
        // Whatever else is asked for: nothing is held while it is waited for.
        let first = scope.take_first().and_then(|first| first.leave_for(&self.account, &self.asks));
        if let Some(leave) = first {
            return Ok(leave);
        }
        let again = std::mem::take(&mut self.again);
        let entered = match self.login {
            true => self.account.enter_for_login(&self.asks, again).await,
            false => self.account.enter(&self.asks, again).await,
        };
        entered.map_err(|refusal| self.account.refused(&self.system, &self.asks, refusal))
    }

    fn still_unknown(&self) -> Fault {
        let message = format!(
            "Nothing was sent: what became of an earlier call is not known, and `{}` cannot tell that this is the same.",
            self.system
        );
        Fault::new(FaultKind::OutcomeUnknown, message).with_outcome(Outcome::Unknown)
    }

    /// It is about to go out: nobody knows what becomes of it.
    pub fn note_sent(&mut self, scope: &Scope, leave: &mut Leave) {
        leave.sent(&scope.caller.agent, scope.workflow.as_ref());
        self.step = scope.trail.begin(|| self.about_to_be_sent());
        scope.fates.note(Fate::NoAnswer);
        // Once for all attempts: with the same key they are one.
        if !std::mem::replace(&mut self.noted, true) {
            scope.note_sent(self.effect);
        }
    }

    fn about_to_be_sent(&self) -> Exchanged {
        let Request { operation, resource, cost, .. } = &self.asks;
        Exchanged {
            account: Arc::clone(&self.account.name.account),
            upstream: Arc::clone(&self.account.name.upstream),
            operation: Arc::clone(operation),
            cost: *cost,
            walls: self.account.walls_before(operation, resource.is_some()),
            ended: Ended::UnderWay,
            status: None,
            took: Duration::ZERO,
            began: tokio::time::Instant::now(),
        }
    }

    /// Writes down how the last sending ended, with the status of an HTTP answer.
    pub fn note_ended(&self, scope: &Scope, ended: Ended, status: Option<u16>) {
        scope.trail.end(self.step, ended, status);
    }

    /// It was not received, or refused.
    pub fn note_refused(&mut self, scope: &Scope) {
        if std::mem::take(&mut self.noted) {
            scope.note_refused(self.effect);
        }
    }

    /// What policy says of a failure: returns when it is time to send again, and the fault if it is not sent again.
    pub async fn again(&mut self, failure: Failure, fault: Fault) -> Result<(), Fault> {
        self.unclear |= failure == Failure::Unclear;
        let decision = self.account.failed(&mut self.retry, failure);
        let label = match decision {
            Decision::Again { .. } => "again",
            Decision::End { why, .. } => why.label(),
        };
        metrics::counter!(
            metric::RETRIES,
            "account" => self.account.name.account.to_string(),
            "upstream" => self.account.name.upstream.to_string(),
            "decision" => label,
        )
        .increment(1);
        match decision {
            Decision::Again { wait } => {
                self.rest(wait).await;
                self.again = true;
                Ok(())
            }
            Decision::End { outcome_unknown, .. } => Err(self.ended(fault, outcome_unknown)),
        }
    }

    /// Waits before the next attempt. Its place in the budget is given back if the agent goes away meanwhile.
    async fn rest(&self, wait: Duration) {
        let reserved = Reserved(Some(&self.account));
        tokio::time::sleep(wait).await;
        reserved.used();
    }

    /// An idempotent write can be repeated by whoever reads this; of any other, nobody knows whether it was done.
    fn ended(&self, mut fault: Fault, outcome_unknown: bool) -> Fault {
        if self.unclear && fault.outcome == Outcome::NotSent {
            fault.outcome = Outcome::Unknown;
        }
        if outcome_unknown {
            fault.outcome = Outcome::Unknown;
            if !self.effect.is_repeatable() {
                fault.kind = FaultKind::OutcomeUnknown;
                fault.retry_at = None;
            }
        }
        fault
    }
}

/// A place in the retry budget.
struct Reserved<'a>(Option<&'a Account>);

impl Reserved<'_> {
    /// It is used by entering once more.
    fn used(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.0 {
            account.give_up();
        }
    }
}
