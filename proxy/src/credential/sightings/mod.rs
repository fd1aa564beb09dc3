//! When the value of each secret was first seen, by whichever process saw it: a file that is mounted into a pod is as old as the pod, and
//! the key in it may be years old.
//!
//! Owns what this process knows of it, and asks the [store](super::store) for what others knew. What is remembered there, and for how long, is
//! [`remembered`]'s. Nobody waits for an answer: until there is one, an age is the least that it can be, and that is said.

mod remembered;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::SecretValue;
use super::keeping::Keeping;
use super::record::Sealer;
use super::store::{Commit, Entry, Owner, in_time};
use remembered::{Marked, Remembered};

/// What the record is called: with a name that only the key gives, so that fleets with different keys may share a store. Another format gets another
/// name: releases share a store while one replaces the other.
const RECORD: &str = "ages";

/// How often the store is asked though nothing has changed: what it forgot is given back.
const ASK_EVERY_SECONDS: i64 = 3_600;

/// How often it is tried to write where others write meanwhile, before that is left to the next look.
const MOST_ATTEMPTS: u32 = 4;

/// A machine that believes to be before this does not know the time yet, and nothing is as old as it would say.
const EARLIEST: Timestamp = Timestamp::constant(1_767_225_600, 0);

const NOT_ASKED: &str = "what is remembered of it has not been read yet";
const WRONG_CLOCK: &str = "this machine does not know the time";
const TOO_MANY: &str = "more secrets are in use than are remembered";

/// A secret that is in use.
pub struct Sighting {
    /// Connector, credential and field.
    pub place: String,
    pub secret: SecretValue,
    /// When it was put where it is read from, if that is known.
    pub changed: Option<Timestamp>,
}

/// Since when a secret is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    pub at: Option<Timestamp>,
    /// Why it may be older, as the end of a sentence.
    pub doubt: Option<Arc<str>>,
}

/// What a process knows, and where more is remembered.
pub struct Sightings {
    keeping: Result<Keeping, Arc<str>>,
    sealer: Arc<Sealer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By mark: the values that were in use when somebody looked.
    known: BTreeMap<String, Known>,
    asked: Option<Timestamp>,
    /// Why the store could not be asked.
    trouble: Option<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Known {
    since: Timestamp,
    asked: bool,
    is_remembered: bool,
}

impl Sightings {
    /// Remembered there, or for a reason (the end of a sentence) only as long as this process lives.
    pub fn new(keeping: Result<Keeping, Arc<str>>) -> Self {
        let sealer = match &keeping {
            Ok(keeping) => Arc::clone(&keeping.sealer),
            Err(_) => Arc::new(Sealer::of_this_process()),
        };
        Self { keeping, sealer, state: Mutex::default() }
    }

    /// What is known of a secret now.
    pub fn since(&self, secret: &SecretValue) -> Since {
        let state = self.state();
        let known = self.sealer.name(secret).ok().and_then(|mark| state.known.get(&mark));
        let doubt = match (&self.keeping, known) {
            (_, Some(known)) if known.is_remembered => None,
            (Err(reason), _) => Some(Arc::clone(reason)),
            (Ok(_), Some(known)) if known.asked => Some(TOO_MANY.into()),
            (Ok(_), _) => Some(state.trouble.clone().unwrap_or_else(|| NOT_ASKED.into())),
        };
        Since { at: known.map(|known| known.since), doubt }
    }

    /// Takes up what is in use now, and asks the store if need be. To be called now and then; takes as long as the store, within bounds.
    pub async fn look(&self, in_use: &[Sighting], now: Timestamp) {
        if now < EARLIEST {
            return self.state().note(Some(WRONG_CLOCK.into()));
        }
        let marked =
            match in_use.iter().map(|sighting| self.marked(sighting, now)).collect::<Result<Vec<_>, _>>() {
                Ok(marked) => marked,
                Err(reason) => return self.state().note(Some(reason.into())),
            };
        let is_due = self.state().notice(&marked, now);
        let Ok(keeping) = self.keeping.as_ref() else { return };
        if !is_due {
            return;
        }
        let mut found = Remembered::default();
        let written = remember(keeping, &marked, now, &mut found).await;
        self.state().learn(&found, written, now);
    }

