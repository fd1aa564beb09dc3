//! Counts on disk: what a sidecar may spend is written down before it is spent, so that no crash gives quota back.
//!
//! Owns the file and its format. What is written, and what it means after a restart, is [`policy::limit`](crate::policy::limit)'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use crate::policy::limit::{Limits, Pause, WallKey, Written};
use crate::policy::time::{Moment, Now};

/// The format of this release. A release that changes it reads this one still.
const FORMAT: u64 = 1;

/// What the file as a whole says of itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("ferrata");

/// From account and wall to the last that was written of it, both as JSON.
const WALLS: TableDefinition<&str, &[u8]> = TableDefinition::new("walls");

/// From account and scope to the last pause there, both as JSON.
const PAUSES: TableDefinition<&str, &[u8]> = TableDefinition::new("pauses");

/// How long a wall that is not configured any more is remembered, in milliseconds: longer than any window, should it come back.
const KEPT_MS: u64 = 32 * 86_400_000;

/// The file's pages that are kept in memory, in bytes: it holds a few kilobytes per wall.
const CACHE_BYTES: usize = 1 << 20;

/// One file with the counts of all accounts. Clones share it.
#[derive(Clone)]
pub struct Disk {
    path: Arc<PathBuf>,
    database: Arc<Database>,
}

/// What changes in the file at once.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub walls: Vec<Written>,
    pub pauses: Vec<Pause>,
    pub forgotten: Vec<WallKey>,
}

/// One wall as it is on disk.
#[derive(Serialize, Deserialize)]
struct Record {
    account: String,
    stamp: Stamp,
    written: Written,
}

/// One scope that the system closed, as it is on disk.
#[derive(Serialize, Deserialize)]
struct Closed {
    account: String,
    stamp: Stamp,
    operation: Option<Arc<str>>,
    resource: Option<Arc<str>>,
    left_ms: u64,
}

impl Disk {
    /// Opens the file, or makes it. The error is a sentence for the operator.
    pub fn open(path: &Path) -> Result<Self, String> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|e| cannot_open(path, &e))?;
        let disk = Self { path: Arc::new(path.to_owned()), database: Arc::new(database) };
        disk.check_format()?;
        Ok(disk)
    }

    fn check_format(&self) -> Result<(), String> {
        let found = self.transact(|transaction| {
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            transaction.open_table(WALLS)?;
            transaction.open_table(PAUSES)?;
            Ok(found)
        })?;
        match found {
            Some(format) if format > FORMAT => Err(format!(
                "the state file {} has format {format}, and this release knows {FORMAT}: run the release that wrote it",
                self.path.display()
            )),
            _ => Ok(()),
        }
    }

    /// Takes up what was counted for `account`, and writes it anew: what was open is spent from now on, and what no longer counts is gone.
    pub fn restore(&self, account: &str, limits: &mut Limits, now: Now) -> Result<(), String> {
        let present = Stamp::now(now.wall);
        let mut over = Vec::new();
        self.read(PAUSES, |key, value| {
            let closed: Closed = serde_json::from_slice(value).map_err(|e| e.to_string())?;
            let left_ms = closed.left_ms.saturating_sub(closed.stamp.elapsed_ms(&present));
            if left_ms == 0 {
                over.push(key.to_owned());
            } else if closed.account == account {
                let until = Moment(now.mono.0.saturating_add(left_ms));
                limits.hear(&Pause { operation: closed.operation, resource: closed.resource, until }, now);
            }
            Ok(())
        })?;
        let mut taken = Vec::new();
        self.read(WALLS, |key, value| {
            let record: Record = serde_json::from_slice(value).map_err(|e| e.to_string())?;
            let elapsed_ms = record.stamp.elapsed_ms(&present);
            if record.account == account
                && (limits.restore(&record.written, elapsed_ms, now) || elapsed_ms > KEPT_MS)
            {
                taken.push(key.to_owned());
            }
            Ok(())
        })?;
        let records = records(account, &limits.last_words(now), now)?;
        self.transact(|transaction| {
            let mut table = transaction.open_table(WALLS)?;
            remove(&mut table, &taken)?;
            insert(&mut table, &records)?;
            remove(&mut transaction.open_table(PAUSES)?, &over)
        })
    }

    /// Writes and syncs, and takes off the file what counts no more: what was forgotten, and, when there are others, pauses that are over. Blocks
    /// for as long as the disk takes.
    pub fn write(&self, account: &str, change: &Change, now: Now) -> Result<(), String> {
        let Change { walls, pauses, forgotten } = change;
        let (walls, pauses) = (records(account, walls, now)?, closed(account, pauses, now)?);
        let forgotten = forgotten.iter().map(|key| key_of(account, key)).collect::<Result<Vec<_>, _>>()?;
        let over = if pauses.is_empty() { Vec::new() } else { self.pauses_over(&Stamp::now(now.wall))? };
        self.transact(|transaction| {
            let mut table = transaction.open_table(WALLS)?;
            remove(&mut table, &forgotten)?;
            insert(&mut table, &walls)?;
            let mut table = transaction.open_table(PAUSES)?;
            remove(&mut table, &over)?;
            insert(&mut table, &pauses)
        })
    }

    /// The keys of the pauses that are over, of all accounts.
    fn pauses_over(&self, present: &Stamp) -> Result<Vec<String>, String> {
        let mut over = Vec::new();
        self.read(PAUSES, |key, value| {
            let closed: Closed = serde_json::from_slice(value).map_err(|e| e.to_string())?;
            if closed.left_ms <= closed.stamp.elapsed_ms(present) {
                over.push(key.to_owned());
            }
            Ok(())
        })?;
        Ok(over)
    }

    /// Commits with a sync: when it returns, it survives.
    pub(crate) fn transact<T>(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, String> {
        let transaction = self.database.begin_write().map_err(|e| self.failed("written", &e))?;
        let done = work(&transaction).map_err(|e| self.failed("written", &e))?;
        transaction.commit().map_err(|e| self.failed("written", &e))?;
        Ok(done)
    }

    fn read(
        &self,
        table: TableDefinition<&str, &[u8]>,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let transaction = self.database.begin_read().map_err(|e| self.failed("read", &e))?;
        let table = transaction.open_table(table).map_err(|e| self.failed("read", &e))?;
        for entry in table.iter().map_err(|e| self.failed("read", &e))? {
            let (key, value) = entry.map_err(|e| self.failed("read", &e))?;
            each(key.value(), value.value()).map_err(|e| self.failed("read", &e))?;
        }
        Ok(())
    }

    fn failed(&self, what: &str, why: &dyn std::fmt::Display) -> String {
        format!("the state file {} cannot be {what}: {why}", self.path.display())
    }
}

