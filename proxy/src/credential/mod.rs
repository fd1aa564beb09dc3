//! Credentials: what they are, where their secrets come from, and who may write them where.
//!
//! Owns secret values, the grants of one connector and the sessions that a login yields. It never talks to an upstream: a login is run by
//! whoever implements [`Login`] (the connector's guest, wired up by the composition root).

mod age;
mod alarms;
pub mod assertion;
mod fixed;
pub mod grant;
mod keeping;
pub mod lifecycle;
mod manager;
pub mod record;
mod secret;
mod seen;
mod sightings;
mod source;
pub mod store;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use serde_json::Value;

pub use age::Rotation;
pub use fixed::FixedFields;
pub use grant::{Grant, Login, LoginFailed, Session};
pub use keeping::{Keeping, Keepings};
pub use manager::{LOGIN_TIME, Managed, Manager, Managers, Status};
pub use secret::SecretValue;
pub use sightings::{Sighting, Sightings};
pub use source::Source;
pub use users::{Exchange, Users};

use crate::call::{Deadline, Subject};
use crate::config::{CredentialKind, Position};
use crate::egress::scrub::Scrubber;
use crate::fault::{Fault, FaultKind};

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
    /// What a session must be allowed, in the system's own words.
    scopes: Vec<String>,
    fields: Arc<FixedFields>,
    rotation: Option<Rotation>,
    /// Who knows since when its secrets are in use.
    sightings: Option<Arc<Sightings>>,
    /// Present if the fields are only the way to a session.
    manager: Option<Manager>,
    /// Present if each user has a session of their own.
    users: Option<Arc<Users>>,
    /// The version that a system did not accept, and nothing newer was to be had; 0 is none.
    refused: AtomicU64,
    /// What somebody must look after, and was told.
    told: Mutex<BTreeSet<&'static str>>,
}

impl Credential {
    /// A credential whose fields are used as they are.
    pub fn fixed(
        name: Arc<str>,
        upstreams: Vec<String>,
        positions: Vec<Position>,
        sign: bool,
        fields: Arc<FixedFields>,
    ) -> Self {
        let (kind, scopes) = (CredentialKind::Static, Vec::new());
        let (rotation, sightings, manager, users) = (None, None, None, None);
        let (refused, told) = (AtomicU64::new(0), Mutex::default());
        Self {
            name,
            kind,
            upstreams,
            positions,
            sign,
            scopes,
            fields,
            rotation,
            sightings,
            manager,
            users,
            refused,
            told,
        }
    }

    /// The same, of secrets that should be replaced from time to time.
    pub fn rotated(self, rotation: Option<Rotation>, sightings: Arc<Sightings>) -> Self {
        Self { rotation, sightings: Some(sightings), ..self }
    }

    /// The same, of a connector whose tools need those scopes.
    pub fn needing(self, scopes: Vec<String>) -> Self {
        Self { scopes, ..self }
    }

    /// What a session lacks whose provider says what it granted, as the end of a sentence: a person must consent to more, and is told so
    /// now and not by the first call that is not allowed.
    pub fn lacking(&self, granted: Option<&[String]>) -> Option<String> {
        let granted = granted?;
        let missing = self.scopes.iter().filter(|needed| !granted.contains(needed));
        let names: Vec<_> = missing.map(|scope| format!("`{scope}`")).collect();
        (!names.is_empty()).then(|| format!("it was not granted the scope {}", names.join(", ")))
    }

    /// The same, if its fields are the way to a session.
    pub fn managed(self, managed: Managed) -> Self {
        Self { kind: managed.kind, manager: Some(Manager::new(managed)), ..self }
    }

    /// The same, if its fields are the way to a session of each user's own.
    pub fn of_users(self, exchange: Exchange) -> Self {
        Self { kind: exchange.kind, users: Some(Users::new(exchange)), ..self }
    }

    /// The sessions of users, if each has one of their own.
    pub fn users(&self) -> Option<&Arc<Users>> {
        self.users.as_ref()
    }

    /// The fields as the operator configured them: the secrets themselves, or those of the grant.
    pub fn configured(&self) -> Result<Arc<Material>, Fault> {
        self.fields.current().map_err(|reason| self.unreadable(&reason))
    }

    /// After a refusal of that version: others, or the fault that there are none.
    pub fn other_than(&self, version: u64) -> Result<Arc<Material>, Fault> {
        let other = self.fields.other_than(version).map_err(|reason| self.unreadable(&reason))?;
        other.ok_or_else(|| {
            self.note_refused(version);
            self.dead("the system refuses it; replace the secret")
        })
    }

    /// Why the fields as they stand there cannot be used, for the operator; it may name files.
    pub fn problem(&self) -> Option<String> {
        self.fields.problem()
    }

