//! The stack for a statement: what a request passes, a statement passes at the same places.

use std::sync::Arc;
use std::time::Duration;

use super::Egress;
use super::account::Leave;
use super::health;
use super::scope::Scope;
use super::sending::{Claim, Failed, Sending};
use super::sql::{Query, SqlUpstream};
use crate::call::{Deadline, Ended};
use crate::fault::{Fault, FaultKind, Outcome};
use crate::policy::breaker;
use crate::policy::retry::Failure;

impl Egress {
    /// Runs a statement, as often as policy says.
    pub async fn statement<R>(
        &self,
        scope: &Scope,
        (name, upstream): (&str, &SqlUpstream),
        claim: Claim,
        query: Query,
        run: impl AsyncFn(&SqlUpstream, Query, Deadline) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let mut sending = Sending::new(self.account(name)?, &self.connector, scope, claim);
        loop {
            let attempt = run(upstream, query.clone(), scope.deadline);
            match self.attempt_statement(scope, &mut sending, attempt).await {
                Ok(rows) => return Ok(rows),
                Err(Failed { fault, failure: None }) => return Err(fault),
                Err(Failed { fault, failure: Some(failure) }) => sending.again(failure, fault).await?,
            }
        }
    }

    /// One attempt; the steps are those of `attempt`. Credential, connection, TLS and scrubbing are the session's.
    async fn attempt_statement<R>(
        &self,
        scope: &Scope,
        sending: &mut Sending,
        attempt: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Failed> {
        let mut leave = sending.enter(scope).await?;
        sending.note_sent(scope, &mut leave);
        scope.count_attempt();
        let ran = attempt.await;
        let fault = match ran {
            Ok(rows) => {
                sending.note_ended(scope, Ended::Answered, None);
                let well = |took| breaker::Outcome::Success { took };
                drop(leave.answered(well));
                return Ok(rows);
            }
            Err(fault) => fault,
        };
        let ended = match fault.outcome {
            Outcome::NotSent => Ended::NotSent,
            Outcome::Rejected => Ended::Answered,
            Outcome::Unknown => Ended::Unanswered,
        };
        sending.note_ended(scope, ended, None);
        if fault.outcome != Outcome::Unknown {
            sending.note_refused(scope);
        }
        let failure = end(leave, &fault);
        Err(Failed { fault: fault.with_operation(Arc::clone(&sending.asks.operation)), failure })
    }
}

/// What a failure means for walls, breaker and retry.
fn end(leave: Leave, fault: &Fault) -> Option<Failure> {
    let waited = leave.waited();
    let (outcome, failure) = match (fault.kind, fault.outcome) {
        (FaultKind::Unavailable, Outcome::NotSent) => (failed(), Some(Failure::NeverSent)),
        (FaultKind::Unavailable, Outcome::Rejected) => {
            (failed(), Some(Failure::Refused { retry_after: None }))
        }
        (FaultKind::Unavailable, Outcome::Unknown) => (failed(), Some(Failure::Unclear)),
        (FaultKind::OutcomeUnknown, _) => (failed(), None),
        (FaultKind::DeadlineExceeded, _) => (timed_out(waited), None),
        // Our own pool, or a credential: nothing was learned of the system.
        (_, Outcome::NotSent) => (None, None),
        _ => (Some(breaker::Outcome::Neutral), None),
    };
    match fault.outcome {
        Outcome::NotSent => leave.failed(false, outcome),
        Outcome::Rejected => drop(leave.answered(|_| outcome.unwrap_or(breaker::Outcome::Neutral))),
        Outcome::Unknown => leave.failed(true, outcome),
    }
    failure
}

fn failed() -> Option<breaker::Outcome> {
    Some(breaker::Outcome::Failure)
}

fn timed_out(waited: Duration) -> Option<breaker::Outcome> {
    Some(health::timed_out(waited))
}
