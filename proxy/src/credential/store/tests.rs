//! What every store promises, of each of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::OnDisk;
use super::memory::Memory;
use super::redis::Shared;
use super::{Beginning, Commit, Entry, Owner, Store};
use crate::state::disk::Disk;
use crate::state::wire::{ANSWER_TIMEOUT, Wire};
use ferrata_test_redis::RedisServer;

const TTL: Duration = Duration::from_secs(40);
const ONE: Owner = Owner(1);
const OTHER: Owner = Owner(2);

fn entry(version: u64, text: &str) -> Entry {
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
    assert_eq!((store.holds(key, ONE).await, store.holds(key, OTHER).await), (Ok(true), Ok(false)));
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

fn wire(server: &RedisServer) -> Arc<Wire> {
    Arc::new(Wire::new(&server.url(), None).unwrap())
}

/// For families that are known to be new.
fn shared(server: &RedisServer) -> Shared {
    Shared::new(wire(server)).at_once()
}

async fn told(server: &RedisServer, command: &str) {
    let script = redis::Script::new(&format!("return redis.call({command})"));
    wire(server).invoke::<redis::Value>(&script.prepare_invoke()).await.unwrap();
}

/// How long those who know more have to say so, here.
const BRIEF: Duration = Duration::from_secs(1);

async fn begun(store: &Shared, version: u64, owner: Owner) -> Beginning {
    store.begin("k", version, owner, BRIEF).await.unwrap()
}

/// With a store that has the second version.
async fn second(server: &RedisServer) -> Shared {
    let store = shared(server);
    begun(&store, 0, ONE).await;
    for version in [1, 2] {
        store.commit("k", ONE, entry(version, "sealed")).await.unwrap();
    }
    store
}

#[tokio::test]
async fn what_a_redis_forgets_is_given_back_and_nobody_spends_what_was_spent() {
    let Some(server) = RedisServer::start() else { return };
    let store = second(&server).await;
    for forgets in ["'FLUSHALL'", "'DEL', redis.call('KEYS', '*')[1]"] {
        told(&server, forgets).await;
        // One that has the version before, one that comes with the seed alone, and the one that knows.
        assert_eq!(begun(&store, 1, OTHER).await, Beginning::Held);
        assert_eq!(begun(&Shared::new(wire(&server)), 0, OTHER).await, Beginning::Held);
        assert_eq!(begun(&store, 2, ONE).await, Beginning::Held);
        assert_eq!(store.vouch("k", entry(1, "old"), BRIEF).await, Ok(true));
        assert_eq!(begun(&store, 1, OTHER).await, Beginning::Held);
        assert_eq!(store.vouch("k", entry(2, "sealed"), BRIEF).await, Ok(true));
        assert_eq!(store.vouch("k", entry(2, "sealed"), BRIEF).await, Ok(false));
        for late in [0, 1] {
            assert!(
                matches!(begun(&store, late, OTHER).await, Beginning::Newer(entry) if entry.version == 2)
            );
        }
    }
    // After a while the newest may be spent.
    while begun(&store, 2, ONE).await == Beginning::Held {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.commit("k", ONE, entry(3, "third")).await, Ok(Commit::Durable));
}

#[tokio::test]
async fn what_nobody_vouches_for_stands_in_the_way_for_a_while_only() {
    let Some(server) = RedisServer::start() else { return };
    let store = second(&server).await;
    told(&server, "'FLUSHALL'").await;
    assert_eq!(begun(&store, 2, ONE).await, Beginning::Held);
    while begun(&store, 2, ONE).await == Beginning::Held {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_lock_that_a_redis_forgets_is_held_all_the_same() {
    let Some(server) = RedisServer::start() else { return };
    let store = shared(&server);
    assert_eq!(store.begin("k", 0, ONE, TTL).await, Ok(Beginning::Ours { unfinished: false }));
    told(&server, "'DEL', redis.call('KEYS', '*:lock')[1]").await;
    assert_eq!(store.holds("k", ONE).await, Ok(false), "it sends nothing any more");
    assert_eq!(store.begin("k", 0, OTHER, TTL).await, Ok(Beginning::Held));
    store.release("k", ONE, true).await.unwrap();
    assert_eq!(store.begin("k", 0, OTHER, TTL).await, Ok(Beginning::Ours { unfinished: true }));
}

#[tokio::test]
async fn a_family_that_a_redis_does_not_know_begins_when_others_have_had_time_to_vouch() {
    let Some(server) = RedisServer::start() else { return };
    let store = Shared::new(wire(&server));
    assert_eq!(begun(&store, 0, ONE).await, Beginning::Held);
    assert_eq!(store.load("k").await, Ok(None));
}

#[tokio::test]
async fn a_redis_keeps_its_promises_to_a_whole_fleet() {
    let Some(server) = RedisServer::start() else { return };
    keeps_its_promises(&shared(&server), "crm/login").await;
    // Another sidecar sees the same.
    let other = shared(&server);
    assert_eq!(other.load("crm/login").await.unwrap().unwrap().version, 2);
    assert!(matches!(other.begin("crm/login", 1, OTHER, TTL).await, Ok(Beginning::Newer(_))));
}

#[tokio::test]
async fn a_lock_in_redis_runs_out_and_its_intent_does_not() {
    let Some(server) = RedisServer::start() else { return };
    let (store, short) = (shared(&server), Duration::from_millis(1));
    assert_eq!(store.begin("k", 0, ONE, short).await, Ok(Beginning::Ours { unfinished: false }));
    let over = async || (store.holds("k", ONE).await == Ok(false)).then_some(());
    while over().await.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.begin("k", 0, OTHER, TTL).await, Ok(Beginning::Ours { unfinished: true }));
    // The one whose time was over gives nobody's lock back, and has won something all the same.
    store.release("k", ONE, true).await.unwrap();
    assert_eq!(store.holds("k", OTHER).await, Ok(true));
    assert_eq!(store.commit("k", ONE, entry(1, "slow")).await, Ok(Commit::Durable));
    assert!(matches!(store.commit("k", OTHER, entry(1, "second")).await, Ok(Commit::Superseded(_))));
    assert!(store.load("k").await.unwrap().unwrap().age >= ANSWER_TIMEOUT);
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_to_be() {
    let Some(server) = RedisServer::start() else { return };
    let store = shared(&server);
    store.load("k").await.unwrap();
    drop(server);
    assert!(store.load("k").await.unwrap_err().contains("the shared state"));
}

#[tokio::test(start_paused = true)]
async fn a_lock_runs_out_and_its_intent_does_not() {
    let store = Memory::default();
    store.begin("k", 0, ONE, TTL).await.unwrap();
    tokio::time::advance(TTL).await;
    assert_eq!(store.holds("k", ONE).await, Ok(false));
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
