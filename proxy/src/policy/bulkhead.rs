//! How many requests one upstream may have under way: a full one refuses, so that a system that hangs takes no place from another.
//!
//! Owns the count. It never waits: whoever is refused is told when a place may be free.

use std::time::Duration;

use super::Mode;
use super::time::{Moment, Now};

/// Requests under way to one upstream at once. As many as a connector has sandboxes: without being told otherwise, this is a bound and not a throttle.
pub const PLACES: usize = 64;

/// What a refused request is told to wait when no request has ended yet that could tell.
const RETRY_WHEN_UNKNOWN: Duration = Duration::from_secs(1);

/// Weight of the latest request in the average, one part in so many: a handful of requests make a new average.
const SMOOTHING: u32 = 8;

/// How one upstream is kept to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    pub places: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: Mode::Enforce, places: PLACES }
    }
}

/// No place is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub used: usize,
    pub places: usize,
    /// When a place should be free, at the rate at which requests end.
    pub retry_at: Moment,
}

/// One place. Neither copied nor forgotten: it goes back with [`Bulkhead::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a place that is not given back is lost"]
pub struct Place {
    since: Moment,
    /// What the bulkhead would have said, if its policy were enforced.
    pub observed: Option<Full>,
}

/// The places of one upstream.
#[derive(Debug)]
pub struct Bulkhead {
    settings: Settings,
    used: usize,
    /// How long places are held, on average.
    held: Option<Duration>,
}

impl Bulkhead {
    pub fn new(settings: Settings) -> Self {
        Self { settings, used: 0, held: None }
    }

    /// Other places from now on. Those taken stay taken.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    pub fn enter(&mut self, now: Now) -> Result<Place, Full> {
        let full = (self.used >= self.settings.places).then(|| self.full(now.mono));
        match (full, self.settings.mode) {
            (Some(full), Mode::Enforce) => Err(full),
            (observed, _) => {
                self.used += 1;
                Ok(Place { since: now.mono, observed })
            }
        }
    }

    pub fn leave(&mut self, place: Place, now: Now) {
        self.used = self.used.saturating_sub(1);
        let held = now.mono.since(place.since);
        self.held = Some(match self.held {
            None => held,
            Some(average) => average - average / SMOOTHING + held / SMOOTHING,
        });
    }

    /// Places taken, and all there are.
    pub fn usage(&self) -> (usize, usize) {
        (self.used, self.settings.places)
    }

    fn full(&self, now: Moment) -> Full {
        let places = u32::try_from(self.settings.places).unwrap_or(u32::MAX).max(1);
        let wait = self.held.map_or(RETRY_WHEN_UNKNOWN, |held| held / places);
        Full { used: self.used, places: self.settings.places, retry_at: now + wait }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Moment(ms), wall: 0 }
    }

    fn bulkhead(mode: Mode, places: usize) -> Bulkhead {
        Bulkhead::new(Settings { mode, places })
    }

    #[test]
    fn a_full_one_refuses_at_once_and_says_when_a_place_should_be_free() {
        let mut bulkhead = bulkhead(Mode::Enforce, 2);
        let place = bulkhead.enter(at(0)).unwrap();
        bulkhead.leave(place, at(4000));
        let _held = [bulkhead.enter(at(4000)).unwrap(), bulkhead.enter(at(4000)).unwrap()];
        let full = Full { used: 2, places: 2, retry_at: Moment(7000) };
        assert_eq!(bulkhead.enter(at(5000)), Err(full));
    }

    #[test]
    fn an_observed_one_lets_in_and_says_so() {
        let mut bulkhead = bulkhead(Mode::Observe, 1);
        assert_eq!(bulkhead.enter(at(0)).unwrap().observed, None);
        assert!(bulkhead.enter(at(0)).unwrap().observed.is_some());
    }

    proptest! {
        #[test]
        fn as_many_are_in_as_entered_and_did_not_leave(steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut bulkhead, mut inside) = (bulkhead(Mode::Enforce, 5), Vec::new());
            for (ms, enters) in (0..).zip(steps) {
                if enters {
                    let place = bulkhead.enter(at(ms));
                    prop_assert_eq!(place.is_ok(), inside.len() < 5);
                    inside.extend(place);
                } else if let Some(place) = inside.pop() {
                    bulkhead.leave(place, at(ms));
                }
                prop_assert_eq!(bulkhead.usage(), (inside.len(), 5));
            }
        }
    }
}
