//! Logins, run by the connector's own guest in a sandbox of their own.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Map, Value};

use super::bindings::authenticator;
use super::host::{Run, Tickets};
use super::sandbox::Sandboxes;
use crate::call::{Caller, Deadline};
use crate::config::CredentialKind;
use crate::credential::grant::{INVALID_GRANT, REFRESH_TOKEN};
use crate::credential::lifecycle::Exchanged;
use crate::credential::{Grant, Login, LoginFailed, SecretValue, Session};
use crate::egress::fate::Fate;
use crate::egress::scope::{Purpose, Scope};
use crate::egress::upstream::Upstream;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::telemetry::TraceContext;

/// The agent in whose name a login is made: it is nobody's call.
const LOGIN: &str = "ferrata";

/// Runs `authenticate`.
pub struct GuestLogin {
    /// Weak: the sandboxes hold the credentials, which hold this.
    sandboxes: Weak<Sandboxes>,
}

impl GuestLogin {
    pub fn new(sandboxes: &Arc<Sandboxes>) -> Self {
        Self { sandboxes: Arc::downgrade(sandboxes) }
    }

    async fn run(&self, grant: &Arc<Grant>, deadline: Deadline) -> Result<Session, LoginFailed> {
        let purpose = Purpose::Login { credential: Arc::clone(&grant.credential) };
        let scope = Scope::new(purpose, Caller::agent(LOGIN), deadline, TraceContext::fresh());
        let scope = Arc::new(scope.of_login(Arc::clone(grant)));
        self.run_in(&scope, grant).await.or_else(|fault| {
            let failed = |fault| failed(fault, scope.fates.now(), &grant.credential);
            broken_off(&fault, scope.fates.renewed(), grant).ok_or_else(|| failed(fault))
        })
    }

    async fn run_in(&self, scope: &Arc<Scope>, grant: &Grant) -> Result<Session, Fault> {
        let gone = || Fault::internal("a connector went away during a login");
        let sandboxes = self.sandboxes.upgrade().ok_or_else(gone)?;
        let indices = sandboxes.loaded.authenticator.as_ref().ok_or_else(gone)?;
        let public = public(grant);
        let session = sandboxes.run_login(Arc::clone(scope), async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            let answer = guest.call_authenticate(&mut sandbox.store, &grant.credential, &public).await?;
            let run: &Run = &sandbox.store.data().run;
            Ok(answer.map_err(|fault| run.host_view(fault)))
        });
        let answer = session.await??;
        let credential = sandboxes.runtime.egress.credentials.get(&grant.credential);
        let lacks = credential.and_then(|credential| credential.lacking(answer.scopes.as_deref()));
        let session = accept(answer, scope, grant.kind, &sandboxes)?;
        Ok(Session { lacks: session.lacks.or(lacks), ..session })
    }
}

impl Login for GuestLogin {
    fn is_alive(&self) -> bool {
        self.sandboxes.strong_count() > 0
    }

    fn login<'a>(
        &'a self,
        grant: &'a Arc<Grant>,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, LoginFailed>> + Send + 'a>> {
        Box::pin(self.run(grant, deadline))
    }
}

/// The kind, and what of the configuration is no secret.
fn public(grant: &Grant) -> String {
    let kind = ("kind", grant.kind.name());
    let public = grant.public.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let members: Map<_, _> =
        public.chain([kind]).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    Value::Object(members).to_string()
}

/// What is left of a login that failed after it was granted: the refresh token that stands in the place of the one that was spent.
fn broken_off(fault: &Fault, renewed: Option<SecretValue>, grant: &Grant) -> Option<Session> {
    let token = renewed.filter(|_| grant.kind == CredentialKind::RefreshToken)?;
    tracing::error!(credential = %grant.credential, %fault, "a login broke off after it was granted; its refresh token is kept");
    let lacks = format!("its login was granted and then broke off: {}", fault.message.trim_end_matches('.'));
    let fields = BTreeMap::from([(REFRESH_TOKEN.to_owned(), token)]);
    Some(Session { fields, lacks: Some(lacks), ..Session::default() })
}

/// What a failed login means for the credential's life, and what those are told who wait for it: it is about the credential, and not
/// about an agent's call, of which nothing was sent.
fn failed(fault: Fault, fate: Fate, credential: &str) -> LoginFailed {
    let how = meaning(&fault, fate);
    let mut fault = match how {
        Exchanged::Refused | Exchanged::Invalid => refused(&fault, credential),
        // A token endpoint that answers with nonsense, or too late, is one that is not well.
        _ if fault.kind.is_guests_to_say() => Fault::new(FaultKind::Unavailable, fault.message.as_str()),
        _ => fault,
    };
    if matches!(fault.kind, FaultKind::OutcomeUnknown | FaultKind::DeadlineExceeded) {
        fault.kind = FaultKind::Unavailable;
    }
    fault.outcome = Outcome::NotSent;
    LoginFailed { fault, how }
}

fn refused(fault: &Fault, credential: &str) -> Fault {
    let message = format!("The login with the credential `{credential}` failed: {}", fault.message);
    let mut dead = Fault::new(FaultKind::CredentialDead, message);
    (dead.code, dead.upstream_said) = (fault.code.clone(), fault.upstream_said.clone());
    dead
}