/// Keys and values.
type Records = Vec<(String, Vec<u8>)>;

fn records(account: &str, walls: &[Written], now: Now) -> Result<Records, String> {
    let stamp = Stamp::now(now.wall);
    let record = |written: &Written| {
        let key = serde_json::to_string(&(account, &written.key))?;
        let record = Record { account: account.to_owned(), stamp: stamp.clone(), written: written.clone() };
        Ok((key, serde_json::to_vec(&record)?))
    };
    walls.iter().map(record).collect::<Result<_, serde_json::Error>>().map_err(|e| e.to_string())
}

fn closed(account: &str, pauses: &[Pause], now: Now) -> Result<Records, String> {
    let stamp = Stamp::now(now.wall);
    let record = |pause: &Pause| {
        let Pause { operation, resource, until } = pause.clone();
        let key = serde_json::to_string(&(account, &operation, &resource))?;
        let left_ms = until.0.saturating_sub(now.mono.0);
        let closed =
            Closed { account: account.to_owned(), stamp: stamp.clone(), operation, resource, left_ms };
        Ok((key, serde_json::to_vec(&closed)?))
    };
    pauses.iter().map(record).collect::<Result<_, serde_json::Error>>().map_err(|e| e.to_string())
}

fn key_of(account: &str, key: &WallKey) -> Result<String, String> {
    serde_json::to_string(&(account, key)).map_err(|e| e.to_string())
}

fn remove(table: &mut redb::Table<&str, &[u8]>, keys: &[String]) -> Result<(), redb::Error> {
    for key in keys {
        table.remove(key.as_str())?;
    }
    Ok(())
}

fn insert(table: &mut redb::Table<&str, &[u8]>, records: &Records) -> Result<(), redb::Error> {
    for (key, value) in records {
        table.insert(key.as_str(), value.as_slice())?;
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &DatabaseError) -> String {
    let path = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            format!(
                "the state file {path} is in use by another process: each sidecar needs its own, or all share a Redis"
            )
        }
        DatabaseError::Storage(redb::StorageError::Io(e)) if e.kind() != std::io::ErrorKind::InvalidData => {
            format!("the state file {path} cannot be opened: {e}")
        }
        error => format!(
            "the state file {path} is damaged ({error}): move it away to begin anew; what was spent of each wall is then not known"
        ),
    }
}

#[cfg(test)]
mod tests;
