//! Where the counts of walls are kept beyond this process: nowhere, on disk, or in a store that all sidecars share.
//!
//! A store never decides about a call: [`Limits`] decides, with what a store granted ahead. So a call waits for a store only when
//! demand outruns the grants. One task per account ([`Store::keep`]) moves what [`Limits`] has for the store, and back.

#[cfg(test)]
mod booking_tests;
pub mod disk;
pub mod exchange;
#[cfg(test)]
mod exchange_tests;
#[cfg(test)]
mod fleet_tests;
mod keeper;
#[cfg(all(test, unix))]
mod kill_tests;
pub mod lease;
#[cfg(test)]
mod seen_tests;
pub mod shared;
pub(crate) mod stamp;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::policy::limit::{Keeping, Limits, Reservation};
use crate::policy::time::Now;
use disk::{Change, Disk};
use keeper::keep_shared;
use shared::Shared;

/// Time between two attempts to write to a disk that fails.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// Where the limits of one account live while they decide.
pub trait Home: Send + Sync + 'static {
    /// Works on them under their lock, once.
    fn with(&self, work: &mut dyn FnMut(&mut Limits, Now));
    /// Lets those who were refused as [`Reserving`](crate::policy::limit::Reason::Reserving) ask again.
    fn wake(&self);
}

/// Where counts are kept.
#[derive(Clone)]
pub enum Store {
    Memory,
    Disk(Disk),
    Shared(Arc<Shared>),
}

impl Store {
    /// How limits must be made whose counts are kept here.
    pub fn keeping(&self, now: Now) -> Keeping {
        match self {
            Self::Memory => Keeping::Memory,
            Self::Disk(_) => Keeping::Disk { since: now.mono },
            Self::Shared(shared) => Keeping::Shared(shared.leases),
        }
    }

    /// Takes up what a process before this one counted for `account`. The error is a sentence for the operator.
    pub fn restore(&self, account: &str, limits: &mut Limits, now: Now) -> Result<(), String> {
        match self {
            Self::Memory | Self::Shared(_) => Ok(()),
            Self::Disk(disk) => disk.restore(account, limits, now),
        }
    }

    /// Moves counts between an account's limits and the store for as long as it is polled. `poke` it whenever
    /// [`Limits::wants_store`].
    pub async fn keep(self, account: Arc<str>, home: Arc<dyn Home>, poke: Arc<Notify>) {
        match self {
            Self::Memory => {}
            Self::Disk(disk) => keep_on_disk(&disk, &account, &*home, &poke).await,
            Self::Shared(shared) => keep_shared(&shared, &account, &*home, &poke).await,
        }
    }

    /// The last words of a process that ends in order, when nothing is under way any more and [`keep`](Self::keep) has ended.
    pub async fn finish(self, account: Arc<str>, home: Arc<dyn Home>) -> Result<(), String> {
        match self {
            Self::Memory => Ok(()),
            Self::Disk(disk) => {
                let (mut change, mut at) = (Change::default(), Now::default());
                home.with(&mut |limits, now| {
                    let (forgotten, pauses) = (limits.forgotten(), limits.pauses());
                    (change, at) = (Change { walls: limits.last_words(now), pauses, forgotten }, now);
                });
                blocking(move || disk.write(&account, &change, at)).await
            }
            Self::Shared(shared) => keeper::give_back(&shared, &account, &*home).await,
        }
    }
}

async fn keep_on_disk(disk: &Disk, account: &Arc<str>, home: &dyn Home, poke: &Notify) {
    loop {
        let (mut due, mut change, mut at) = (Vec::new(), Change::default(), Now::default());
        home.with(&mut |limits, now| (due, change, at) = due_change(limits, now));
        if due.is_empty() && change.pauses.is_empty() && change.forgotten.is_empty() {
            poke.notified().await;
            continue;
        }
        let (disk, name, written) = (disk.clone(), Arc::clone(account), change.clone());
        let result = blocking(move || disk.write(&name, &written, at)).await;
        home.with(&mut |limits, _| confirm(limits, &due, std::mem::take(&mut change), result.is_ok()));
        match result {
            Ok(()) => home.wake(),
            Err(why) => {
                tracing::error!(%account, "{why}; calls wait until it can be written");
                tokio::time::sleep(DISK_RETRY).await;
            }
        }
    }
}

fn due_change(limits: &mut Limits, now: Now) -> (Vec<Reservation>, Change, Now) {
    let due = limits.to_write(now);
    let walls = due.iter().map(|reservation| reservation.written.clone()).collect();
    let change = Change { walls, pauses: limits.pauses(), forgotten: limits.forgotten() };
    (due, change, now)
}

fn confirm(limits: &mut Limits, due: &[Reservation], change: Change, is_written: bool) {
    if !is_written {
        limits.pauses_untold(change.pauses);
        limits.not_forgotten(change.forgotten);
    }
    for reservation in due {
        if is_written {
            limits.written(reservation);
        } else {
            limits.not_written(reservation);
        }
    }
}

async fn blocking(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(format!("writing the state broke off: {e}")))
}
