//! What workflows were promised, and whether it is kept: by their sidecar, and by a store that it shares with others.

use super::rules::WAITED_FOR;
use super::{Facts, Judge};
use crate::agenda::Ms;
use crate::plan::{Fault, Keeping, Plan, StoreFault, Wall};

/// What a sidecar needs after the store was away until it may spend again what was reserved there.
const FOUND_AGAIN: Ms = 3_000;

/// What a workflow was promised.
#[derive(Debug)]
pub(super) struct Reserved {
    sidecar: usize,
    made: Ms,
    left: u64,
    until: Ms,
    /// The calls that have gone on it.
    spent: Vec<usize>,
}

/// A time in which one sidecar, or all, cannot reach the store: what was reserved before may be spent by others once it has not heard for long enough.
#[derive(Debug)]
pub(super) struct Void {
    sidecar: Option<usize>,
    from: Ms,
    to: Ms,
}

pub(super) fn voids(plan: &Plan) -> Vec<Void> {
    let faults = plan.store().into_iter().flat_map(|store| &store.faults);
    let void = |fault: &StoreFault| {
        let sidecar = match fault.kind {
            Fault::Cut { sidecar } => Some(sidecar),
            Fault::Away | Fault::Slow { .. } => None,
            // Those who hold a reservation know more than it does.
            Fault::Wiped | Fault::Set { .. } => return None,
        };
        Some(Void { sidecar, from: fault.from, to: fault.to + FOUND_AGAIN })
    };
    faults.filter_map(void).collect()
}

impl Judge {
    /// A workflow is told that its steps are reserved.
    pub fn reserves(&mut self, workflow: usize, sidecar: usize, steps: u64, (made, until): (Ms, Ms)) {
        let reserved = Reserved { sidecar, made, left: steps, until, spent: Vec::new() };
        self.reserved.insert(workflow, reserved);
    }

    pub fn gives_back(&mut self, workflow: usize) {
        self.reserved.remove(&workflow);
    }

    fn reserved_for(&self, call: Facts, now: Ms) -> Option<&Reserved> {
        let reserved = call.workflow.and_then(|workflow| self.reserved.get(&workflow));
        reserved.filter(|r| r.left > 0 && now < r.until)
    }

    /// Whether a call was promised that it goes.
    pub(super) fn is_reserved(&self, call: Facts, now: Ms) -> bool {
        self.reserved_for(call, now).is_some()
    }

    /// The same, and nothing came between that excuses its sidecar: somebody else's use, or a store that cannot be reached.
    fn is_owed(&self, call: Facts, now: Ms) -> bool {
        let is_throttled = match self.keeping {
            Keeping::Shared(_) => self.sides.iter().any(|side| side.throttled),
            Keeping::Memory | Keeping::Disk => self.sides[call.sidecar].throttled,
        };
        // To whom the clock says that it is yesterday, what was spent then is spent.
        let knows_the_day = self.walls.iter().all(|(wall, _)| self.knows_the_day(call.sidecar, wall, now));
        !is_throttled && knows_the_day && self.reserved_for(call, now).is_some_and(|r| self.stands(r, now))
    }

    /// Whether nothing came between that ends a promise before its time.
    fn stands(&self, reserved: &Reserved, now: Ms) -> bool {
        let is_void = |v: &Void| {
            v.sidecar.is_none_or(|sidecar| sidecar == reserved.sidecar)
                && v.from <= now
                && reserved.made <= v.to
        };
        !self.voids.iter().any(is_void)
    }

    /// What was promised of that wall in a sidecar, has not gone, and surely stands.
    pub(super) fn surely_promised(&self, sidecar: usize, wall: &Wall, now: Ms) -> u64 {
        let is_of = |r: &&Reserved| sidecar == r.sidecar && now < r.until && self.stands(r, now);
        if wall.span <= WAITED_FOR { 0 } else { self.reserved.values().filter(is_of).map(|r| r.left).sum() }
    }

    /// What was promised of that wall in a sidecar, or in all, and has not gone.
    pub(super) fn promised(&self, sidecar: Option<usize>, wall: &Wall, now: Ms) -> u64 {
        let is_of = |r: &&Reserved| sidecar.is_none_or(|sidecar| sidecar == r.sidecar) && now < r.until;
        if wall.span <= WAITED_FOR { 0 } else { self.reserved.values().filter(is_of).map(|r| r.left).sum() }
    }

    /// A call is refused for a wall of that length; none if it is another thing.
    pub fn refused_by_a_wall(&mut self, call: Facts, span: Option<Ms>, now: Ms) {
        if self.is_owed(call, now) {
            self.verdict.check("reserved", span.is_none_or(|span| span <= WAITED_FOR), || {
                format!("call {} was refused at {now} ms although its workflow had reserved it", call.id)
            });
        }
    }

    pub(super) fn waits_on_promise(&mut self, call: Facts, now: Ms) {
        let may_wait =
            self.concurrent.is_some() || self.walls.iter().any(|(wall, _)| wall.span <= WAITED_FOR);
        if self.is_owed(call, now) {
            self.verdict.check("reserved", may_wait, || {
                format!("call {} had to wait at {now} ms although its workflow had reserved it", call.id)
            });
        }
    }

    pub(super) fn departs_on_promise(&mut self, call: Facts, now: Ms) {
        if self.is_reserved(call, now)
            && let Some(reserved) = call.workflow.and_then(|workflow| self.reserved.get_mut(&workflow))
        {
            reserved.left -= 1;
            reserved.spent.push(call.id);
            self.verdict.check("reserved", true, String::new);
        }
    }

    /// It was never received by anybody, and can be made again.
    pub(super) fn returns_to_promise(&mut self, call: Facts, now: Ms) {
        if let Some(reserved) = call.workflow.and_then(|workflow| self.reserved.get_mut(&workflow))
            && let Some(place) = reserved.spent.iter().position(|id| *id == call.id)
            && now < reserved.until
        {
            reserved.spent.swap_remove(place);
            reserved.left += 1;
        }
    }

    pub(super) fn promises_end_with(&mut self, sidecar: usize) {
        self.reserved.retain(|_, reserved| reserved.sidecar != sidecar);
    }
}
