//! What one caller has under way over one connector, and what its own writes do to that: nothing that was read before a write answers a call that comes after
//! it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

use super::Scope;
use super::flight::{Flight, FlightKey, Joined, Lead, Read, Rules};
use crate::call::Caller;

/// Callers that are remembered; of one that is forgotten, no earlier answer is found and nothing is merged with what it has under way.
const MAX_CALLERS: usize = 4096;

/// Most different reads that one caller has under way and that others can join; one more is simply made.
const MAX_FLIGHTS: usize = 1024;

/// Numbers epochs. No two are the same in a process, so that what was kept under an old one is never found again.
static NEXT_EPOCH: AtomicU64 = AtomicU64::new(0);

fn next_epoch() -> u64 {
    NEXT_EPOCH.fetch_add(1, Ordering::Relaxed)
}

/// All callers.
pub struct Callers(Cache<Scope, Arc<CallerState>>);

impl Default for Callers {
    fn default() -> Self {
        Self(Cache::new(MAX_CALLERS))
    }
}

impl Callers {
    pub fn of(&self, caller: &Caller, connector: &Arc<str>) -> Arc<CallerState> {
        let scope = (caller.clone(), Arc::clone(connector));
        if let Some(state) = self.0.get(&scope) {
            return state;
        }
        let state = Arc::new(CallerState::default());
        self.0.insert(scope, Arc::clone(&state));
        state
    }

    /// A write begins: what the caller has read or is reading is of the past. So it is, once more, when this is dropped.
    pub fn write(&self, caller: &Caller, connector: &Arc<str>) -> Writing<'_> {
        let writing = Writing { callers: self, scope: (caller.clone(), Arc::clone(connector)) };
        writing.turn();
        writing
    }
}

/// A write of a caller under way. Nobody can say when within that time it takes effect.
pub struct Writing<'a> {
    callers: &'a Callers,
    scope: Scope,
}

impl Writing<'_> {
    fn turn(&self) {
        if let Some(state) = self.callers.0.get(&self.scope) {
            state.turn();
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.turn();
    }
}

/// What one caller has under way.
pub struct CallerState {
    epoch: AtomicU64,
    flights: Mutex<Flights>,
}

type Flights = HashMap<FlightKey, Arc<Flight>>;

impl Default for CallerState {
    fn default() -> Self {
        Self { epoch: AtomicU64::new(next_epoch()), flights: Mutex::default() }
    }
}

impl CallerState {
    /// Under what answers are kept: another one after each write.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn turn(&self) {
        // Those who fly on land for themselves and whoever waits with them already.
        self.lock().clear();
        self.epoch.store(next_epoch(), Ordering::Release);
    }

    /// Joins the same read if one is under way, or leads it.
    pub fn join(&self, rules: Rules, read: &Arc<Read>) -> Joined<'_> {
        let key = (rules, Arc::clone(read));
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key) {
            flight.follow();
            return Joined::Follow(Arc::clone(flight));
        }
        let flight = Arc::<Flight>::default();
        if flights.len() < MAX_FLIGHTS {
            flights.insert(key.clone(), Arc::clone(&flight));
        }
        Joined::Lead(Lead::new(self, key, flight))
    }

    /// Nobody can join that flight any longer.
    pub(super) fn close(&self, key: &FlightKey, flight: &Arc<Flight>) {
        let mut flights = self.lock();
        if flights.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            flights.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
