//! Where the record of a credential is kept: on the disk of one sidecar, or in a store that all share. A model of what either promises: each
//! request is done whole or not at all, and who asked may never learn which.

use super::provider::{Token, Tokens};
use crate::agenda::Ms;

/// Longest wait for an answer: a store that takes longer is away.
pub const ANSWER_TIMEOUT: Ms = 100;

/// One run of one life of a sidecar.
pub type Owner = (usize, u32, u64);

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub version: u64,
    /// None once the family is dead.
    pub tokens: Option<Tokens>,
    /// What the operator's file held when the family began.
    pub seed: Token,
    /// The longest life that was said of a refresh token of this family.
    pub family_life: Option<Ms>,
    /// When they were asked for, on the clock of whoever keeps the record: milliseconds since 1970.
    pub asked_at: i64,
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Load,
    Begin {
        version: u64,
        ttl: Ms,
    },
    /// Whether the lock is there for so long.
    Holds {
        needed: Ms,
    },
    /// What is written if the version before it is still there.
    Write(Record),
    Release {
        spent: bool,
    },
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Has(Option<Record>),
    Ours {
        unfinished: bool,
    },
    Newer(Record),
    Held,
    Holds(bool),
    Written,
    Superseded(Option<Record>),
    Done,
    /// It could not be asked, or its answer was lost.
    Away,
}

/// One record, its lock, and what is about to be spent.
#[derive(Debug, Default)]
pub struct Store {
    record: Option<Record>,
    lock: Option<(Owner, Ms)>,
    intent: Option<u64>,
}

impl Store {
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub fn asked(&mut self, ask: Ask, owner: Owner, now: Ms) -> Told {
        self.lock = self.lock.filter(|(_, until)| now < *until);
        let version = self.record.map_or(0, |record| record.version);
        match ask {
            Ask::Load => Told::Has(self.record),
            Ask::Begin { version: expected, ttl } => match self.record {
                Some(record) if record.version > expected => Told::Newer(record),
                _ if self.lock.is_some_and(|(holder, _)| holder != owner) => Told::Held,
                _ => {
                    self.lock = Some((owner, now + ttl));
                    let unfinished = self.intent.replace(version) == Some(version);
                    Told::Ours { unfinished }
                }
            },
            Ask::Holds { needed } => {
                Told::Holds(self.lock.is_some_and(|(holder, until)| holder == owner && now + needed < until))
            }
            Ask::Write(record) if version + 1 == record.version => {
                (self.record, self.intent) = (Some(record), None);
                self.unlock(owner);
                Told::Written
            }
            Ask::Write(record) if self.record.is_some_and(|r| r.tokens == record.tokens) => {
                self.unlock(owner);
                Told::Written
            }
            Ask::Write(_) => Told::Superseded(self.record),
            Ask::Release { spent } => {
                if self.lock.is_some_and(|(holder, _)| holder == owner) {
                    self.lock = None;
                    self.intent = self.intent.filter(|_| spent);
                }
                Told::Done
            }
        }
    }

    fn unlock(&mut self, owner: Owner) {
        self.lock = self.lock.filter(|(holder, _)| *holder != owner);
    }
}
