//! The only door out. Every policy stands here, so that a connector can neither exceed a limit nor reach what it was not given.
//!
//! Owns judging, writing, sending and settling requests. What an answer *means* is the connector's to say; where secrets come from is
//! `credential`'s.

pub mod account;
pub mod client;
mod connect;
mod counted;
pub mod exchange;
pub mod fate;
mod first;
mod health;
pub mod operation;
pub mod options;
pub mod part;
pub mod path;
pub mod request;
pub mod resolve;
mod reticence;
pub mod said;
pub mod scope;
pub mod scrub;
pub mod sending;
pub mod settle;
mod spelling;
pub mod sql;
mod statement;
pub mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

use crate::call::Ended;
use crate::credential::grant::REFRESH_TOKEN;
use crate::credential::{Credentials, Material};
use crate::fault::{Fault, FaultKind, Outcome, quotable};
use crate::policy::retry::Failure;
use crate::telemetry::metric;
use account::Account;
use client::{Answer, ClientError};
use counted::{Counted, Counts};
use exchange::{Answered, Exchange};
use fate::Fate;
pub use first::First;
use operation::{Effect, Mismatch, Operation, Operations};
use path::GuestPath;
use request::{Judged, Request};
use scope::{Purpose, Scope};
use sending::{Failed, Sending};
use upstream::{Http, Upstream, Upstreams};

/// A guest's request that breaks a rule of the house, or lacks what it may ask for: never sent, and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Metric label.
    pub rule: &'static str,
    pub message: String,
    /// Whose doing it is: the connector's, unless something is missing that it may ask for.
    kind: FaultKind,
}

impl Refusal {
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        // It repeats what the guest wrote.
        Self { rule, message: quotable(&message.into()), kind: FaultKind::ConnectorFailed }
    }

    /// An optional credential that the operator has left out.
    pub fn left_out(credential: &str) -> Self {
        let message =
            format!("This needs the credential `{credential}`, which the operator has not configured.");
        Self { rule: "credential", message, kind: FaultKind::PermissionDenied }
    }

    /// Counts it as that connector's.
    pub fn into_fault(self, connector: &str) -> Fault {
        metrics::counter!(metric::GUEST_REFUSALS, "connector" => connector.to_owned(), "rule" => self.rule)
            .increment(1);
        let message = match self.kind {
            FaultKind::ConnectorFailed => {
                format!("The connector made a request that is refused ({}): {}.", self.rule, self.message)
            }
            _ => self.message,
        };
        Fault::new(self.kind, message)
    }
}

/// The way out of one connector: what its manifest was granted, over upstreams that outlive it.
pub struct Egress {
    pub connector: Arc<str>,
    operations: Operations,
    pub upstreams: Arc<Upstreams>,
    pub credentials: Arc<Credentials>,
    counted: Counted,
    /// The walls in front of each upstream, by its name.
    accounts: BTreeMap<String, Arc<Account>>,
}

impl Egress {
    pub fn new(
        connector: Arc<str>,
        operations: Operations,
        upstreams: Arc<Upstreams>,
        credentials: Arc<Credentials>,
        accounts: BTreeMap<String, Arc<Account>>,
    ) -> Self {
        let counted = Counted::new(Arc::clone(&connector));
        Self { connector, operations, upstreams, credentials, counted, accounts }
    }

    /// What a guest is told of a request that was refused, which is counted.
    pub fn refuse(&self, refusal: Refusal) -> Fault {
        refusal.into_fault(&self.connector)
    }

    /// Sends one request for a guest and returns the answer, whatever its status.
    pub async fn send(&self, scope: &Scope, request: Request) -> Result<Exchange, Fault> {
        let (upstream, judged) = self.judge(scope, request).map_err(|refusal| self.refuse(refusal))?;
        // A login that is due is waited for here, where nothing is held that others wait for.
        self.holding_nothing(scope, self.materials(scope, &judged)).await?;
        let mut sending =
            Sending::new(self.account(&judged.upstream)?, &self.connector, scope, judged.claim());
        let answered = self.deliver(scope, upstream, &judged, &mut sending).await?;
        let exchange = Exchange::new(judged, sending, answered, scope);
        scope.note_held(exchange.held_bytes());
        Ok(exchange)
    }

    /// Waits for something, if it must be waited for, without the permit that the call brought along: the login itself may need it.
    async fn holding_nothing<R>(&self, scope: &Scope, work: impl Future<Output = R>) -> R {
        let mut work = std::pin::pin!(work);
        match futures_util::poll!(&mut work) {
            Poll::Ready(done) => done,
            Poll::Pending => {
                drop(scope.take_first());
                work.await
            }
        }
    }

