//! What is judged of a fleet as a whole, if its sidecars share a store: what each does is right only together with the others.

use super::refusals::{bucket, due, leaves_surely};
use super::{Departure, Facts, Judge};
use crate::agenda::Ms;
use crate::plan::{Keeping, Plan, Store, Wall};

/// What sidecars need to find their places again, beyond the times that the store grants and the windows that it knows.
const SETTLING: Ms = 10_000;

/// How long somebody may wait while half of what every wall lets through is free: for the store, and for what others hold in reserve.
const STUCK: Ms = 5_000;

/// How long it may take until a sidecar has heard what another did: a visit to the store each second, and the way.
pub(super) const NEWS: Ms = 1_200;

/// How long it may take until all have heard what the upstream told one: a visit of that one's and one of each of the others', and what is lost on
/// the way is said again.
pub(super) const HEARD_BY_ALL: Ms = 3_000;

/// A sidecar's need for a second is measured over as little as a tenth of one, and doubled when it has nothing; it gives back the rest within
/// seconds.
const DEMAND_TIMES: u64 = 20;
const DEMAND_OVER: Ms = 3_000;

/// With more requests than this in the windows, what a refusal is told is not judged: each would be sorted anew for each.
const MOST_SORTED: usize = 10_000;

/// The shares for emergencies are this part of a wall, all together.
const EMERGENCIES: u64 = 200;

/// When something was wrong, and for how long that may be felt: an upstream's trouble for good, for limits were learned from it.
pub(super) fn unwell(plan: &Plan) -> Vec<(Ms, Ms)> {
    let Some(Store { lease, tail, emergency, faults, .. }) = plan.store() else { return Vec::new() };
    let felt = |over: Ms| {
        let over = over + lease + tail + emergency + SETTLING;
        plan.walls.iter().map(|wall| leaves_surely(wall, over)).max().unwrap_or(over)
    };
    let troubles = plan.troubles.iter().map(|trouble| (trouble.from, Ms::MAX));
    let faults = faults.iter().map(|fault| (fault.from, felt(fault.to)));
    let crashes = plan.crashes.iter().map(|crash| (crash.at, felt(crash.at + crash.down)));
    // Whoever's clock was set is wrong about the day.
    let has_days = plan.walls.iter().any(|wall| wall.midnight.is_some());
    let steps = plan.steps.iter().filter(|_| has_days).map(|step| (step.at, Ms::MAX));
    [(0, SETTLING)].into_iter().chain(troubles).chain(faults).chain(crashes).chain(steps).collect()
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
    /// can have heard of them; and at most one bucket, and one visit to the store, later than that, if what others
    /// [may hold](Self::may_be_held) at that time is taken for spent.
    pub(super) fn refused_by_all(&mut self, call: Facts, wall: &Wall, retry_at: Ms, now: Ms) {
        if !call.interactive || !self.is_well(now) {
            return;
        }
        self.denied = true;
        if self.sides.iter().map(|side| side.departures.len()).sum::<usize>() > MOST_SORTED {
            return;
        }
        let sides = self.sides.iter().enumerate();
        let departures = sides.flat_map(|(name, side)| side.departures.iter().map(move |d| (name, d)));
        let is_known = |(name, d): &(usize, &Departure)| *name == call.sidecar || d.left + NEWS <= now;
        let known = departures.filter(is_known).map(|(_, departure)| departure);
        let due_at = due(known, self.surely_promised(call.sidecar, wall, now), (wall, wall.count), now);
        let all = self.sides.iter().flat_map(|side| &side.departures);
        let free = wall.count.saturating_sub(self.may_be_held(call.sidecar, wall, now));
        let latest = due(all, self.promised(None, wall, now), (wall, free), now) + bucket(wall) + NEWS;
        // An answer tells what was used when its request arrived; the store takes it for what is used when it hears of it, and others' may have left.
        let may_be_late = free == 0 || self.shows.is_some();
        let is_right = retry_at >= due_at && (may_be_late || retry_at <= latest);
        self.verdict.check("refused-late", is_right, || {
            format!(
                "refused at {now} ms until {retry_at}, and {due_at} to {latest} would be right (of {})",
                wall.text
            )
        });
    }

    /// What the others may hold of a wall without having spent it, and the share for emergencies: each as much as it needs for a second, and at least one.
    pub(super) fn may_be_held(&self, but: usize, wall: &Wall, now: Ms) -> u64 {
        let others = self.sides.iter().enumerate().filter(|(sidecar, _)| *sidecar != but);
        let needs = others.map(|(sidecar, side)| {
            let recent =
                side.departures.iter().rev().take_while(|d| d.left + DEMAND_OVER > now).count() as u64;
            let wanted =
                self.wanted.values().filter(|(who, at, _)| *who == sidecar && at + DEMAND_OVER > now);
            1 + recent * DEMAND_TIMES + wanted.map(|(.., steps)| steps).sum::<u64>()
        });
        needs.sum::<u64>() + wall.count / EMERGENCIES
    }

    /// A workflow wants to reserve so many steps: its sidecar asks the store for them, and holds them for a while even if that comes to nothing.
    pub fn wants(&mut self, workflow: usize, sidecar: usize, steps: u64, now: Ms) {
        self.wanted.insert(workflow, (sidecar, now, steps));
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
        let has_room = |wall: &Wall| {
            let counts = |end: Ms| leaves_surely(wall, end) >= now;
            let used = departures().filter(|d| d.end.is_none_or(counts)).count() as u64;
            2 * (used + self.promised(None, wall, now)) < wall.count
        };
        let under_way = departures().filter(|d| d.end.is_none_or(|end| end >= now)).count() as u64;
        let room = self.walls.iter().all(|(wall, _)| has_room(wall))
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