/// A refusal is the connector's to recognize, and `invalid_grant` its word for a token that is not accepted any more (RFC 6749, 5.2).
/// Whether anything was done is the host's to know: a gateway that gave up says nothing of what is behind it.
fn meaning(fault: &Fault, fate: Fate) -> Exchanged {
    let retry_after = fault.retry_after_secs().map(Duration::from_secs);
    let is_refusal = fault.kind.is_guests_to_say() && fault.kind != FaultKind::SchemaMismatch;
    match (fault.kind, fate) {
        (_, Fate::Spent) => Exchanged::Unknown,
        _ if is_refusal && fault.code.as_deref() == Some(INVALID_GRANT) => Exchanged::Invalid,
        _ if is_refusal => Exchanged::Refused,
        (FaultKind::CredentialDead, _) => Exchanged::Refused,
        (FaultKind::RateLimited | FaultKind::QuotaExhausted, _) => Exchanged::RateLimited { retry_after },
        (_, fate) if fate.may_be_done() => Exchanged::Unknown,
        _ => Exchanged::Unavailable { retry_after },
    }
}

/// Only what was captured in this login, and only hosts within the operator's patterns. What is wrong with a session that cost a refresh token
/// is said of it, and it is kept: what came with it cannot be won again.
fn accept(
    session: authenticator::Session,
    scope: &Scope,
    kind: CredentialKind,
    sandboxes: &Sandboxes,
) -> Result<Session, Fault> {
    let broken = |why: &str| Fault::new(FaultKind::ConnectorFailed, format!("The connector's login {why}."));
    let mut wrong = Vec::new();
    let mut fields: BTreeMap<String, SecretValue> = BTreeMap::new();
    for (field, name) in session.secrets {
        match scope.captured(&name) {
            Some(captured) => drop(fields.insert(field, captured.value)),
            None => wrong.push(format!("names `{name}`, never captured")),
        }
    }
    if fields.is_empty() {
        return Err(broken("brought no secret"));
    }
    let mut base_urls = BTreeMap::new();
    for (upstream, url) in session.base_urls {
        match assigned(&upstream, &url, sandboxes) {
            Ok(()) => drop(base_urls.insert(upstream, url)),
            Err(why) => wrong.push(why),
        }
    }
    let wrong = wrong.into_iter().next();
    if let Some(why) = wrong.as_ref().filter(|_| kind != CredentialKind::RefreshToken) {
        return Err(broken(why));
    }
    let (expires_in, refresh_expires_in) = (session.expires_in_ms, session.refresh_expires_in_ms);
    Ok(Session {
        fields,
        expires_in: expires_in.map(Duration::from_millis),
        refresh_expires_in: refresh_expires_in.map(Duration::from_millis),
        base_urls,
        lacks: wrong.map(|why| format!("its login {why}")),
    })
}

/// Whether an upstream may be where a login says that it is; otherwise why not, as the end of a sentence.
fn assigned(upstream: &str, url: &str, sandboxes: &Sandboxes) -> Result<(), String> {
    let Some(Upstream::Http(http)) = sandboxes.runtime.egress.upstreams.get(upstream) else {
        return Err(format!("names the unknown upstream `{upstream}`"));
    };
    http.assigned(url).map(drop).map_err(|why| format!("brought a host that cannot be: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, "It failed.")
    }

    #[test]
    fn what_a_failure_says_of_the_token_depends_on_who_says_it_and_on_what_was_sent() {
        use FaultKind as K;
        let (away, unknown) = (Exchanged::Unavailable { retry_after: None }, Exchanged::Unknown);
        let limited = Exchanged::RateLimited { retry_after: None };
        let cases = [
            (fault(K::Rejected).with_code("invalid_grant"), Fate::Answered(400), Exchanged::Invalid),
            (fault(K::Rejected).with_code("invalid_client"), Fate::Answered(401), Exchanged::Refused),
            (fault(K::CredentialDead), Fate::Answered(401), Exchanged::Refused),
            (fault(K::Unavailable), Fate::NotSent, away),
            (fault(K::Unavailable), Fate::Answered(503), away),
            (fault(K::Unavailable), Fate::Answered(403), away),
            (fault(K::OutcomeUnknown), Fate::Answered(502), unknown),
            (fault(K::OutcomeUnknown), Fate::NoAnswer, unknown),
            (fault(K::DeadlineExceeded), Fate::NoAnswer, unknown),
            // A maintenance page with status 200; a guest that broke after it was answered.
            (fault(K::SchemaMismatch), Fate::Answered(200), unknown),
            (fault(K::ConnectorFailed), Fate::Answered(200), unknown),
            (fault(K::ConnectorFailed), Fate::NotSent, away),
            (fault(K::RateLimited), Fate::Answered(429), limited),
            // The second request of a login that has spent its token with the first.
            (fault(K::Unavailable), Fate::Spent, unknown),
            (fault(K::Rejected).with_code("invalid_grant"), Fate::Spent, unknown),
            (fault(K::RateLimited), Fate::Spent, unknown),
        ];
        for (fault, fate, how) in cases {
            assert_eq!(meaning(&fault, fate), how, "{fault} after {fate:?}");
        }
    }

    #[test]
    fn who_waits_is_told_of_the_credential_and_not_of_a_call() {
        let refused = fault(FaultKind::Rejected).with_code("invalid_grant").with_outcome(Outcome::Rejected);
        let told = failed(refused, Fate::Answered(400), "account").fault;
        assert_eq!((told.kind, told.outcome), (FaultKind::CredentialDead, Outcome::NotSent));
        assert_eq!(told.code.as_deref(), Some("invalid_grant"));
        for kind in [FaultKind::OutcomeUnknown, FaultKind::SchemaMismatch, FaultKind::DeadlineExceeded] {
            let told = failed(fault(kind), Fate::NoAnswer, "account").fault;
            assert_eq!((told.kind, told.outcome), (FaultKind::Unavailable, Outcome::NotSent));
        }
    }
}
