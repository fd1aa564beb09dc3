//! Credentials: what they are, where their secrets come from, and who may write them where.
//!
//! Owns secret values, the grants of one connector and the sessions that a login yields. It never talks to an upstream: a login is run by
//! whoever implements [`Login`] (the connector's guest, wired up by the composition root).

pub mod assertion;
mod fixed;
pub mod lifecycle;
pub mod record;
mod secret;
mod session;
mod source;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use secret::SecretValue;
pub use session::Session;
pub use source::Source;

use crate::call::Deadline;
use crate::config::{CredentialKind, Position};
use crate::egress::scrub::Scrubber;
use crate::fault::{Fault, FaultKind};
use fixed::FixedFields;
use session::Sessions;

/// How long one login may take, whoever waits for it and for how long: a few exchanges with a slow identity provider.
const LOGIN_TIME: Duration = Duration::from_secs(15);

/// The secrets of a credential at one moment. Immutable: a newer version is a new material.
#[derive(Debug)]
pub struct Material {
    /// Finds these secrets in what comes back.
    pub scrubber: Arc<Scrubber>,
    /// Grows with every change; says which one a refused request was written with.
    pub version: u64,
    pub fields: BTreeMap<String, SecretValue>,
    /// Base URLs that a login assigned, by upstream; already checked against the operator's patterns.
    pub base_urls: BTreeMap<String, String>,
}

impl Material {
    pub fn new(
        version: u64,
        fields: BTreeMap<String, SecretValue>,
        base_urls: BTreeMap<String, String>,
    ) -> Self {
        let mut scrubber = Scrubber::default();
        fields.values().for_each(|secret| scrubber.add(secret));
        Self { scrubber: Arc::new(scrubber), version, fields, base_urls }
    }
}

/// Runs the system's own login. Implemented over the connector's guest.
pub trait Login: Send + Sync {
    /// Logs in with the configured fields of `credential`.
    fn login<'a>(
        &'a self,
        credential: &'a Credential,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, Fault>> + Send + 'a>>;
}

/// One credential of one connector, as the operator granted it.
pub struct Credential {
    pub name: Arc<str>,
    pub kind: CredentialKind,
    /// Towards which upstreams its secrets may be written.
    pub upstreams: Vec<String>,
    /// Where in a request its secrets may be written.
    pub positions: Vec<Position>,
    /// Whether the guest may have arbitrary bytes signed.
    pub sign: bool,
    fields: FixedFields,
    /// Present if the fields are only the way to a session.
    sessions: Option<Sessions>,
}

impl Credential {
    pub fn new(
        name: Arc<str>,
        kind: CredentialKind,
        upstreams: Vec<String>,
        positions: Vec<Position>,
        sign: bool,
        sources: BTreeMap<String, Source>,
    ) -> Self {
        let sessions = (kind != CredentialKind::Static).then(Sessions::default);
        Self { fields: FixedFields::new(sources), name, kind, upstreams, positions, sign, sessions }
    }

    /// The fields as the operator configured them: the secrets themselves, or those of the grant.
    pub fn configured(&self) -> Result<Arc<Material>, Fault> {
        self.fields.current().map_err(|reason| self.unreadable(&reason))
    }

    /// Why the fields cannot be used, for the operator; it may name files.
    pub fn problem(&self) -> Option<String> {
        self.fields.current().err()
    }

    /// Configured fields that are no secrets: what the operator wrote in the clear.
    pub fn plain_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.plain()
    }

    /// Whether its secrets come from a login.
    pub fn has_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// The reason is the operator's to read: it names files.
    fn unreadable(&self, reason: &str) -> Fault {
        tracing::error!(credential = %self.name, %reason, "a credential cannot be read");
        self.dead("it cannot be read; Ferrata's status says why")
    }

    /// Waits for a session as long as the call may take. Its login goes on for whoever else waits.
    async fn in_time(
        &self,
        deadline: Deadline,
        session: impl Future<Output = Result<Arc<Material>, Fault>>,
    ) -> Result<Arc<Material>, Fault> {
        tokio::time::timeout_at(deadline.instant(), session).await.unwrap_or_else(|_| {
            let message = format!("The login with the credential `{}` did not end in time.", self.name);
            Err(Fault::new(FaultKind::DeadlineExceeded, message))
        })
    }

    fn dead(&self, reason: &str) -> Fault {
        Fault::new(
            FaultKind::CredentialDead,
            format!("The credential `{}` cannot be used: {reason}.", self.name),
        )
    }
}

