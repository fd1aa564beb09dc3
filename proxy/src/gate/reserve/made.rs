//! Reservations that were made, by what they were asked for with: who asks for the same again, because no answer came, gets the one that
//! there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Arguments;
use crate::egress::account::booking::Kept;
use crate::fault::{Fault, FaultKind};

/// Most reservations that are remembered, those that are being made included: more than the accounts of a sidecar hold.
const MAX_REMEMBERED: usize = 4_096;

/// Which reservation is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    pub agent: Arc<str>,
    pub workflow: String,
    pub key: Key,
}

/// What tells one reservation of a workflow from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The idempotency key that came with the call.
    Brought(String),
    /// Without one, what is asked for.
    Arguments(Arguments),
}

/// One that was made.
#[derive(Debug)]
pub struct Made {
    pub arguments: Arguments,
    pub until: jiff::Timestamp,
    pub kept: Vec<Kept>,
}

impl Made {
    /// Calls of it that are still to be made; none once its time is over.
    pub fn left(&self) -> u64 {
        self.kept.iter().map(Kept::left).sum()
    }
}

/// The place of one reservation. Held while it is being made, so that the same, asked for meanwhile, waits for what comes of it.
pub type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// All that this sidecar remembers.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<HashMap<Name, Slot>>);

impl Reservations {
    /// The place of that name. Forgets those of which nothing is left.
    pub fn slot(&self, name: Name) -> Result<Slot, Fault> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&name) {
            return Ok(Arc::clone(slot));
        }
        slots.retain(|_, slot| is_of_use(slot));
        if slots.len() >= MAX_REMEMBERED {
            let message = "More calls are being reserved than this sidecar remembers.";
            return Err(Fault::new(FaultKind::Overloaded, message));
        }
        Ok(Arc::clone(slots.entry(name).or_default()))
    }
}

/// Whether somebody is at it, or something is left.
fn is_of_use(slot: &Slot) -> bool {
    Arc::strong_count(slot) > 1
        || slot.try_lock().map_or(true, |made| made.as_ref().is_some_and(|made| made.left() > 0))
}
