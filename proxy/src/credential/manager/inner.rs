//! What a manager and its task share: the secrets in hand, and what they are told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Managed;
use crate::clock::Clock;
use crate::credential::Material;
use crate::credential::grant::{Login, REFRESH_TOKEN};
use crate::credential::lifecycle::{Lifecycle, Renewal, Serving, Settings, Step};
use crate::credential::record::Record;
use crate::fault::Fault;
use crate::policy::time::Now;

/// How often the operator's files are looked at while nothing else is to be done.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long what was won and cannot be written is kept after its manager is gone: a store that is away for longer has been given up.
const KEPT_UNWRITTEN: Duration = Duration::from_secs(3600);

/// What only a person can put right.
pub const DEAD: &str = "the identity provider does not accept it any more; somebody must consent again and replace the refresh token";

pub struct Inner {
    pub managed: Managed,
    pub clock: Clock,
    /// Those who can log in, the newest last; each generation of the connector brings its own.
    pub logins: Mutex<Vec<Arc<dyn Login>>>,
    pub state: Mutex<State>,
    /// Whoever waits for a token looks again.
    pub changed: Notify,
    /// The task looks again.
    pub poke: Arc<Notify>,
}

pub struct State {
    pub life: Lifecycle,
    pub is_driven: bool,
    pub is_running: bool,
    /// No run begins any more.
    pub is_closing: bool,
    /// The secrets in hand, with the version that the lifecycle knows them by. Their own version grows over all families.
    pub held: Option<(u64, Arc<Material>)>,
    /// Why what is in hand cannot be used.
    pub lacks: Option<String>,
    pub family: Option<Family>,
    /// The newest record, with its key, and its refresh token for scrubbing.
    pub record: Option<(Arc<str>, Arc<Record>)>,
    pub kept: Option<Arc<Material>>,
    /// Won, and not yet durable.
    pub uncommitted: Option<Record>,
    /// The last, and when that was, in milliseconds since 1970; none after a success.
    pub last_error: Option<(Fault, i64)>,
    /// When the store was last told what is known.
    pub vouched: Option<Instant>,
    /// When it was last found to have lost the record, in milliseconds since 1970.
    pub lost_at: Option<i64>,
}

/// What a record is kept by, and what of the operator's it belongs to.
#[derive(Clone)]
pub struct Family {
    /// What a record is called that is begun here.
    pub name: Arc<str>,
    /// What it is called: [`found`](super::found) looks.
    pub key: Arc<str>,
    pub is_found: bool,
    pub configured: Arc<Material>,
}

impl Inner {
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
            vouched: None,
            lost_at: None,
        };
        Self {
            managed,
            clock: Clock::start(),
            logins: Mutex::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            poke: Arc::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it must be waited for.
    pub fn ask(&self, takes: Duration) -> Option<Result<Arc<Material>, Fault>> {
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

    pub fn refused(&self, version: u64) -> Result<(), Fault> {
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
    pub async fn work(self: &Arc<Self>) -> Instant {
        let look = Instant::now() + LOOK_EVERY;
        self.vouch().await;
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
        let wake = state.life.wake(self.clock.now()).filter(|_| state.may_begin());
        wake.and_then(|wake| self.clock.instant(wake)).map_or(look, |wake| wake.min(look))
    }

    /// Brings a refresh that is under way to its end, and begins no other: what a provider has answered must not be lost. Waits for as long
    /// as it is not durable.
    pub async fn finish(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state();
                state.is_closing = true;
                if !state.is_running && !state.life.is_owing() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Whether something was won that would be lost with this.
    pub fn has_unwritten(&self) -> bool {
        let granted = self.state().life.granted(self.clock.now());
        granted.is_some_and(|(_, age)| age < KEPT_UNWRITTEN)
    }

    /// Takes up what the operator changed. Whether there is anything to work with.
    fn look_at_files(&self) -> bool {
        let Ok(configured) = self.managed.fields.current() else { return self.state().family.is_some() };
        let mut state = self.state();
        if state.family.as_ref().is_some_and(|f| f.configured.version == configured.version) {
            return true;
        }
        let name = match self.name(&configured) {
            Ok(name) => name,
            Err(reason) => {
                tracing::error!(credential = %self.managed.name, %reason, "a credential's record has no name");
                return false;
            }
        };
        let fresh = Family { key: Arc::clone(&name), name, is_found: false, configured };
        match state.family.take() {
            Some(before) if before.name == fresh.name => {
                state.family = Some(Family { configured: fresh.configured, ..before });
                state.life.reconfigured();
            }
            before => {
                state.family = Some(fresh);
                if before.is_some() {
                    state.life.reseeded();
                }
            }
        }
        true
    }

    /// Connector, credential and seed: whoever has the same works on the same record.
    fn name(&self, configured: &Material) -> Result<Arc<str>, String> {
        let Managed { connector, name, keeping, .. } = &self.managed;
        let seed = match configured.fields.get(REFRESH_TOKEN).filter(|_| self.managed.is_mortal()) {
            Some(seed) => keeping.sealer.name(seed)?,
            None => "session".to_owned(),
        };
        Ok(format!("{connector}/{name}/{seed}").into())
    }
}

impl State {
    /// What was granted is written down to the last.
    fn may_begin(&self) -> bool {
        !self.is_closing || self.life.is_owing()
    }

    /// The first step of a run, with the secrets that it takes up.
    fn begin(&mut self, now: Now) -> Option<(Step, Family)> {
        let family = self.family.clone().filter(|_| self.may_begin())?;
        let first = self.life.start(now)?;
        self.is_running = true;
        Some((first, family))
    }
}
