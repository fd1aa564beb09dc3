//! What the host does about a verdict.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

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
        self.count_verdict(exchange, &verdict);
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
    pub fn judge_dropped(&self, exchange: &Exchange) {
        if !exchange.settled {
            self.count_verdict(exchange, &Verdict::of_status(exchange.status()));
        }
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
        for (name, material) in &mut exchange.materials {
            let missing = || Fault::internal(format!("the credential `{name}` is gone"));
            let credential = self.credentials.get(name).ok_or_else(missing)?;
            let newer = self.credentials.renew(credential, material.version, scope.deadline).await;
            *material = newer.map_err(|fault| fault.with_outcome(Outcome::Rejected))?;
        }
        exchange.renewed = true;
        let Some(Upstream::Http(upstream)) = self.upstreams.get(&exchange.request.upstream) else {
            return Err(Fault::internal("an upstream went away during a call"));
        };
        let (answer, secrets) = self.attempt(scope, upstream, &exchange.request, &exchange.materials).await?;
        exchange.replace(answer, secrets, scope);
        Ok(())
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
        metrics::counter!(
            "ferrata_verdicts_total",
            "connector" => self.connector.to_string(),
            "upstream" => exchange.request.upstream.to_string(),
            "operation" => exchange.request.operation.to_string(),
            "verdict" => verdict.label(),
        )
        .increment(1);
    }
}
