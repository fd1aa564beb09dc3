//! One run: what the lifecycle says is done, step by step, with the secrets as they were when it began. The step that asks the provider is
//! [`exchange`](super::exchange)'s.

use std::sync::Arc;
use std::time::Duration;

use super::inner::{Family, Inner, State};
use crate::credential::Material;
use crate::credential::grant::REFRESH_TOKEN;
use crate::credential::lifecycle::lock;
use crate::credential::lifecycle::{Began, Committed, Kept, Latest, Lifecycle, Loaded, Step};
use crate::credential::record::{Record, SEALED_OTHERWISE};
use crate::credential::store::{Beginning, Commit, Entry, Owner, in_time};
use crate::fault::{Fault, FaultKind};
use crate::policy::time::Now;

pub(super) struct Run<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) owner: Owner,
    pub(super) family: Family,
    /// What was read from the store, or won, and is not in force yet.
    pub(super) candidate: Option<Record>,
    is_over: bool,
}

impl Inner {
    /// From the first step to rest.
    pub(super) async fn run(self: &Arc<Self>, first: Step, family: Family) {
        let mut run = Run { inner: self, owner: Owner::random(), family, candidate: None, is_over: false };
        run.go(first).await;
    }
}

/// However a run ends, the next one can begin.
impl Drop for Run<'_> {
    fn drop(&mut self) {
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        state.is_running = false;
        if !self.is_over {
            state.life.abandon(rand::random(), now);
        }
        drop(state);
        self.inner.changed.notify_waiters();
    }
}

