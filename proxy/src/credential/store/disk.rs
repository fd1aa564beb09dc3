//! Records in the state file, which no other process can open meanwhile: they outlive this one, its end at any point included.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::lock::Locks;
use super::{Answer, Beginning, Commit, Entry, Owner, Store};
use crate::state::disk::Disk;
use crate::state::stamp::Stamp;

/// From the record's key to its line, as JSON.
const CREDENTIALS: TableDefinition<&str, &[u8]> = TableDefinition::new("credentials");

/// The format of a line. A release that changes it reads this one still.
const FORMAT: u32 = 1;

/// Most families that are remembered. What is the oldest by a clock is not forgotten for that alone: a machine that does not know the time yet
/// may have written it, and its seed would be spent again.
const MOST_KEPT: usize = 4_096;

/// One key's line.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    format: u32,
    written: Option<Written>,
    intent: Option<Intent>,
    /// Of the last change.
    stamp: Stamp,
}

#[derive(Clone, Serialize, Deserialize)]
struct Written {
    version: u64,
    by: Owner,
    sealed: String,
    stamp: Stamp,
    /// How old its tokens were when it was written.
    age_ms: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Intent {
    version: u64,
    by: Owner,
}

impl Written {
    fn entry(&self) -> Result<Entry, String> {
        let sealed = STANDARD_NO_PAD.decode(&self.sealed).map_err(|e| format!("a record is damaged: {e}"))?;
        let since = self.stamp.elapsed_ms(&stamp());
        Ok(Entry {
            version: self.version,
            sealed,
            age: Duration::from_millis(self.age_ms.saturating_add(since)),
        })
    }
}

fn stamp() -> Stamp {
    Stamp::now(jiff::Timestamp::now().as_millisecond())
}

/// The records of a state file. Clones share it.
#[derive(Clone)]
pub struct OnDisk {
    disk: Disk,
    locks: Arc<Mutex<Locks>>,
}

impl OnDisk {
    /// The error is a sentence for the operator.
    pub fn open(disk: Disk) -> Result<Self, String> {
        let store = Self { disk, locks: Arc::default() };
        store.forget_oldest(MOST_KEPT)?;
        Ok(store)
    }