    /// Sends until there is an answer, or policy says that it is enough.
    async fn deliver(
        &self,
        scope: &Scope,
        upstream: &Http,
        request: &Judged,
        sending: &mut Sending,
    ) -> Result<Answered, Fault> {
        loop {
            match self.attempt(scope, upstream, request, sending).await {
                Ok(answered) => return Ok(answered),
                Err(Failed { fault, failure: None }) => return Err(fault),
                Err(Failed { fault, failure: Some(failure) }) => sending.again(failure, fault).await?,
            }
        }
    }

    /// One sending: the stack, outermost first. A statement passes the same one (`statement`).
    async fn attempt(
        &self,
        scope: &Scope,
        upstream: &Http,
        request: &Judged,
        sending: &mut Sending,
    ) -> Result<Answered, Failed> {
        //  1. retry decision: `deliver` and `settle`, which come here once for each attempt
        //  2. breaker
        //  3. limiter and queue: waits for its turn
        //  4. breaker, once more: it may have opened meanwhile
        //  5. bulkhead
        let mut leave = sending.enter(scope).await?;
        //  6. credential: secrets are written last, so that nothing above ever holds them
        let materials = self.materials(scope, request).await?;
        let base = upstream.base(materials.values())?;
        let mut scrubber = self.credentials.scrubber(scope.caller.subject.as_ref());
        let wire = request.write(&base, scope, &materials, &mut scrubber)?;
        scope.fates.begin(request.carries(REFRESH_TOKEN));
        sending.note_sent(scope, &mut leave);
        //  7. client: connection, TLS, bounds, deadline
        let sent = tokio::time::timeout_at(scope.deadline.instant(), upstream.client.send(wire)).await;
        scope.count_attempt();
        //  8. scrub: of all that is known to be secret, when the guest reads the answer
        match sent {
            Ok(Ok(answer)) => {
                self.count(request, answer.status.as_str());
                sending.note_ended(scope, Ended::Answered, Some(answer.status.as_u16()));
                scope.fates.note(Fate::Answered(answer.status.as_u16()));
                let pending = leave.answered(|took| health::of_status(answer.status, took));
                self.check_readable(request, &answer)?;
                self.learn(sending, &answer, pending.sent_at);
                Ok(Answered { answer, scrubber, materials, pending })
            }
            Ok(Err(error)) => {
                self.count(request, "none");
                let (left_us, outcome, failure) = health::of_error(&error);
                sending.note_ended(scope, if left_us { Ended::Unanswered } else { Ended::NotSent }, None);
                leave.failed(left_us, outcome);
                if failure == Some(Failure::NeverSent) {
                    sending.note_refused(scope);
                    scope.fates.note(Fate::NotSent);
                }
                Err(Failed { fault: self.no_answer(request, error), failure })
            }
            Err(_) => {
                self.count(request, "none");
                sending.note_ended(scope, Ended::Unanswered, None);
                let waited = leave.waited();
                leave.failed(true, Some(health::timed_out(waited)));
                Err(self.too_late(request).into())
            }
        }
    }

    /// Whether a wall of one of the operations is about what an argument names.
    pub fn has_resources(&self) -> bool {
        self.operations.have_resources()
    }