impl Run<'_> {
    async fn go(&mut self, mut step: Step) {
        loop {
            step = match step {
                Step::Load => self.load().await,
                Step::Begin { version } => self.begin(version).await,
                Step::Exchange { .. } => self.exchange().await,
                Step::Commit { version } => self.commit(version).await,
                Step::Bury { version } => self.bury(version).await,
                Step::Release { spent } => {
                    self.release(spent).await;
                    Step::Rest
                }
                Step::Rest => break,
            };
            self.inner.tell();
        }
        self.is_over = true;
    }

    async fn load(&mut self) -> Step {
        let store = Arc::clone(&self.inner.managed.keeping.store);
        let found = match self.find().await {
            Ok(()) => in_time(store.load(&self.family.key)).await,
            Err(reason) => Err(reason),
        };
        let loaded = match found.and_then(|entry| self.open(entry)) {
            Ok(Some(latest)) => Loaded::Found(latest),
            Ok(None) => Loaded::Nothing,
            Err(reason) => {
                self.store_failed(&reason);
                Loaded::Unavailable
            }
        };
        let before = self.inner.state().life.adoptions();
        let step = self.answer(|life, random, now| life.loaded(loaded, random, now));
        let mut state = self.inner.state();
        if step == Step::Rest && state.life.adoptions() > before && state.lacks.is_some() {
            // Its operator may have put right why: whoever comes new to it tries once.
            state.life.reconfigured();
        }
        step
    }

    async fn begin(&mut self, version: u64) -> Step {
        let store = Arc::clone(&self.inner.managed.keeping.store);
        let ttl = self.inner.lock_time();
        let begun = in_time(store.begin(&self.family.key, version, self.owner, ttl)).await;
        let began = match begun {
            Ok(Beginning::Ours { unfinished }) => Ok(Began::Ours { unfinished }),
            Ok(Beginning::Held) => Ok(Began::Held),
            Ok(Beginning::Newer(entry)) => {
                self.open(Some(entry)).map(|found| found.map_or(Began::Held, Began::Newer))
            }
            Err(reason) => Err(reason),
        };
        let began = began.unwrap_or_else(|reason| {
            self.store_failed(&reason);
            Began::Unavailable
        });
        self.answer(|life, random, now| life.began(began, random, now))
    }

    async fn commit(&mut self, version: u64) -> Step {
        let now = self.inner.clock.now();
        let granted = self.inner.state().life.granted(now);
        let won = self.candidate.take().or_else(|| self.inner.state().uncommitted.take());
        let (Some((terms, age)), Some(record)) = (granted, won) else {
            // The operator replaced the seed meanwhile: what the old one won is let go.
            return self.answer(|life, random, now| life.committed(Committed::Unavailable, random, now));
        };
        let record = Record { terms, ..record };
        let committed = self.write(version, &record, age).await;
        match committed {
            Committed::Durable => self.candidate = Some(record),
            Committed::Unavailable => self.inner.state().uncommitted = Some(record),
            Committed::Superseded(_) => {}
        }
        self.answer(|life, random, now| life.committed(committed, random, now))
    }

    async fn bury(&mut self, version: u64) -> Step {
        let record = Record { is_dead: true, ..Record::default() };
        let buried = self.write(version, &record, Duration::ZERO).await;
        self.answer(|life, random, now| life.buried(buried, random, now))
    }

    async fn write(&mut self, version: u64, record: &Record, age: Duration) -> Committed {
        let keeping = self.inner.managed.keeping.clone();
        let written = match keeping.sealer.seal(&self.family.key, record) {
            Ok(sealed) => {
                let entry = Entry { version, sealed, age };
                in_time(keeping.store.commit(&self.family.key, self.owner, entry)).await
            }
            Err(reason) => Err(reason),
        };
        let committed = match written {
            Ok(Commit::Durable) => Ok(Committed::Durable),
            Ok(Commit::Superseded(entry)) => self
                .open(Some(entry))
                .map(|found| found.map_or(Committed::Unavailable, Committed::Superseded)),
            Err(reason) => Err(reason),
        };
        committed.unwrap_or_else(|reason| {
            self.store_failed(&reason);
            Committed::Unavailable
        })
    }

    async fn release(&self, spent: bool) {
        let store = &self.inner.managed.keeping.store;
        // The lock runs out by itself.
        if let Err(reason) = in_time(store.release(&self.family.key, self.owner, spent)).await {
            tracing::warn!(credential = %self.inner.managed.name, %reason, "a refresh's lock cannot be given back");
        }
    }

    /// A record from the store becomes the candidate.
    fn open(&mut self, entry: Option<Entry>) -> Result<Option<Latest>, String> {
        let Some(entry) = entry else { return Ok(None) };
        let record = self.inner.managed.keeping.sealer.open(&self.family.key, &entry.sealed)?;
        let (version, age, terms) = (entry.version, entry.age, record.terms);
        if record.is_dead {
            return Ok(Some(Latest::Dead { version }));
        }
        self.candidate = Some(record);
        Ok(Some(Latest::Kept(Kept { version, age, terms })))
    }

    /// Tells the lifecycle; a candidate that it takes up is in force at the same moment.
    pub(super) fn answer(&mut self, tell: impl FnOnce(&mut Lifecycle, u64, Now) -> Step) -> Step {
        let mut state = self.inner.state();
        let before = state.life.adoptions();
        let step = tell(&mut state.life, rand::random(), self.inner.clock.now());
        if state.life.adoptions() > before
            && let Some(record) = self.candidate.take()
        {
            state.take_up(&self.family.key, record);
        }
        drop(state);
        self.inner.changed.notify_waiters();
        step
    }

    pub(super) fn store_failed(&self, reason: &str) {
        let name = &self.inner.managed.name;
        tracing::warn!(credential = %name, %reason, "a credential's record cannot be reached");
        let why = if reason == SEALED_OTHERWISE { reason } else { "what is kept of it cannot be reached" };
        let message = format!("The credential `{name}` cannot be refreshed: {why}.");
        self.inner.note_error(Fault::new(FaultKind::Unavailable, message));
    }
}

impl Inner {
    /// How long a refresh's lock stands whose holder is gone.
    pub(super) fn lock_time(&self) -> Duration {
        lock::stands(self.managed.login_time)
    }

    pub(super) fn note_error(&self, fault: Fault) {
        let at = self.clock.now().wall;
        self.state().last_error = Some((fault, at));
    }
}

impl State {
    fn take_up(&mut self, key: &Arc<str>, record: Record) {
        let version = self.held.as_ref().map_or(1, |(_, material)| material.version + 1);
        let material = Material::new(version, record.fields.clone(), record.base_urls.clone());
        self.held = Some((self.life.in_hand(), Arc::new(material)));
        self.lacks = record.lacks.clone();
        let token = record.refresh_token.clone().map(|token| (REFRESH_TOKEN.to_owned(), token));
        self.kept = Some(Arc::new(Material::new(version, token.into_iter().collect(), Default::default())));
        self.record = Some((Arc::clone(key), Arc::new(record)));
        (self.uncommitted, self.last_error) = (None, None);
    }
}