    /// All but so many.
    fn forget_oldest(&self, most: usize) -> Result<(), String> {
        let present = stamp();
        self.disk.transact(|transaction| {
            let mut table = transaction.open_table(CREDENTIALS)?;
            let mut ages = Vec::new();
            for entry in table.iter()? {
                let (key, line) = entry?;
                let line = serde_json::from_slice::<Line>(line.value());
                let age = line.map_or(0, |line| line.stamp.elapsed_ms(&present));
                ages.push((Reverse(age), key.value().to_owned()));
            }
            ages.sort_unstable();
            for (_, key) in ages.iter().take(ages.len().saturating_sub(most)) {
                table.remove(key.as_str())?;
            }
            Ok(())
        })
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a key's line and writes what `change` makes of it, durably, unless it leaves it as it is.
    fn change<T>(
        &self,
        key: &str,
        change: impl FnOnce(&mut Line) -> Result<(T, bool), String>,
    ) -> Result<T, String> {
        let changed = self.disk.transact(|transaction| {
            let mut table = transaction.open_table(CREDENTIALS)?;
            let found = table.get(key)?.map(|line| line.value().to_vec());
            let changed = line(found.as_deref()).and_then(|mut line| {
                let (result, is_changed) = change(&mut line)?;
                line.stamp = stamp();
                let bytes = serde_json::to_vec(&line).map_err(|e| e.to_string())?;
                Ok((result, is_changed.then_some(bytes)))
            });
            if let Ok((_, Some(bytes))) = &changed {
                table.insert(key, bytes.as_slice())?;
            }
            Ok(changed)
        })?;
        changed.map(|(result, _)| result)
    }

    fn begin_now(&self, key: &str, version: u64, owner: Owner, ttl: Duration) -> Result<Beginning, String> {
        self.change(key, |line| {
            if let Some(written) = line.written.as_ref().filter(|written| written.version > version) {
                return Ok((Beginning::Newer(written.entry()?), false));
            }
            if !self.locks().take(key, owner, ttl) {
                return Ok((Beginning::Held, false));
            }
            let before = line.intent.replace(Intent { version, by: owner });
            let unfinished = before.is_some_and(|intent| intent.version == version && intent.by != owner);
            Ok((Beginning::Ours { unfinished }, true))
        })
    }

    fn commit_now(&self, key: &str, owner: Owner, entry: &Entry) -> Result<Commit, String> {
        let committed = self.change(key, |line| {
            match &line.written {
                Some(written) if written.version == entry.version && written.by == owner => {}
                Some(written) if written.version >= entry.version => {
                    return Ok((Commit::Superseded(written.entry()?), false));
                }
                _ => line.written = Some(written(owner, entry)),
            }
            line.intent = None;
            Ok((Commit::Durable, true))
        })?;
        if committed == Commit::Durable {
            self.locks().give_back(key, owner);
        }
        Ok(committed)
    }

    fn release_now(&self, key: &str, owner: Owner, spent: bool) -> Result<(), String> {
        self.locks().give_back(key, owner);
        self.change(key, |line| {
            let is_ours = line.intent.as_ref().is_some_and(|intent| intent.by == owner);
            if is_ours && !spent {
                line.intent = None;
            }
            Ok(((), is_ours && !spent))
        })
    }

    /// The disk may take long, and the runtime's workers have other things to do.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store));
        done.await.unwrap_or_else(|e| Err(format!("the state file was let go of: {e}")))
    }
}

fn line(found: Option<&[u8]>) -> Result<Line, String> {
    let Some(bytes) = found else {
        return Ok(Line { format: FORMAT, written: None, intent: None, stamp: stamp() });
    };
    let line: Line = serde_json::from_slice(bytes).map_err(|e| format!("a record is damaged: {e}"))?;
    match line.format {
        FORMAT => Ok(line),
        other => Err(format!(
            "a record has format {other}, and this release knows {FORMAT}: run the one that wrote it"
        )),
    }
}

fn written(owner: Owner, entry: &Entry) -> Written {
    let age_ms = u64::try_from(entry.age.as_millis()).unwrap_or(u64::MAX);
    let sealed = STANDARD_NO_PAD.encode(&entry.sealed);
    Written { version: entry.version, by: owner, sealed, stamp: stamp(), age_ms }
}

impl Store for OnDisk {
    fn is_durable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        let key = key.to_owned();
        Box::pin(self.aside(move |store| {
            store.change(&key, |line| Ok((line.written.as_ref().map(Written::entry).transpose()?, false)))
        }))
    }

    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning> {
        let key = key.to_owned();
        Box::pin(self.aside(move |store| store.begin_now(&key, version, owner, ttl)))
    }

    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool> {
        Box::pin(std::future::ready(Ok(self.locks().holds(key, owner, needed))))
    }

    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit> {
        let key = key.to_owned();
        Box::pin(self.aside(move |store| store.commit_now(&key, owner, &entry)))
    }

    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()> {
        let key = key.to_owned();
        Box::pin(self.aside(move |store| store.release_now(&key, owner, spent)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store as _;
    use super::*;

    /// Writes a family's line as if that many days ago, in another boot.
    fn write_days_ago(store: &OnDisk, key: &str, days: i64) {
        let then = jiff::Timestamp::now().as_millisecond() - days * 86_400_000;
        let stamp = serde_json::json!({ "wall": then, "boot": null });
        let stamp: Stamp = serde_json::from_value(stamp).unwrap();
        let entry = Entry { version: 1, sealed: Vec::new(), age: Duration::ZERO };
        let written = Some(Written { stamp: stamp.clone(), ..written(Owner(1), &entry) });
        let line = serde_json::to_vec(&Line { format: FORMAT, written, intent: None, stamp }).unwrap();
        let write = |transaction: &redb::WriteTransaction| {
            transaction.open_table(CREDENTIALS)?.insert(key, line.as_slice())?;
            Ok(())
        };
        store.disk.transact(write).unwrap();
    }

    #[tokio::test]
    async fn what_seems_to_be_of_long_ago_is_not_forgotten_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let open = || OnDisk::open(Disk::open(&path).unwrap()).unwrap();
        let store = open();
        // By a clock that began in 1970.
        write_days_ago(&store, "k", 56 * 365);
        write_days_ago(&store, "young", 1);
        drop(store);
        let store = open();
        assert_eq!(store.load("k").await.unwrap().unwrap().version, 1);
        store.forget_oldest(1).unwrap();
        assert_eq!(store.load("k").await.unwrap(), None);
        assert!(store.load("young").await.unwrap().is_some());
    }
}