/// All credentials of one connector.
pub struct Credentials {
    entries: BTreeMap<Arc<str>, Arc<Credential>>,
    /// Optional ones that the operator has left out.
    left_out: BTreeSet<String>,
    login: OnceLock<Arc<dyn Login>>,
}

impl Credentials {
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        let entries = credentials.into_iter().map(|c| (Arc::clone(&c.name), Arc::new(c))).collect();
        Self { entries, left_out: BTreeSet::new(), login: OnceLock::new() }
    }

    /// With the names of optional credentials that the operator has left out.
    pub fn leaving_out(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.left_out.extend(names);
        self
    }

    /// The same credentials, secrets and sessions, for the next generation of the connector: a swap logs nobody out.
    pub fn handed_on(&self) -> Self {
        Self { entries: self.entries.clone(), left_out: self.left_out.clone(), login: OnceLock::new() }
    }

    /// Whether the connector may ask for it, and the operator has not configured it.
    pub fn is_left_out(&self, name: &str) -> bool {
        self.left_out.contains(name)
    }

    /// Wires the one who runs logins. The first call counts.
    pub fn set_login(&self, login: Arc<dyn Login>) {
        let _ = self.login.set(login);
    }

    pub fn get(&self, name: &str) -> Option<&Credential> {
        self.entries.get(name).map(Arc::as_ref)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.entries.values().map(Arc::as_ref)
    }

    /// Finds everything secret that is known of this connector's credentials at this moment.
    pub fn scrubber(&self) -> Scrubber {
        let mut all = Scrubber::default();
        for credential in self.entries.values() {
            let session = credential.sessions.as_ref().and_then(Sessions::peek);
            for material in credential.configured().into_iter().chain(session) {
                all.add_all(&material.scrubber);
            }
        }
        all
    }

    /// The secrets that requests may be written with now; logs in first if need be.
    pub async fn current(&self, credential: &Credential, deadline: Deadline) -> Result<Arc<Material>, Fault> {
        let Some(sessions) = &credential.sessions else { return credential.configured() };
        let login = self.prepare(credential)?;
        credential.in_time(deadline, sessions.current(|| login.run())).await
    }

    /// After a refusal of `version`: newer secrets, or the fault that there are none.
    pub async fn renew(
        &self,
        credential: &Credential,
        version: u64,
        deadline: Deadline,
    ) -> Result<Arc<Material>, Fault> {
        if let Some(sessions) = &credential.sessions {
            let login = self.prepare(credential)?;
            return credential.in_time(deadline, sessions.renew(version, || login.run())).await;
        }
        let material = credential.fields.reread().map_err(|reason| credential.unreadable(&reason))?;
        if material.version == version {
            return Err(credential.dead("the system refuses it; replace the secret"));
        }
        Ok(material)
    }

    fn prepare(&self, credential: &Credential) -> Result<Prepared, Fault> {
        let login = self.login.get().ok_or_else(|| Fault::internal("no login is wired"))?;
        let missing = || Fault::internal(format!("the credential `{}` is gone", credential.name));
        let credential = self.entries.get(&credential.name).ok_or_else(missing)?;
        Ok(Prepared { login: Arc::clone(login), credential: Arc::clone(credential) })
    }
}

/// A login that can be made without whoever needs it.
struct Prepared {
    login: Arc<dyn Login>,
    credential: Arc<Credential>,
}

impl Prepared {
    async fn run(self) -> Result<Session, Fault> {
        self.login.login(&self.credential, Deadline::after(LOGIN_TIME)).await
    }
}
