//! What every store promises, of each of them.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::disk::OnDisk;
use super::memory::Memory;
use super::{Answer, Beginning, Commit, Entry, Owner, Store};
use crate::state::disk::Disk;

pub const TTL: Duration = Duration::from_secs(40);
pub const ONE: Owner = Owner(1);
pub const OTHER: Owner = Owner(2);

pub fn entry(version: u64, text: &str) -> Entry {
    Entry { version, sealed: text.as_bytes().to_vec(), age: Duration::ZERO }
}

fn said(commit: Commit) -> (bool, u64, Vec<u8>) {
    match commit {
        Commit::Durable => (true, 0, Vec::new()),
        Commit::Superseded(entry) => (false, entry.version, entry.sealed),
    }
}

/// With a store that is empty. `key` is its own for each test.
pub async fn keeps_its_promises(store: &dyn Store, key: &str) {
    assert_eq!(store.load(key).await, Ok(None));
    let begun = |owner| store.begin(key, 0, owner, TTL);
    assert_eq!(begun(ONE).await, Ok(Beginning::Ours { unfinished: false }));
    assert_eq!(begun(OTHER).await, Ok(Beginning::Held));
    let holds = |owner, needed| store.holds(key, owner, needed);
    assert_eq!((holds(ONE, TTL / 2).await, holds(OTHER, TTL / 2).await), (Ok(true), Ok(false)));
    assert_eq!(holds(ONE, TTL).await, Ok(false), "not for as long as that");
    // Nobody else can give it back.
    store.release(key, OTHER, false).await.unwrap();
    assert_eq!(begun(OTHER).await, Ok(Beginning::Held));
    // What was not spent leaves no trace, what may have been spent does.
    store.release(key, ONE, false).await.unwrap();
    assert_eq!(begun(ONE).await, Ok(Beginning::Ours { unfinished: false }));
    store.release(key, ONE, true).await.unwrap();
    assert_eq!(begun(OTHER).await, Ok(Beginning::Ours { unfinished: true }));

    assert_eq!(store.commit(key, OTHER, entry(1, "first")).await, Ok(Commit::Durable));
    assert_eq!(store.commit(key, OTHER, entry(1, "first")).await, Ok(Commit::Durable), "once more");
    let late = store.commit(key, ONE, entry(1, "late")).await.unwrap();
    assert_eq!(said(late), (false, 1, b"first".to_vec()));
    // The lock was given back, the intent is gone, and another key is another matter.
    assert!(matches!(begun(ONE).await, Ok(Beginning::Newer(entry)) if entry.sealed == b"first"));
    assert_eq!(store.begin(key, 1, ONE, TTL).await, Ok(Beginning::Ours { unfinished: false }));
    assert_eq!(store.load(&format!("{key}/other")).await, Ok(None));
    assert_eq!(store.commit(key, ONE, entry(2, "second")).await, Ok(Commit::Durable));
    assert_eq!(store.load(key).await.unwrap().unwrap().sealed, b"second");
}

/// Takes no records for so many times, but for the marks of seeds. Others have their turn after each reading.
pub struct Failing(pub Memory, pub AtomicU32);

impl Store for Failing {
    fn is_durable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let found = self.0.load(key).await;
            tokio::task::yield_now().await;
            found
        })
    }

    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning> {
        self.0.begin(key, version, owner, ttl)
    }

    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool> {
        self.0.holds(key, owner, needed)
    }

    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit> {
        let less = |left: u32| left.checked_sub(1).filter(|_| !key.starts_with("seed/"));
        match self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Box::pin(std::future::ready(Err("the disk is full".to_owned()))),
            Err(_) => self.0.commit(key, owner, entry),
        }
    }

    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()> {
        self.0.release(key, owner, spent)
    }
}

fn on_disk(path: &Path) -> OnDisk {
    OnDisk::open(Disk::open(path).unwrap()).unwrap()
}

#[tokio::test]
async fn memory_keeps_its_promises() {
    keeps_its_promises(&Memory::default(), "crm/login").await;
}

#[tokio::test]
async fn a_disk_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    keeps_its_promises(&on_disk(&folder.path().join("state.redb")), "crm/login").await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_runs_out_and_its_intent_does_not() {
    let store = Memory::default();
    store.begin("k", 0, ONE, TTL).await.unwrap();
    tokio::time::advance(TTL).await;
    assert_eq!(store.holds("k", ONE, Duration::ZERO).await, Ok(false));
    assert_eq!(store.begin("k", 0, OTHER, TTL).await, Ok(Beginning::Ours { unfinished: true }));
    // The one whose time was over has won something all the same, and is first.
    assert_eq!(store.commit("k", ONE, entry(1, "slow")).await, Ok(Commit::Durable));
    assert!(matches!(store.commit("k", OTHER, entry(1, "second")).await, Ok(Commit::Superseded(_))));
}

#[tokio::test(start_paused = true)]
async fn a_record_ages() {
    let store = Memory::default();
    let asked = Entry { age: Duration::from_secs(2), ..entry(1, "x") };
    store.commit("k", ONE, asked).await.unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(store.load("k").await.unwrap().unwrap().age, Duration::from_secs(5));
}

#[tokio::test]
async fn a_process_that_ends_in_between_leaves_its_intent_on_disk_and_its_lock_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = on_disk(&path);
    store.commit("k", ONE, Entry { age: Duration::from_secs(7), ..entry(4, "kept") }).await.unwrap();
    store.begin("k", 4, ONE, TTL).await.unwrap();
    drop(store);
    let store = on_disk(&path);
    let kept = store.load("k").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.sealed.as_slice()), (4, &b"kept"[..]));
    assert!(kept.age >= Duration::from_secs(7));
    assert_eq!(store.begin("k", 4, OTHER, TTL).await, Ok(Beginning::Ours { unfinished: true }));
}