    /// The walls before each of its upstreams.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    fn account(&self, upstream: &str) -> Result<&Arc<Account>, Fault> {
        self.accounts.get(upstream).ok_or_else(|| Fault::internal(format!("`{upstream}` has no account")))
    }

    /// An answer in an encoding that nobody asked for cannot be searched for secrets.
    fn check_readable(&self, request: &Judged, answer: &Answer) -> Result<(), Fault> {
        match answer.headers.get(http::header::CONTENT_ENCODING) {
            Some(encoding) if encoding.as_bytes() != b"identity" => {
                let message = format!("`{}` answered in an encoding that was not asked for.", self.connector);
                let fault = Fault::new(FaultKind::SchemaMismatch, message).with_outcome(Outcome::Unknown);
                Err(fault.with_operation(Arc::clone(&request.operation)))
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, scope: &Scope, request: Request) -> Result<(&Http, Judged), Refusal> {
        if scope.holds_too_much() {
            return Err(Refusal::new("held", "the guest holds too many answers: drop exchanges first"));
        }
        let upstream = match self.upstreams.get(&request.upstream) {
            Some(Upstream::Http(http)) => http,
            Some(Upstream::Sql(_)) => return Err(Refusal::new("upstream", "that upstream speaks SQL")),
            None => {
                return Err(Refusal::new("upstream", format!("`{}` is not granted", request.upstream)));
            }
        };
        let path = GuestPath::parse(&request.path)
            .map_err(|why| Refusal::new("path", format!("{:?}: {why}", request.path)))?;
        let (operation, effect) = self.operation(scope, &request, &path)?;
        let mut judged = Judged::new(
            request,
            (Arc::clone(&self.connector), Arc::clone(&upstream.name)),
            (operation, scope),
            effect,
            path,
        )?;
        judged.check_secrets(scope, &self.credentials)?;
        Ok((upstream, judged))
    }

    /// Label and effect: the strictest of what the manifest's patterns and the request say, within the call's ceiling.
    fn operation(
        &self,
        scope: &Scope,
        request: &Request,
        path: &GuestPath,
    ) -> Result<(&Operation, Effect), Refusal> {
        let Request { upstream, operation, method, .. } = request;
        let (found, effect) = self.operations.judge(upstream, operation, method, path).map_err(|m| {
            let why = match m {
                Mismatch::UnknownLabel => format!("`{operation}` is not in the manifest"),
                Mismatch::WrongPattern => format!("{method} {} is not `{operation}`", request.path),
            };
            Refusal::new("operation", why)
        })?;
        let effect = effect.max(request.effect);
        within_ceiling(scope, effect)?;
        Ok((found, effect))
    }

    /// Judges a statement in the same way: its operation must be granted and no stronger than the call.
    pub fn judge_sql(
        &self,
        scope: &Scope,
        upstream: &str,
        operation: &str,
        effect: Effect,
    ) -> Result<(&Operation, Effect), Refusal> {
        let found = self.operations.find(upstream, operation).ok_or_else(|| {
            Refusal::new("operation", format!("`{operation}` is not in the manifest for `{upstream}`"))
        })?;
        let effect = effect.max(found.effect);
        within_ceiling(scope, effect)?;
        Ok((found, effect))
    }

    /// The secrets that a request is written with, at this moment.
    async fn materials(
        &self,
        scope: &Scope,
        request: &Judged,
    ) -> Result<BTreeMap<Arc<str>, Arc<Material>>, Fault> {
        let mut materials = BTreeMap::new();
        for name in &request.credentials {
            let missing = || Fault::internal(format!("the credential `{name}` is gone"));
            let credential = self.credentials.get(name).ok_or_else(missing)?;
            let material = match scope.purpose {
                Purpose::Login { .. } => scope.granted()?,
                _ => {
                    self.credentials
                        .current(credential, scope.caller.subject.as_ref(), scope.deadline)
                        .await?
                }
            };
            materials.insert(Arc::clone(name), material);
        }
        Ok(materials)
    }

    fn count(&self, request: &Judged, status: &str) {
        self.counted.count(request, Counts::Exchange(status));
    }

    fn no_answer(&self, request: &Judged, error: ClientError) -> Fault {
        let name = &self.connector;
        let fault = match error {
            ClientError::Connect(why) => {
                tracing::warn!(connector = %name, upstream = %request.upstream, %why, "no connection");
                Fault::new(FaultKind::Unavailable, format!("`{name}` could not be reached."))
            }
            ClientError::NotTaken(why) => {
                tracing::warn!(connector = %name, upstream = %request.upstream, %why, "the request was not taken");
                Fault::new(
                    FaultKind::Unavailable,
                    format!("`{name}` was reached and did not take the request."),
                )
            }
            ClientError::Broken(why) => {
                tracing::warn!(connector = %name, upstream = %request.upstream, %why, "the answer broke off");
                unanswered(request.effect, format!("`{name}` was reached and gave no complete answer."))
            }
            ClientError::TooLarge(bound) => {
                let message = format!("`{name}` answered with more than {bound} bytes: ask for less.");
                Fault::new(FaultKind::SchemaMismatch, message).with_outcome(Outcome::Unknown)
            }
        };
        fault.with_operation(Arc::clone(&request.operation))
    }

    fn too_late(&self, request: &Judged) -> Fault {
        let message = format!("`{}` did not answer in time.", self.connector);
        let kind = if request.effect == Effect::Read {
            FaultKind::DeadlineExceeded
        } else {
            FaultKind::OutcomeUnknown
        };
        Fault::new(kind, message)
            .with_outcome(Outcome::Unknown)
            .with_operation(Arc::clone(&request.operation))
    }
}

/// A request that was sent and not answered: harmless for a read, an open question for a write.
fn unanswered(effect: Effect, message: String) -> Fault {
    let kind = if effect == Effect::Read { FaultKind::Unavailable } else { FaultKind::OutcomeUnknown };
    Fault::new(kind, message).with_outcome(Outcome::Unknown)
}

fn within_ceiling(scope: &Scope, effect: Effect) -> Result<(), Refusal> {
    match scope.purpose.ceiling() {
        Some(ceiling) if effect <= ceiling => Ok(()),
        Some(ceiling) => {
            let (asked, allowed) = (effect.name(), ceiling.name());
            Err(Refusal::new(
                "effect",
                format!("a request of effect `{asked}` inside a call of effect `{allowed}`"),
            ))
        }
        None => Err(Refusal::new("purpose", "nothing can be sent while describing")),
    }
}
