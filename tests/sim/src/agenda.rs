//! Simulated time: what happens next, and when. Events of one moment happen in the order in which they were entered, so that a seed
//! gives one trace.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Milliseconds since the simulation began.
pub type Ms = u64;

/// What is still to happen.
#[derive(Debug)]
pub struct Agenda<E> {
    now: Ms,
    entered: u64,
    events: BTreeMap<Reverse<(Ms, u64)>, E>,
}

impl<E> Agenda<E> {
    pub fn new() -> Self {
        Self { now: 0, entered: 0, events: BTreeMap::new() }
    }

    pub fn now(&self) -> Ms {
        self.now
    }

    /// At a moment that is not past; what was meant for the past happens now.
    pub fn enter(&mut self, at: Ms, event: E) {
        self.entered += 1;
        if let Entry::Vacant(place) = self.events.entry(Reverse((at.max(self.now), self.entered))) {
            place.insert(event);
        }
    }

    /// Goes on to the next event.
    pub fn next(&mut self) -> Option<E> {
        let (Reverse((at, _)), event) = self.events.pop_last()?;
        self.now = at;
        Some(event)
    }
}
