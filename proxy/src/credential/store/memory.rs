//! Records that end with the process: enough for what can be won anew.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lock::Locks;
use super::{Answer, Beginning, Commit, Entry, Owner, Store};

#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    locks: Locks,
    /// As many as there are credentials and seeds that a process has seen.
    slots: HashMap<String, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    kept: Option<Kept>,
    intent: Option<(u64, Owner)>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    since: Instant,
    by: Owner,
}

impl Kept {
    fn now(&self) -> Entry {
        Entry { age: self.entry.age + self.since.elapsed(), ..self.entry.clone() }
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, key: &str, version: u64, owner: Owner, ttl: Duration) -> Beginning {
        let slot = self.slots.entry(key.to_owned()).or_default();
        if let Some(kept) = slot.kept.as_ref().filter(|kept| kept.entry.version > version) {
            return Beginning::Newer(kept.now());
        }
        if !self.locks.take(key, owner, ttl) {
            return Beginning::Held;
        }
        let before = slot.intent.replace((version, owner));
        Beginning::Ours { unfinished: before.is_some_and(|(v, by)| v == version && by != owner) }
    }

    fn commit(&mut self, key: &str, owner: Owner, entry: Entry) -> Commit {
        let slot = self.slots.entry(key.to_owned()).or_default();
        match &slot.kept {
            Some(kept) if kept.entry.version == entry.version && kept.by == owner => {}
            Some(kept) if kept.entry.version >= entry.version => return Commit::Superseded(kept.now()),
            _ => slot.kept = Some(Kept { entry, since: Instant::now(), by: owner }),
        }
        slot.intent = None;
        self.locks.give_back(key, owner);
        Commit::Durable
    }

    fn release(&mut self, key: &str, owner: Owner, spent: bool) {
        self.locks.give_back(key, owner);
        if let Some(slot) = self.slots.get_mut(key)
            && !spent
        {
            slot.intent = slot.intent.filter(|(_, by)| *by != owner);
        }
    }
}

impl Store for Memory {
    fn is_durable(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        let state = self.state();
        let kept = state.slots.get(key).and_then(|slot| slot.kept.as_ref()).map(Kept::now);
        Box::pin(ready(Ok(kept)))
    }

    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning> {
        Box::pin(ready(Ok(self.state().begin(key, version, owner, ttl))))
    }

    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool> {
        Box::pin(ready(Ok(self.state().locks.holds(key, owner, needed))))
    }

    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit> {
        Box::pin(ready(Ok(self.state().commit(key, owner, entry))))
    }

    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()> {
        self.state().release(key, owner, spent);
        Box::pin(ready(Ok(())))
    }
}
