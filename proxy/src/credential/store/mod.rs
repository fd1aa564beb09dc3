//! Where a credential's record is kept between refreshes: the port, the two stores of one process, and that of a fleet.
//!
//! A store sees sealed bytes and versions, and never a secret. It owns the lock that a refresh is made under, the intent that precedes
//! it, and how old a record is by the best clock there is. Keys contain the family: a store has one line of versions for each.

pub mod closed;
pub mod disk;
mod lock;
pub mod memory;
pub mod redis;
#[cfg(test)]
mod redis_tests;
#[cfg(test)]
pub(super) mod tests;

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lifecycle::lock::STORE_TIME;

/// What a store answers later. The error is the end of a sentence for the operator: why it cannot be asked.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// An answer, or that there is none in time.
pub async fn in_time<T>(answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer within {STORE_TIME:?}"));
    tokio::time::timeout(STORE_TIME, answer).await.unwrap_or_else(late)
}

/// One run of one process, at random: nobody else's lock is given back, and a commit is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(pub u128);

impl Owner {
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows with each change; the first is 1.
    pub version: u64,
    pub sealed: Vec<u8>,
    /// How long ago its tokens were asked for: too long rather than too short, by a clock that nobody sets within one boot, or a server's. One
    /// that is set back makes them younger by that at most, and no younger than what they were when they were written down.
    pub age: Duration,
}

/// Whether a refresh may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The lock is held and the intent durable. `unfinished`: there was an intent for this version already.
    Ours { unfinished: bool },
    /// There is a newer version; nothing was changed.
    Newer(Entry),
    /// Another owner has the lock.
    Held,
}

/// What became of a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    Durable,
    /// There is one as new already, and not of this owner.
    Superseded(Entry),
}

/// Keeps records. What failed may have been done all the same: whoever asks again is told the truth.
pub trait Store: Send + Sync {
    /// Whether a record outlives this process.
    fn is_durable(&self) -> bool;

    /// The newest version.
    fn load<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// Takes the lock for `ttl`, if nobody has it, and writes down that the token of `version` (0 if there is none) is about to be
    /// spent. A store that has an older version, or none, has lost something, and stands in the way no longer than others need to
    /// [vouch](Self::vouch) for what they know.
    fn begin<'a>(&'a self, key: &'a str, version: u64, owner: Owner, ttl: Duration) -> Answer<'a, Beginning>;

    /// Whether the lock is this owner's for so long from now: until what is to be sent has come to its end. Asked right before that.
    fn holds<'a>(&'a self, key: &'a str, owner: Owner, needed: Duration) -> Answer<'a, bool>;

    /// Writes `entry` if what is there is older, removes the intent, and gives the lock back if it is this owner's. It need not be:
    /// the version is what decides. Durable when it returns. An `entry` that this owner has written before is durable.
    fn commit<'a>(&'a self, key: &'a str, owner: Owner, entry: Entry) -> Answer<'a, Commit>;

    /// Says what this process knows to be the newest. A store that has less has lost it, and takes it back: whether it had. Then nobody begins
    /// for `ttl`, in which others may know of something newer still, and what was under way comes to its end.
    fn vouch<'a>(&'a self, _key: &'a str, _entry: Entry, _ttl: Duration) -> Answer<'a, bool> {
        Box::pin(ready(Ok(false)))
    }

    /// Gives the lock back if it is this owner's, and removes this owner's intent unless its token may have been spent.
    fn release<'a>(&'a self, key: &'a str, owner: Owner, spent: bool) -> Answer<'a, ()>;
}
