//! Counts on disk: what a sidecar may spend is written down before it is spent, so that no crash gives quota back.
//!
//! Owns the file and its format. What is written, and what it means after a restart, is [`policy::limit`](crate::policy::limit)'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use crate::policy::limit::{Limits, Written};
use crate::policy::time::Now;

/// The format of this release. A release that changes it reads this one still.
const FORMAT: u64 = 1;

/// What the file as a whole says of itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("ferrata");

/// From account and wall to the last that was written of it, both as JSON.
const WALLS: TableDefinition<&str, &[u8]> = TableDefinition::new("walls");

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

/// One wall as it is on disk.
#[derive(Serialize, Deserialize)]
struct Record {
    account: String,
    stamp: Stamp,
    written: Written,
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
        let mut taken = Vec::new();
        self.read(|key, value| {
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
            for key in &taken {
                table.remove(key.as_str())?;
            }
            insert(&mut table, &records)
        })
    }

    /// Writes and syncs. Blocks for as long as the disk takes.
    pub fn write(&self, account: &str, walls: &[Written], now: Now) -> Result<(), String> {
        let records = records(account, walls, now)?;
        self.transact(|transaction| insert(&mut transaction.open_table(WALLS)?, &records))
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

    fn read(&self, mut each: impl FnMut(&str, &[u8]) -> Result<(), String>) -> Result<(), String> {
        let transaction = self.database.begin_read().map_err(|e| self.failed("read", &e))?;
        let table = transaction.open_table(WALLS).map_err(|e| self.failed("read", &e))?;
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
mod tests {
    use super::*;
    use crate::policy::Priority;
    use crate::policy::limit::{Asked, Keeping, Reason, Source, Wall, WallSet};
    use crate::policy::time::Moment;

    const START: i64 = 1_767_225_600_000;

    fn at(ms: u64) -> Now {
        Now { mono: Moment(ms), wall: START.saturating_add_unsigned(ms) }
    }

    fn limits(walls: &[&str]) -> Limits {
        let walls = walls.iter().map(|w| Wall::new(w.parse().unwrap(), Source::Operator));
        Limits::kept(&WallSet::new(walls).unwrap(), Keeping::Disk { since: Moment(0) })
    }

    const ASKED: Asked =
        Asked { operation: "read", resource: None, cost: 1, priority: Priority::Interactive, owner: None };

    fn write_due(limits: &mut Limits, disk: &Disk, now: Now) -> usize {
        let due = limits.to_write(now);
        let walls: Vec<_> = due.iter().map(|r| r.written.clone()).collect();
        disk.write("acme", &walls, now).unwrap();
        due.iter().for_each(|r| limits.written(r));
        due.len()
    }

    /// Spends all there is, writing as needed; returns how much and how often it was written.
    fn spend(limits: &mut Limits, disk: &Disk, now: Now) -> (u64, usize) {
        let (mut spent, mut writes) = (0, 0);
        loop {
            match limits.try_acquire(&ASKED, now) {
                Ok(charge) => {
                    limits.answered(charge, now);
                    spent += 1;
                }
                Err(refused) if refused.reason == Reason::Reserving => writes += write_due(limits, disk, now),
                Err(_) => return (spent, writes),
            }
        }
    }

    #[test]
    fn a_crash_wastes_at_most_a_block_and_gives_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let mut total = 0;
        for _ in 0..5 {
            let disk = Disk::open(&path).unwrap();
            let mut limits = limits(&["1000/24h"]);
            disk.restore("acme", &mut limits, at(0)).unwrap();
            for _ in 0..33 {
                match limits.try_acquire(&ASKED, at(0)) {
                    Ok(charge) => limits.answered(charge, at(0)),
                    Err(_) => {
                        write_due(&mut limits, &disk, at(0));
                        continue;
                    }
                }
                total += 1;
            }
        }
        let disk = Disk::open(&path).unwrap();
        let mut limits = limits(&["1000/24h"]);
        disk.restore("acme", &mut limits, at(0)).unwrap();
        let (rest, writes) = spend(&mut limits, &disk, at(0));
        assert!((1_000 - 5 * 10..=1_000).contains(&(total + rest)), "{total} + {rest}");
        assert!(writes <= 200, "{writes}");
        drop((limits, disk));
        let mut limits = self::limits(&["1000/24h"]);
        Disk::open(&path).unwrap().restore("acme", &mut limits, at(0)).unwrap();
        assert_eq!(limits.try_acquire(&ASKED, at(0)).unwrap_err().reason, Reason::Window);
    }

    #[test]
    fn a_restart_counts_on_where_the_last_left() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
        let mut before = limits(&["20/min", "30/day Europe/Berlin"]);
        assert_eq!(spend(&mut before, &disk, at(100_000)).0, 20);
        disk.write("acme", &before.last_words(at(110_000)), at(110_000)).unwrap();
        // The new process counts its time from elsewhere; its clock has gone on by 30 s, or cannot be compared.
        let now = Now { mono: Moment(5), wall: at(140_000).wall };
        let mut after = limits(&["20/min", "30/day Europe/Berlin"]);
        disk.restore("acme", &mut after, now).unwrap();
        let usage = after.usage(now);
        assert_eq!((usage[0].used, usage[1].used), (20, 20));
        assert_eq!(limits(&["20/min"]).usage(now)[0].used, 0);
    }

    #[test]
    fn what_no_longer_counts_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
        let count = || {
            let mut count = 0;
            disk.read(|_, _| {
                count += 1;
                Ok(())
            })
            .unwrap();
            count
        };
        let mut first = limits(&["20/3s", "1000/24h"]);
        spend(&mut first, &disk, at(0));
        assert_eq!(count(), 2);
        // Both were open, and count as spent from now on; then the short one is over.
        disk.restore("acme", &mut limits(&["20/3s", "1000/24h"]), at(0)).unwrap();
        assert_eq!(count(), 2);
        let mut later = limits(&["20/3s", "1000/24h"]);
        let mut forgotten = Vec::new();
        disk.read(|_, value| {
            forgotten.push(serde_json::from_slice::<Record>(value).unwrap().written);
            Ok(())
        })
        .unwrap();
        assert!(forgotten.iter().all(|written| later.restore(written, 3_001, at(0))));
        assert_eq!(later.last_words(at(0)).len(), 1);
    }

    #[test]
    fn short_windows_are_waited_for() {
        let mut limits = limits(&["1/s"]);
        let refused = limits.try_acquire(&ASKED, at(0)).unwrap_err();
        assert_eq!((refused.reason, refused.retry_at), (Reason::Window, Some(at(1_001))));
        assert!(limits.try_acquire(&ASKED, at(1_001)).is_ok());
        assert!(!limits.wants_store());
    }

    #[test]
    fn a_damaged_file_and_one_in_use_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        std::fs::write(&path, vec![7; 9_000]).unwrap();
        let why = Disk::open(&path).err().unwrap();
        assert!(why.contains("is damaged") && why.contains("state.redb"), "{why}");
        let path = folder.path().join("other.redb");
        let _first = Disk::open(&path).unwrap();
        assert!(Disk::open(&path).err().unwrap().contains("in use"));
        assert!(Disk::open(&folder.path().join("none/x")).err().unwrap().contains("cannot be opened"));
    }

    #[test]
    fn a_later_format_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let disk = Disk::open(&path).unwrap();
        disk.transact(|t| Ok(t.open_table(META)?.insert("format", FORMAT + 1).map(|_| ())?)).unwrap();
        drop(disk);
        assert!(Disk::open(&path).err().unwrap().contains("format 2"));
    }
}