    fn marked(&self, sighting: &Sighting, now: Timestamp) -> Result<Marked, String> {
        let mark = self.sealer.name(&sighting.secret)?;
        let known = self.state().known.get(&mark).map(|known| known.since);
        let since = [Some(now), sighting.changed, known].into_iter().flatten().min().unwrap_or(now);
        Ok(Marked { place: sighting.place.clone(), mark, since })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Knows what is in use and nothing else. Whether the store must be asked.
    fn notice(&mut self, in_use: &[Marked], now: Timestamp) -> bool {
        let before = std::mem::take(&mut self.known);
        for marked in in_use {
            let new = Known { since: marked.since, asked: false, is_remembered: false };
            let known = before.get(&marked.mark).copied().unwrap_or(new);
            let since = known.since.min(marked.since);
            let known = self.known.entry(marked.mark.clone()).or_insert(known);
            known.since = known.since.min(since);
        }
        let is_time = |asked: Timestamp| {
            now.as_second().abs_diff(asked.as_second()) >= ASK_EVERY_SECONDS.unsigned_abs()
        };
        let is_new = self.known.values().any(|known| !known.asked);
        is_new || (!self.known.is_empty() && self.asked.is_none_or(is_time))
    }

    /// What was found counts, whether or not the rest could be written beside it.
    fn learn(&mut self, found: &Remembered, written: Result<(), String>, now: Timestamp) {
        for (mark, known) in &mut self.known {
            let since = found.since(mark);
            known.since = since.map_or(known.since, |since| since.min(known.since));
            if written.is_ok() {
                (known.asked, known.is_remembered) = (true, since.is_some());
            }
        }
        if written.is_ok() {
            self.asked = Some(now);
        }
        self.note(written.err().map(Arc::from));
    }

    /// Trouble is said when it begins: a store that is away gives now one reason, now another.
    fn note(&mut self, trouble: Option<Arc<str>>) {
        if let Some(reason) = trouble.as_ref().filter(|_| self.trouble.is_none()) {
            tracing::warn!(%reason, "secrets may be older than is known: what is remembered of them cannot be used");
        }
        self.trouble = trouble;
    }
}

/// Reads what is remembered into `found`, and writes down what is in use now. The error is the end of a sentence.
async fn remember(
    keeping: &Keeping,
    in_use: &[Marked],
    now: Timestamp,
    found: &mut Remembered,
) -> Result<(), String> {
    let Keeping { store, sealer } = keeping;
    let name = format!("{RECORD}/{}", sealer.name(&SecretValue::public(RECORD.into()))?);
    let mut entry = in_time(store.load(&name)).await?;
    for _ in 0..MOST_ATTEMPTS {
        let version;
        (version, *found) = opened(sealer, &name, entry)?;
        if !found.take_up(in_use, now) {
            return Ok(());
        }
        let text = serde_json::to_vec(found).map_err(|e| e.to_string())?;
        let sealed = sealer.seal_text(&name, text)?;
        let new = Entry { version: version + 1, sealed, age: Duration::ZERO };
        match in_time(store.commit(&name, Owner::random(), new)).await? {
            Commit::Durable => return Ok(()),
            Commit::Superseded(newer) => entry = Some(newer),
        }
    }
    Err("others write there again and again".to_owned())
}

fn opened(sealer: &Sealer, name: &str, entry: Option<Entry>) -> Result<(u64, Remembered), String> {
    let Some(entry) = entry else { return Ok((0, Remembered::default())) };
    let text = sealer.open_text(name, &entry.sealed)?;
    let remembered = serde_json::from_slice(&text).map_err(|e| format!("a record is damaged: {e}"))?;
    Ok((entry.version, remembered))
}
