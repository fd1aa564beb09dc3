//! What the host does about a verdict.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::counted::Counts;
use super::exchange::{Directive, Exchange, Verdict, retry_after};
use super::operation::Effect;
use super::scope::{Purpose, Scope};
use super::upstream::Upstream;
use super::{Egress, unanswered};
use crate::fault::{Fault, FaultKind, Outcome};

/// How long a throttled operation rests when the system does not say. The longest of the common short windows.
const RETRY_AFTER_WHEN_UNSAID: Duration = Duration::from_secs(60);

/// Longest wait that is believed: a lying upstream must not close an operation for a year.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Egress {
    /// Acts on what the connector says an answer means.
    pub async fn settle(
        &self,
        scope: &Scope,
        exchange: &mut Exchange,
        verdict: Verdict,
    ) -> Result<Directive, Fault> {
        if exchange.settled {
            return Ok(Directive::Accepted);
        }
        // 429 throttles, whatever the connector makes of it.
        let verdict = match verdict {
            claimed @ Verdict::Throttled { .. } => claimed,
            _ if exchange.status() == StatusCode::TOO_MANY_REQUESTS => Verdict::of_status(exchange.status()),
            claimed => claimed,
        };
        self.note_verdict(scope, exchange, &verdict);
        let fault = match verdict {
            Verdict::Ok | Verdict::Rejected => {
                exchange.settled = true;
                return Ok(Directive::Accepted);
            }
            Verdict::Unauthenticated => match self.renew_and_resend(scope, exchange).await {
                Ok(()) => return Ok(Directive::SentAgain),
                Err(fault) => fault,
            },
            Verdict::Throttled { retry_after, .. } => self.throttled(exchange, retry_after),
            Verdict::Transient => self.transient(exchange),
        };
        exchange.settled = true;
        Err(fault.with_operation(Arc::clone(&exchange.request.operation)))
    }

    /// Judges an exchange that the guest dropped without a word, by its status alone.
    pub fn judge_dropped(&self, scope: &Scope, exchange: &Exchange) {
        scope.note_let_go(exchange.held_bytes());
        if !exchange.settled {
            self.note_verdict(scope, exchange, &Verdict::of_status(exchange.status()));
        }
    }

    /// A request that the system refused has done nothing.
    fn note_verdict(&self, scope: &Scope, exchange: &Exchange, verdict: &Verdict) {
        if matches!(verdict, Verdict::Rejected | Verdict::Throttled { .. } | Verdict::Unauthenticated) {
            scope.note_refused(exchange.request.effect);
        }
        self.count_verdict(exchange, verdict);
    }

    /// Once per exchange: gets newer secrets than those that were refused, and sends the same request with them. Safe for a write,
    /// because a request that was not authenticated was not executed.
    async fn renew_and_resend(&self, scope: &Scope, exchange: &mut Exchange) -> Result<(), Fault> {
        let refused = |why: &str| {
            Fault::new(
                FaultKind::CredentialDead,
                format!("`{}` does not accept the credential: {why}.", self.connector),
            )
            .with_outcome(Outcome::Rejected)
        };
        if matches!(scope.purpose, Purpose::Login { .. }) {
            return Err(refused("the login itself was refused"));
        }
        if exchange.renewed {
            return Err(refused("it was renewed, and refused again"));
        }
        if exchange.materials.is_empty() {
            return Err(refused("the request carried none"));
        }
        self.renew(scope, exchange).await?;
        exchange.renewed = true;
        let Some(Upstream::Http(upstream)) = self.upstreams.get(&exchange.request.upstream) else {
            return Err(Fault::internal("an upstream went away during a call"));
        };
        let before = exchange.held_bytes();
        let answered = self.attempt(scope, upstream, &exchange.request, &exchange.materials).await?;
        exchange.replace(answered);
        scope.note_let_go(before);
        scope.note_held(exchange.held_bytes());
        Ok(())
    }

    /// Gets newer secrets. Which of several was refused nobody knows: one that is newer is enough to try.
    async fn renew(&self, scope: &Scope, exchange: &mut Exchange) -> Result<(), Fault> {
        let (mut any, mut first) = (false, None);
        for (name, material) in &mut exchange.materials {
            let missing = || Fault::internal(format!("the credential `{name}` is gone"));
            let credential = self.credentials.get(name).ok_or_else(missing)?;
            match self.credentials.renew(credential, material.version, scope.deadline).await {
                Ok(newer) => (*material, any) = (newer, true),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        match first {
            Some(fault) if !any => Err(fault.with_outcome(Outcome::Rejected)),
            _ => Ok(()),
        }
    }

    fn throttled(&self, exchange: &Exchange, claimed: Option<Duration>) -> Fault {
        let said = claimed.or_else(|| exchange.raw_header("retry-after").and_then(retry_after));
        let wait = said.unwrap_or(RETRY_AFTER_WHEN_UNSAID).min(MAX_RETRY_AFTER);
        let message = format!("`{}` takes no more calls of this kind for now.", self.connector);
        Fault::new(FaultKind::RateLimited, message).with_retry_after(wait).with_outcome(Outcome::Rejected)
    }

    fn transient(&self, exchange: &Exchange) -> Fault {
        let status = exchange.status();
        let message = format!("`{}` failed (status {status}).", self.connector);
        match exchange.request.effect {
            Effect::Read | Effect::IdempotentWrite => {
                Fault::new(FaultKind::Unavailable, message).with_outcome(Outcome::Rejected)
            }
            // A server error says nothing about how far the write had come.
            effect @ (Effect::Write | Effect::Destructive) => unanswered(effect, message),
        }
    }

    fn count_verdict(&self, exchange: &Exchange, verdict: &Verdict) {
        self.counted.count(&exchange.request, Counts::Verdict(verdict.label()));
    }
}
