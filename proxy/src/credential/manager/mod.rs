//! Keeps one credential alive: callers wait here for secrets, and a task of its own refreshes them in time.
//!
//! Owns the secrets in hand and the clock that the [lifecycle](super::lifecycle) is told; what is to be done is the lifecycle's to
//! say, where it is kept the [store](super::store)'s, how it is won the [login](super::grant::Login)'s. The callers' side is here, a
//! run of the task in [`run`], what people are told in [`tell`] and [`status`].

mod run;
mod status;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::fixed::FixedFields;
use super::grant::{Login, REFRESH_TOKEN};
use super::keeping::Keeping;
use super::lifecycle::{Lifecycle, Renewal, Serving, Settings, Step};
use super::record::Record;
use super::{Material, SecretValue};
use crate::call::Deadline;
use crate::clock::Clock;
use crate::config::CredentialKind;
use crate::fault::{Fault, FaultKind};
use crate::policy::time::Now;
pub use status::Status;

/// How long one login may take by default: a few exchanges with a slow identity provider.
pub const LOGIN_TIME: Duration = Duration::from_secs(15);

/// How often the operator's files are looked at while nothing else is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is managed.
pub struct Managed {
    pub connector: Arc<str>,
    /// The credential's name.
    pub name: Arc<str>,
    pub kind: CredentialKind,
    /// What the operator configured.
    pub fields: Arc<FixedFields>,
    /// Fields beside those: a user's own token.
    pub extra: BTreeMap<String, SecretValue>,
    /// How long one login may take, whoever waits for it and for how long.
    pub login_time: Duration,
    pub keeping: Keeping,
}

impl Managed {
    /// Whether it is won with a refresh token.
    fn is_mortal(&self) -> bool {
        self.kind == CredentialKind::RefreshToken
    }

    fn dead(&self, reason: &str) -> Fault {
        let message = format!("The credential `{}` cannot be used: {reason}.", self.name);
        Fault::new(FaultKind::CredentialDead, message)
    }
}

/// A credential that is kept alive for as long as this is held. A refresh that is under way then is still brought to its end.
pub struct Manager(Arc<Inner>);

struct Inner {
    managed: Managed,
    clock: Clock,
    /// Those who can log in, the newest last; each generation of the connector brings its own.
    logins: Mutex<Vec<Arc<dyn Login>>>,
    state: Mutex<State>,
    /// Whoever waits for a token looks again.
    changed: Notify,
    /// The task looks again.
    poke: Arc<Notify>,
}

struct State {
    life: Lifecycle,
    is_driven: bool,
    is_running: bool,
    /// No run begins any more.
    is_closing: bool,
    /// The secrets in hand, with the version that the lifecycle knows them by. Their own version grows over all families.
    held: Option<(u64, Arc<Material>)>,
    /// Why what is in hand cannot be used.
    lacks: Option<String>,
    family: Option<Family>,
    /// The newest record, with its key, and its refresh token for scrubbing.
    record: Option<(Arc<str>, Arc<Record>)>,
    kept: Option<Arc<Material>>,
    /// Won, and not yet durable.
    uncommitted: Option<Record>,
    /// The last, and when that was, in milliseconds since 1970; none after a success.
    last_error: Option<(Fault, i64)>,
}

/// What a record is kept by, and what of the operator's it belongs to.
#[derive(Clone)]
struct Family {
    key: Arc<str>,
    configured: Arc<Material>,
}

impl Manager {
    pub fn new(managed: Managed) -> Self {
        let is_mortal = managed.is_mortal();
        let state = State {
            life: Lifecycle::new(Settings { keep_alive: is_mortal, mortal: is_mortal }),
            is_driven: false,
            is_running: false,
            is_closing: false,
            held: None,
            lacks: None,
            family: None,
            record: None,
            kept: None,
            uncommitted: None,
            last_error: None,
        };
        Self(Arc::new(Inner {
            managed,
            clock: Clock::start(),
            logins: Mutex::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            poke: Arc::default(),
        }))
    }

    /// Wires one more who can log in. The newest that is still there does.
    pub fn add_login(&self, login: Arc<dyn Login>) {
        let mut logins = self.0.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|login| login.is_alive());
        logins.push(login);
    }

    /// Begins to keep alive what must be, though nobody has asked for it yet.
    pub fn open(&self) {
        if self.0.managed.is_mortal() {
            self.drive();
        }
    }

    /// The secrets that a request may be written with now, or why there are none. Waits while new ones are being won.
    pub async fn current(&self, deadline: Deadline) -> Result<Arc<Material>, Fault> {
        if let Some(answer) = self.0.ask(deadline.remaining()) {
            return answer;
        }
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Before it is asked: a change in between is not missed.
            changed.as_mut().enable();
            if let Some(answer) = self.0.ask(deadline.remaining()) {
                return answer;
            }
            self.drive();
            if tokio::time::timeout_at(deadline.instant(), changed).await.is_err() {
                let name = &self.0.managed.name;
                let message = format!("The login with the credential `{name}` did not end in time.");
                return Err(Fault::new(FaultKind::DeadlineExceeded, message));
            }
        }
    }

    /// The same after a system did not accept `version`: secrets that are newer, or the fault that there are none.
    pub async fn renew(&self, version: u64, deadline: Deadline) -> Result<Arc<Material>, Fault> {
        self.0.refused(version)?;
        self.current(deadline).await
    }

    /// Brings a refresh that is under way to its end, and begins no other: what a provider has answered must not be lost.
    pub async fn finish(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.0.state();
                state.is_closing = true;
                if !state.is_running {
                    return;
                }
            }
            changed.await;
        }
    }

    /// All secrets that are known of it now.
    pub fn known(&self) -> impl Iterator<Item = Arc<Material>> + use<> {
        let state = self.0.state();
        let held = state.held.as_ref().map(|(_, material)| Arc::clone(material));
        held.into_iter().chain(state.kept.clone())
    }

    pub fn status(&self) -> Status {
        self.0.status()
    }

    fn drive(&self) {
        let mut state = self.0.state();
        if std::mem::replace(&mut state.is_driven, true) {
            self.0.poke.notify_one();
            return;
        }
        tokio::spawn(drive(Arc::downgrade(&self.0), Arc::clone(&self.0.poke)));
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.0.poke.notify_one();
    }
}