    /// Whether its secrets come from a login.
    pub fn manager(&self) -> Option<&Manager> {
        self.manager.as_ref()
    }

    /// The reason is the operator's to read: it names files.
    fn unreadable(&self, reason: &str) -> Fault {
        tracing::error!(credential = %self.name, %reason, "a credential cannot be read");
        self.dead("it cannot be read; Ferrata's status says why")
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
    /// Optional ones that the operator has not configured.
    left_out: BTreeSet<String>,
}

impl Credentials {
    pub fn new(entries: impl IntoIterator<Item = Credential>) -> Self {
        let entries = entries.into_iter().map(|c| (Arc::clone(&c.name), Arc::new(c))).collect();
        Self { entries, left_out: BTreeSet::new() }
    }

    /// With the names of optional credentials that the operator has left out.
    pub fn leaving_out(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.left_out.extend(names);
        self
    }

    /// The same credentials, secrets and sessions, for the next generation of the connector: a swap logs nobody out.
    pub fn handed_on(&self) -> Self {
        Self { entries: self.entries.clone(), left_out: self.left_out.clone() }
    }

    /// Whether the connector may ask for it, and the operator has not configured it.
    pub fn is_left_out(&self, name: &str) -> bool {
        self.left_out.contains(name)
    }

    /// Wires one more who runs logins, the newest generation's.
    pub fn add_login(&self, login: &Arc<dyn Login>) {
        self.managers().for_each(|manager| manager.add_login(Arc::clone(login)));
        self.entries.values().filter_map(|c| c.users()).for_each(|users| users.add_login(login));
    }

    /// Begins to keep alive what must be, though nobody has asked for it yet.
    pub fn open(&self) {
        self.managers().for_each(Manager::open);
    }

    /// How each stands, by name. Never a value.
    pub fn status(&self) -> Value {
        Value::Object(
            self.iter().map(|credential| (credential.name.to_string(), credential.status())).collect(),
        )
    }

    /// The files that the operator keeps secrets in.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.iter().flat_map(|credential| credential.fields.files())
    }

    /// Takes up what has changed in them.
    pub fn look(&self) {
        self.iter().for_each(|credential| credential.fields.look());
    }

    /// The secrets whose age matters, as they are now.
    pub fn in_use(&self, connector: &str) -> Vec<Sighting> {
        self.iter().flat_map(|credential| credential.in_use(connector)).collect()
    }

    /// Says what must be said though nobody asks. To be called now and then.
    pub fn look_at_ages(&self, connector: &str) {
        self.iter().for_each(|credential| {
            credential.look_at_age(connector);
            credential.tell_alarms(connector);
        });
    }

    /// Brings the gauges up to date.
    pub fn measure(&self, connector: &str) {
        self.iter().for_each(|credential| credential.measure(connector));
    }

    fn managers(&self) -> impl Iterator<Item = &Manager> {
        self.entries.values().filter_map(|credential| credential.manager())
    }

    pub fn get(&self, name: &str) -> Option<&Credential> {
        self.entries.get(name).map(Arc::as_ref)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.entries.values().map(Arc::as_ref)
    }

    /// Finds everything secret that is known of this connector's credentials at this moment; of users' sessions, that of `subject`.
    pub fn scrubber(&self, subject: Option<&Subject>) -> Scrubber {
        let mut all = Scrubber::default();
        for credential in self.entries.values() {
            let won = credential.manager().into_iter().flat_map(Manager::known);
            let of_user = credential.users().into_iter().flat_map(|users| users.known(subject));
            for material in credential.fields.known().chain(won).chain(of_user) {
                all.add_all(&material.scrubber);
            }
        }
        all
    }

    /// The secrets that requests for `subject` may be written with now; logs in first if need be.
    pub async fn current(
        &self,
        credential: &Credential,
        subject: Option<&Subject>,
        deadline: Deadline,
    ) -> Result<Arc<Material>, Fault> {
        match (&credential.users, &credential.manager) {
            (Some(users), _) => users.current(subject, deadline).await,
            (None, Some(manager)) => manager.current(deadline).await,
            (None, None) => credential.configured(),
        }
    }

    /// After a refusal of `version`: newer secrets, or the fault that there are none.
    pub async fn renew(
        &self,
        credential: &Credential,
        subject: Option<&Subject>,
        version: u64,
        deadline: Deadline,
    ) -> Result<Arc<Material>, Fault> {
        if let Some(users) = &credential.users {
            return users.renew(subject, version, deadline).await;
        }
        if let Some(manager) = &credential.manager {
            return manager.renew(version, deadline).await.inspect_err(|fault| {
                // Unless the lifecycle says more of why.
                if fault.kind == FaultKind::CredentialDead && manager.status().state() == "good" {
                    credential.note_refused(version);
                }
            });
        }
        credential.other_than(version)
    }
}
