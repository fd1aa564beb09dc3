//! Keeps one credential alive: callers wait here for secrets, and a task of its own refreshes them in time.
//!
//! Owns the secrets in hand and the clock that the [lifecycle](super::lifecycle) is told; what is to be done is the lifecycle's to
//! say, where it is kept the [store](super::store)'s, how it is won the [login](super::grant::Login)'s. The callers' side is here, what it
//! shares with the task in [`inner`], a run of the task in [`run`], [`found`] and [`exchange`], what people are told in [`tell`] and [`status`], what a store is told in [`vouch`].

mod exchange;
mod found;
mod inner;
mod run;
mod status;
mod tell;
#[cfg(test)]
mod tests;
mod vouch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::fixed::FixedFields;
use super::grant::Login;
use super::keeping::Keeping;
use super::lifecycle::Failure;
use super::{Material, SecretValue};
use crate::call::Deadline;
use crate::config::CredentialKind;
use crate::fault::{Fault, FaultKind};
use inner::Inner;
pub use status::Status;
pub(super) use status::instant;

/// How long one login may take by default: a few exchanges with a slow identity provider.
pub const LOGIN_TIME: Duration = Duration::from_secs(15);

/// What is managed.
pub struct Managed {
    pub connector: Arc<str>,
    /// The credential's name.
    pub name: Arc<str>,
    pub kind: CredentialKind,
    /// What the operator configured.
    pub fields: Arc<FixedFields>,
    /// Fields beside those: a user's own token, of which there may come a newer one.
    pub extra: ArcSwap<BTreeMap<String, SecretValue>>,
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

impl Manager {
    pub fn new(managed: Managed) -> Self {
        Self(Arc::new(Inner::new(managed)))
    }

    /// Wires one more who can log in. The newest that is still there does.
    pub fn add_login(&self, login: Arc<dyn Login>) {
        let mut logins = self.0.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|login| login.is_alive());
        logins.push(login);
        drop(logins);
        // What the one before it won and could not be used may be what it knows to use.
        let mut state = self.0.state();
        if state.lacks.is_some() {
            state.life.reconfigured();
            self.0.poke.notify_one();
        }
    }

    /// Has the next login made with these fields beside the operator's; what is in hand serves until then. `anew`: if the ones before were refused,
    /// these are tried at once.
    pub fn take_newer(&self, extra: BTreeMap<String, SecretValue>, anew: bool) {
        self.0.managed.extra.store(Arc::new(extra));
        let now = self.0.clock.now();
        let mut state = self.0.state();
        if anew && matches!(state.life.view(now).failing, Some((Failure::Refused, ..))) {
            state.life.reconfigured();
        }
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

/// All managers that there are, and those that nobody has any more for as long as something is under way.
#[derive(Default)]
pub struct Managers(Mutex<Vec<Weak<Inner>>>);

impl Managers {
    /// Includes one more.
    pub fn follow(&self, manager: &Manager) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|inner| inner.strong_count() > 0);
        all.push(Arc::downgrade(&manager.0));
    }

    /// Brings every refresh that is under way to its end, and begins no other.
    pub async fn finish(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let there: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        join_all(there.iter().map(|inner| inner.finish())).await;
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.0.poke.notify_one();
    }
}

/// Sleeps between runs without holding what it serves, unless something was won that nobody else has.
async fn drive(inner: Weak<Inner>, poke: Arc<Notify>) {
    let mut kept = None;
    while let Some(inner) = kept.take().or_else(|| inner.upgrade()) {
        let wake = inner.work().await;
        kept = inner.has_unwritten().then_some(inner);
        tokio::select! {
            () = tokio::time::sleep_until(wake) => {}
            () = poke.notified() => {}
        }
    }
}