/// Sleeps between runs without holding what it serves.
async fn drive(inner: Weak<Inner>, poke: Arc<Notify>) {
    loop {
        let wake = match inner.upgrade() {
            Some(inner) => inner.work().await,
            None => return,
        };
        tokio::select! {
            () = tokio::time::sleep_until(wake) => {}
            () = poke.notified() => {}
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it must be waited for.
    fn ask(&self, takes: Duration) -> Option<Result<Arc<Material>, Fault>> {
        let now = self.clock.now();
        let mut state = self.state();
        let serving = state.life.serve(takes, now);
        if state.life.wake(now).is_some_and(|at| at <= now.mono) {
            self.poke.notify_one();
        }
        match (serving, &state.held, &state.lacks) {
            (Serving::Token(_), Some(_), Some(lacks)) => Some(Err(self.managed.dead(lacks))),
            (Serving::Token(_), Some((_, material)), None) => Some(Ok(Arc::clone(material))),
            (Serving::Token(_), None, _) => Some(Err(Fault::internal("a token serves that nobody has"))),
            (Serving::Failing { retry_at, .. }, ..) => {
                let fault = state.last_error.as_ref().map(|(fault, _)| fault.clone());
                let fault = fault.unwrap_or_else(|| Fault::internal("a login failed for no reason"));
                let wait = now.mono.until(retry_at);
                Some(Err(if fault.is_retryable() { fault.with_retry_after(wait) } else { fault }))
            }
            (Serving::Dead, ..) => Some(Err(self.managed.dead(DEAD))),
            // Without the operator's secrets there is nothing to wait for.
            (Serving::Wait, ..) => {
                self.managed.fields.current().err().map(|reason| Err(self.unreadable(&reason)))
            }
        }
    }

    fn refused(&self, version: u64) -> Result<(), Fault> {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(held) = state.held.as_ref().filter(|(_, held)| held.version == version).map(|(v, _)| *v)
        else {
            return Ok(());
        };
        match state.life.refused(held, now) {
            Renewal::Serve => Ok(()),
            Renewal::Futile => Err(self.managed.dead("the system refuses it, fresh as it is")),
        }
    }

    /// The reason is the operator's to read: it names files.
    fn unreadable(&self, reason: &str) -> Fault {
        tracing::error!(credential = %self.managed.name, %reason, "a credential cannot be read");
        self.managed.dead("it cannot be read; Ferrata's status says why")
    }

    /// Does what is due, and says when to look again.
    async fn work(self: &Arc<Self>) -> Instant {
        let look = Instant::now() + LOOK_EVERY;
        loop {
            if !self.look_at_files() {
                return look;
            }
            let now = self.clock.now();
            let Some((first, family)) = self.state().begin(now) else { break };
            self.run(first, family).await;
        }
        self.tell();
        let state = self.state();
        let wake = state.life.wake(self.clock.now()).filter(|_| !state.is_closing);
        wake.and_then(|wake| self.clock.instant(wake)).map_or(look, |wake| wake.min(look))
    }

    /// Takes up what the operator changed. Whether there is anything to work with.
    fn look_at_files(&self) -> bool {
        let Ok(configured) = self.managed.fields.current() else { return self.state().family.is_some() };
        let mut state = self.state();
        if state.family.as_ref().is_some_and(|f| f.configured.version == configured.version) {
            return true;
        }
        let key = match self.key(&configured) {
            Ok(key) => key,
            Err(reason) => {
                tracing::error!(credential = %self.managed.name, %reason, "a credential's record has no name");
                return false;
            }
        };
        match state.family.replace(Family { key: Arc::clone(&key), configured }) {
            None => {}
            Some(before) if before.key == key => state.life.reconfigured(),
            Some(_) => state.life.reseeded(),
        }
        true
    }

    /// Connector, credential and seed: whoever has the same works on the same record.
    fn key(&self, configured: &Material) -> Result<Arc<str>, String> {
        let Managed { connector, name, keeping, .. } = &self.managed;
        let seed = match configured.fields.get(REFRESH_TOKEN).filter(|_| self.managed.is_mortal()) {
            Some(seed) => keeping.sealer.name(seed)?,
            None => "session".to_owned(),
        };
        Ok(format!("{connector}/{name}/{seed}").into())
    }
}

impl State {
    /// The first step of a run, with the secrets that it takes up.
    fn begin(&mut self, now: Now) -> Option<(Step, Family)> {
        let family = self.family.clone().filter(|_| !self.is_closing)?;
        let first = self.life.start(now)?;
        self.is_running = true;
        Some((first, family))
    }
}

/// What only a person can put right.
const DEAD: &str = "the identity provider does not accept it any more; somebody must consent again and replace the refresh token";
