//! The waiters of one agent and one priority: by key, and within a key by deadline.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Ticket;
use crate::policy::Priority;
use crate::policy::time::Moment;

/// The order within a key: the earlier deadline first, and who came first of two with the same.
pub type Order = (Moment, Ticket);

/// Somebody who waits.
#[derive(Debug)]
pub struct Waiter<T> {
    pub cost: u64,
    pub bytes: u64,
    pub pressing_at: Moment,
    pub payload: T,
}

/// The one of a lane who goes first.
#[derive(Clone, Debug)]
pub struct Head {
    pub key: Arc<str>,
    pub at: Order,
    pub cost: u64,
    pub bytes: u64,
    pub pressing_at: Moment,
    /// Whether a wall may let it go where it closes before others of its key.
    pub presses: bool,
}

/// What turned out to be closed while somebody was looked for.
#[derive(Debug, Default)]
pub struct Closed {
    /// By key, whether it is closed for those who press too.
    keys: BTreeMap<Arc<str>, bool>,
}

impl Closed {
    pub fn insert(&mut self, head: &Head) {
        *self.keys.entry(Arc::clone(&head.key)).or_default() |= head.presses;
    }

    pub fn has(&self, head: &Head) -> bool {
        self.keys.get(&head.key).is_some_and(|for_all| *for_all || !head.presses)
    }
}

/// One agent's waiters.
#[derive(Debug)]
pub struct Lane<T> {
    pub agent: Arc<str>,
    /// What it may still take in this round.
    pub deficit: u64,
    /// What of it was given while somebody was looked for.
    pub given: u64,
    /// How many wait.
    pub items: usize,
    /// What they hold.
    pub bytes: u64,
    /// None of them is empty.
    keys: BTreeMap<Arc<str>, BTreeMap<Order, Waiter<T>>>,
}

impl<T> Lane<T> {
    pub fn new(agent: Arc<str>) -> Self {
        Self { agent, deficit: 0, given: 0, items: 0, bytes: 0, keys: BTreeMap::new() }
    }

    pub fn add(&mut self, key: &Arc<str>, at: Order, waiter: Waiter<T>) {
        self.items += 1;
        self.bytes = self.bytes.saturating_add(waiter.bytes);
        self.keys.entry(Arc::clone(key)).or_default().insert(at, waiter);
    }

    pub fn remove(&mut self, key: &str, at: Order) -> Option<Waiter<T>> {
        let waiters = self.keys.get_mut(key)?;
        let waiter = waiters.remove(&at)?;
        if waiters.is_empty() {
            self.keys.remove(key);
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub(waiter.bytes);
        Some(waiter)
    }

    /// The earliest of those whose deadline is after `now`.
    pub fn first_cost(&self, now: Moment) -> Option<u64> {
        let first = |waiters: &BTreeMap<Order, Waiter<T>>| {
            waiters.iter().find(|((deadline, _), _)| *deadline > now).map(|(at, waiter)| (*at, waiter.cost))
        };
        self.keys.values().filter_map(first).min().map(|(_, cost)| cost)
    }

    /// Of each key the earliest of those whose deadline is after `now`, and of background work the earliest whose wait presses: the earliest first.
    pub fn heads(&self, priority: Priority, now: Moment) -> VecDeque<Head> {
        let mut heads = Vec::with_capacity(self.keys.len());
        for (key, waiters) in &self.keys {
            #[cfg(test)]
            super::tests::LOOKED_AT.with(|times| times.set(times.get() + 1));
            let mut left = waiters.iter().filter(|((deadline, _), _)| *deadline > now).map(|(at, waiter)| {
                let Waiter { cost, bytes, pressing_at, .. } = *waiter;
                let presses = priority == Priority::Background && pressing_at <= now;
                Head { key: Arc::clone(key), at: *at, cost, bytes, pressing_at, presses }
            });
            let Some(first) = left.next() else { continue };
            if priority == Priority::Background && !first.presses {
                heads.extend(left.find(|head| head.presses));
            }
            heads.push(first);
        }
        heads.sort_unstable_by_key(|head| head.at);
        heads.into()
    }

    /// What one of them brought along.
    pub fn payload(&self, head: &Head) -> Option<&T> {
        Some(&self.keys.get(&head.key)?.get(&head.at)?.payload)
    }

    /// The one with the latest deadline.
    pub fn last(&self) -> Option<Ticket> {
        let last = self.keys.values().filter_map(|waiters| waiters.last_key_value());
        last.map(|(at, _)| *at).max().map(|(_, ticket)| ticket)
    }

    /// What those take whose deadline is no later than `until`: of one key, or of all.
    pub fn cost(&self, key: Option<&str>, until: Moment) -> u64 {
        let sum = |waiters: &BTreeMap<Order, Waiter<T>>| {
            let before = waiters.iter().take_while(|((deadline, _), _)| *deadline <= until);
            before.fold(0_u64, |sum, (_, waiter)| sum.saturating_add(waiter.cost))
        };
        match key {
            Some(key) => self.keys.get(key).map_or(0, sum),
            None => self.keys.values().map(sum).fold(0, u64::saturating_add),
        }
    }

    pub fn waiting_for(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, BTreeMap::len)
    }
}
