//! What is judged of a fleet as a whole, if its sidecars share a store: what each does is right only together with the others.

use super::{BUCKETS, Departure, Facts, Judge, due};
use crate::agenda::Ms;
use crate::plan::{Keeping, Plan, Store};

/// What sidecars need to find their places again, beyond the times that the store grants and the windows that it knows.
const SETTLING: Ms = 10_000;

/// How long somebody may wait while half of what every wall lets through is free: for the store, and for what others hold in reserve.
const STUCK: Ms = 5_000;

/// How long it may take until a sidecar has heard what another did: a visit to the store each second, and the way.
const NEWS: Ms = 1_200;

/// How long it may take until all have heard what the upstream told one: a visit of that one's and one of each of the others', and what is lost on
/// the way is said again.
const HEARD_BY_ALL: Ms = 3_000;

/// When something was wrong, and for how long that may be felt: an upstream's trouble for good, for limits were learned from it.
pub(super) fn unwell(plan: &Plan) -> Vec<(Ms, Ms)> {
    let Some(Store { lease, tail, emergency, faults, .. }) = plan.store() else { return Vec::new() };
    let window = plan.walls.iter().map(|wall| wall.span + wall.span / BUCKETS).max().unwrap_or(0);
    let felt = window + lease + tail + emergency + SETTLING;
    let troubles = plan.troubles.iter().map(|trouble| (trouble.from, Ms::MAX));
    let faults = faults.iter().map(|fault| (fault.from, fault.to + felt));
    let crashes = plan.crashes.iter().map(|crash| (crash.at, crash.at + crash.down + felt));
    [(0, SETTLING)].into_iter().chain(troubles).chain(faults).chain(crashes).collect()
}

/// When sidecars may not have heard of each other.
pub(super) fn cut_off(plan: &Plan) -> Vec<(Ms, Ms)> {
    let Some(store) = plan.store() else { return Vec::new() };
    let faults = store.faults.iter().map(|fault| (fault.from, fault.to + HEARD_BY_ALL));
    let crashes = plan.crashes.iter().map(|crash| (crash.at, crash.at + crash.down + HEARD_BY_ALL));
    faults.chain(crashes).collect()
}

impl Judge {
    /// What the upstream told one sidecar, all know a little later.
    pub(super) fn paused_by_others(&mut self, call: Facts, now: Ms) {
        if !matches!(self.keeping, Keeping::Shared(_)) {
            return;
        }
        for (sidecar, from, until) in &self.pauses {
            let heard = from + HEARD_BY_ALL;
            let were_together = self.cut_off.iter().all(|(begin, end)| now < *begin || *end < *from);
            if *sidecar == call.sidecar || now < heard || !were_together {
                continue;
            }
            self.verdict.check("pause", now >= *until, || {
                format!("call {} left at {now} ms, and sidecar {sidecar} knew since {from} ms of a pause until {until}", call.id)
            });
        }
    }

    fn is_well(&self, now: Ms) -> bool {
        !self.unwell.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// Whether nothing went wrong that the sidecars' store could have made worse.
    pub(super) fn was_well_throughout(&self) -> bool {
        self.unwell.len() <= 1
    }

    /// A call is refused for this wall, and told when to come back: not before all of the fleet's have left the window, as far as its sidecar
    /// can have heard of them.
    pub(super) fn refused_by_all(&mut self, call: Facts, wall: (u64, Ms), retry_at: Ms, now: Ms) {
        if !call.interactive || !self.is_well(now) {
            return;
        }
        self.denied = true;
        let sides = self.sides.iter().enumerate();
        let departures = sides.flat_map(|(name, side)| side.departures.iter().map(move |d| (name, d)));
        let is_known = |(name, d): &(usize, &Departure)| *name == call.sidecar || d.left + NEWS <= now;
        let due = due(departures.filter(is_known).map(|(_, departure)| departure), 0, wall, now);
        self.verdict.check("refused-late", retry_at >= due, || {
            format!(
                "refused at {now} ms until {retry_at}, and {due} would be right ({} within {} ms)",
                wall.0, wall.1
            )
        });
    }

    /// Looks whether somebody goes on waiting, or being refused, although all is well, and the upstream would take a good deal more.
    pub fn look_at_all(&mut self, now: Ms) {
        let waits =
            std::mem::take(&mut self.denied) || self.sides.iter().any(|side| !side.waiting.is_empty());
        if !matches!(self.keeping, Keeping::Shared(_)) || !waits || !self.is_well(now) {
            self.stuck_since = None;
            return;
        }
        let departures = || self.sides.iter().flat_map(|side| &side.departures);
        let has_room = |(count, span): (u64, Ms)| {
            let counts = |end: Ms| end + span + span / BUCKETS + 1 >= now;
            let used = departures().filter(|d| d.end.is_none_or(counts)).count() as u64;
            2 * used < count
        };
        let under_way = departures().filter(|d| d.end.is_none_or(|end| end >= now)).count() as u64;
        let room = self.walls.iter().all(|(count, span, _)| has_room((*count, *span)))
            && self.concurrent.is_none_or(|most| 2 * under_way < most);
        let since = if room { *self.stuck_since.get_or_insert(now) } else { now };
        if !room {
            self.stuck_since = None;
        }
        self.verdict.check("used-again", now - since <= STUCK, || {
            format!(
                "from {since} to {now} ms somebody waited or was refused although half of every wall was free"
            )
        });
    }

    /// The store's script failed.
    pub fn misunderstands(&mut self, why: &str, now: Ms) {
        self.verdict.check("understood", false, || format!("at {now} ms the store said: {why}"));
    }

    /// A sidecar heard an answer of the store's.
    pub fn understands(&mut self, made_sense: bool, now: Ms) {
        self.verdict.check("understood", made_sense, || format!("an answer without sense at {now} ms"));
    }
}
