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
use crate::credential::{Credential, Login, SecretValue, Session};
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

    async fn run(&self, credential: &Credential, deadline: Deadline) -> Result<Session, Fault> {
        let gone = || Fault::internal("a connector went away during a login");
        let sandboxes = self.sandboxes.upgrade().ok_or_else(gone)?;
        let indices = sandboxes.loaded.authenticator.as_ref().ok_or_else(gone)?;
        let grant = grant(credential)?;
        let purpose = Purpose::Login { credential: Arc::clone(&credential.name) };
        let scope = Arc::new(Scope::new(purpose, Caller::agent(LOGIN), deadline, TraceContext::fresh()));
        let session = sandboxes.run_login(Arc::clone(&scope), async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            let answer = guest.call_authenticate(&mut sandbox.store, &credential.name, &grant).await?;
            let run: &Run = &sandbox.store.data().run;
            Ok(answer.map_err(|fault| as_login_fault(run.host_view(fault), credential)))
        });
        accept(session.await??, &scope, &sandboxes)
    }
}

impl Login for GuestLogin {
    fn login<'a>(
        &'a self,
        credential: &'a Credential,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, Fault>> + Send + 'a>> {
        Box::pin(self.run(credential, deadline))
    }
}

/// The kind, and what of the configuration is no secret.
fn grant(credential: &Credential) -> Result<String, Fault> {
    credential.configured()?;
    let mut grant = Map::new();
    grant.insert("kind".to_owned(), credential.kind.name().into());
    for (name, value) in credential.plain_fields() {
        grant.insert(name.to_owned(), value.into());
    }
    Ok(Value::Object(grant).to_string())
}

/// What a guest says about a refused login is about the credential, not about the agent's call, of which nothing was sent.
fn as_login_fault(mut fault: Fault, credential: &Credential) -> Fault {
    if !fault.kind.is_guests_to_say() {
        if fault.kind == FaultKind::OutcomeUnknown {
            fault.kind = FaultKind::Unavailable;
        }
        fault.outcome = Outcome::NotSent;
        return fault;
    }
    let message = format!("The login with the credential `{}` failed: {}", credential.name, fault.message);
    let mut dead = Fault::new(FaultKind::CredentialDead, message);
    (dead.code, dead.upstream_said) = (fault.code.clone(), fault.upstream_said.clone());
    dead
}

/// Only what was captured in this login, and only hosts within the operator's patterns.
fn accept(session: authenticator::Session, scope: &Scope, sandboxes: &Sandboxes) -> Result<Session, Fault> {
    let broken =
        |why: String| Fault::new(FaultKind::ConnectorFailed, format!("The connector's login {why}."));
    let mut fields: BTreeMap<String, SecretValue> = BTreeMap::new();
    for (field, name) in session.secrets {
        let captured =
            scope.captured(&name).ok_or_else(|| broken(format!("names `{name}`, never captured")))?;
        fields.insert(field, captured.value);
    }
    if fields.is_empty() {
        return Err(broken("brought no secret".to_owned()));
    }
    let mut base_urls = BTreeMap::new();
    for (upstream, url) in session.base_urls {
        let Some(Upstream::Http(http)) = sandboxes.runtime.egress.upstreams.get(&upstream) else {
            return Err(broken(format!("names the unknown upstream `{upstream}`")));
        };
        http.assigned(&url).map_err(|why| broken(format!("brought a host that cannot be: {why}")))?;
        base_urls.insert(upstream, url);
    }
    Ok(Session { fields, expires_in: session.expires_in_ms.map(Duration::from_millis), base_urls })
}
