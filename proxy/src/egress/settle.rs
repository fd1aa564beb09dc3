//! What the host does about a verdict.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::counted::Counts;
use super::exchange::{Directive, Exchange, Verdict};
use super::operation::Effect;
use super::said::retry_after;
use super::scope::{Purpose, Scope};
use super::upstream::Upstream;
use super::{Egress, unanswered};
use crate::credential::Credential;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::policy::limit::{About, Lowered};
use crate::policy::retry::Failure;
use crate::policy::time::Moment;
use crate::telemetry::metric;

/// Longest wait that is believed: a lying upstream must not keep a call's fault from being read.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The scope of a throttle that is about everything that goes to the upstream.
const WHOLE_UPSTREAM: &str = "upstream";

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
        let settled = match verdict {
            Verdict::Ok | Verdict::Rejected => {
                if verdict == Verdict::Ok && !matches!(scope.purpose, Purpose::Login { .. }) {
                    self.each_credential(exchange, Credential::note_accepted);
                }
                exchange.settled = true;
                return Ok(Directive::Accepted);
            }
            Verdict::Unauthenticated => self.renew_and_resend(scope, exchange).await,
            Verdict::Throttled { retry_after, .. } => self.throttled(scope, exchange, retry_after).await,
            Verdict::Transient => self.transient(scope, exchange).await,
        };
        settled.map(|()| Directive::SentAgain).map_err(|fault| {
            exchange.settled = true;
            fault.with_operation(Arc::clone(&exchange.request.operation))
        })
    }

    /// Tells each credential what became of the version of it that a request was written with.
    fn each_credential(&self, exchange: &Exchange, tell: impl Fn(&Credential, u64)) {
        for (name, material) in &exchange.materials {
            self.credentials.get(name).into_iter().for_each(|credential| tell(credential, material.version));
        }
    }

    /// Judges an exchange that the guest dropped without a word, by its status alone.
    pub fn judge_dropped(&self, scope: &Scope, exchange: &mut Exchange) {
        scope.note_let_go(exchange.held_bytes());
        if !exchange.settled {
            self.note_verdict(scope, exchange, &Verdict::of_status(exchange.status()));
        }
    }

    /// What a verdict changes for everybody: the breaker hears it, a throttle closes its scope. A request that the system refused has done nothing.
    fn note_verdict(&self, scope: &Scope, exchange: &mut Exchange, verdict: &Verdict) {
        if matches!(verdict, Verdict::Rejected | Verdict::Throttled { .. } | Verdict::Unauthenticated) {
            exchange.sending.note_refused(scope);
        }
        self.count_verdict(exchange, verdict);
        let sent_at = exchange.judge(verdict);
        if let (Verdict::Throttled { retry_after, scope: closed }, Some(sent_at)) = (verdict, sent_at) {
            exchange.close(said(exchange, *retry_after), closed.as_deref(), sent_at);
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
            self.each_credential(exchange, Credential::note_refused);
            return Err(refused("it was renewed, and refused again"));
        }
        if exchange.materials.is_empty() {
            return Err(refused("the request carried none"));
        }
        self.renew(scope, exchange).await?;
        exchange.renewed = true;
        self.send_again(scope, exchange).await
    }

    async fn send_again(&self, scope: &Scope, exchange: &mut Exchange) -> Result<(), Fault> {
        let Some(Upstream::Http(upstream)) = self.upstreams.get(&exchange.request.upstream) else {
            return Err(Fault::internal("an upstream went away during a call"));
        };
        let before = exchange.held_bytes();
        let answered = self.deliver(scope, upstream, &exchange.request, &mut exchange.sending).await?;
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
            match self
                .credentials
                .renew(credential, scope.caller.subject.as_ref(), material.version, scope.deadline)
                .await
            {
                Ok(newer) => (*material, any) = (newer, true),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        match first {
            Some(fault) if !any => Err(fault.with_outcome(Outcome::Rejected)),
            _ => Ok(()),
        }
    }

    /// Waits as long as the system or the policy says and sends again, or says until when.
    async fn throttled(
        &self,
        scope: &Scope,
        exchange: &mut Exchange,
        claimed: Option<Duration>,
    ) -> Result<(), Fault> {
        let said = said(exchange, claimed);
        let message = format!("`{}` takes no more calls of this kind for now.", self.connector);
        let sending = &mut exchange.sending;
        let wait = said.max(sending.account.earliest(&sending.asks)).unwrap_or_default();
        let fault = Fault::new(FaultKind::RateLimited, message).with_outcome(Outcome::Rejected);
        let failure = Failure::Throttled { retry_after: said };
        sending.again(failure, fault.with_retry_after(wait)).await?;
        self.send_again(scope, exchange).await
    }

    /// Sends again what may be sent again.
    async fn transient(&self, scope: &Scope, exchange: &mut Exchange) -> Result<(), Fault> {
        let status = exchange.status();
        let message = format!("`{}` failed (status {status}).", self.connector);
        let (failure, fault) = match exchange.request.effect {
            Effect::Read => {
                let retry_after = said(exchange, None);
                let fault = Fault::new(FaultKind::Unavailable, message).with_outcome(Outcome::Rejected);
                (Failure::Refused { retry_after }, fault)
            }
            Effect::IdempotentWrite => (Failure::Unclear, Fault::new(FaultKind::Unavailable, message)),
            // A server error says nothing about how far the write had come.
            effect @ (Effect::Write | Effect::Destructive) => (Failure::Unclear, unanswered(effect, message)),
        };
        exchange.sending.again(failure, fault).await?;
        self.send_again(scope, exchange).await
    }

    fn count_verdict(&self, exchange: &Exchange, verdict: &Verdict) {
        self.counted.count(&exchange.request, Counts::Verdict(verdict.label()));
    }
}

impl Exchange {
    /// Closes what an answer said is closed, for every caller.
    fn close(&self, said: Option<Duration>, scope: Option<&str>, sent_at: Moment) {
        let asks = &self.sending.asks;
        let operation: &str = &asks.operation;
        // A scope that the host does not know is not narrower than the operation: nobody gets past a throttle by a name.
        let about = match (scope, asks.resource.as_deref()) {
            (Some(WHOLE_UPSTREAM), _) => About::Upstream,
            (Some(scope), Some(resource)) if scope == resource => About::Resource { operation, resource },
            _ => About::Operation(operation),
        };
        let account = &self.sending.account;
        metrics::counter!(
            metric::THROTTLES,
            "account" => account.name.account.to_string(),
            "upstream" => account.name.upstream.to_string(),
            "operation" => operation.to_owned(),
        )
        .increment(1);
        if let Some(Lowered { wall, from, to }) = account.throttled(about, said, sent_at) {
            let (account, wall) = (&account.name.account, &wall.name);
            tracing::warn!(%account, %wall, from, to, "too fast, though there was room: somebody else uses this quota");
        }
    }
}

impl Drop for Exchange {
    /// What a guest leaked, or had no time to drop, is judged by its status: a throttle counts whatever became of the call.
    fn drop(&mut self) {
        let verdict = Verdict::of_status(self.status());
        let sent_at = self.judge(&verdict);
        if let (Verdict::Throttled { .. }, Some(sent_at)) = (verdict, sent_at) {
            self.close(said(self, None), None, sent_at);
        }
    }
}

/// How long the system asks to wait: what the connector read out of the answer, else the standard header.
fn said(exchange: &Exchange, claimed: Option<Duration>) -> Option<Duration> {
    let said = claimed.or_else(|| exchange.raw_header("retry-after").and_then(retry_after));
    said.map(|wait| wait.min(MAX_RETRY_AFTER))
}
