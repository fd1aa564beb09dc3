//! Processes that are stopped in the middle of a refresh.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::credential::lifecycle::lock;
use crate::credential::store::{Answer, Beginning};

/// A process is stopped for so long, once, before it hears what the store answers.
struct Stopped {
    store: Memory,
    at: At,
    length: Duration,
    was: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Holds,
}

impl Stopped {
    async fn pass(&self, at: At) {
        if self.at == at && !self.was.swap(true, Ordering::Relaxed) {
            tokio::time::advance(self.length).await;
        }
    }
}

impl Store for Stopped {
    fn is_durable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        self.store.load(key)
    }

    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning> {
        Box::pin(async move {
            let begun = self.store.begin(key, version, owner, ttl).await;
            self.pass(At::Begin).await;
            begun
        })
    }

    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let holds = self.store.holds(key, owner, needed).await;
            self.pass(At::Holds).await;
            holds
        })
    }

    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit> {
        self.store.commit(key, owner, entry)
    }

    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()> {
        self.store.release(key, owner, spent)
    }
}

async fn is_spent_once_after_a_stop(at: At) {
    // What is left of the lock is less than a login takes.
    let length = lock::stands(LOGIN_TIME) - TAKES / 2;
    let store = Stopped { store: Memory::default(), at, length, was: AtomicBool::default() };
    let (store, provider): (Arc<dyn Store>, _) = (Arc::new(store), Arc::new(Provider::default()));
    let fleet = [mortal(&store, &provider), mortal(&store, &provider)];
    fleet.iter().for_each(Manager::open);
    tokio::time::sleep(length + LOGIN_TIME).await;
    futures_util::future::join_all(fleet.iter().map(token)).await;
    assert_eq!(provider.seen(), ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_stopped_and_has_the_lock_for_less_than_a_login_sends_nothing() {
    is_spent_once_after_a_stop(At::Begin).await;
}

#[tokio::test(start_paused = true)]
async fn a_word_about_the_lock_that_is_old_counts_for_nothing() {
    is_spent_once_after_a_stop(At::Holds).await;
}
