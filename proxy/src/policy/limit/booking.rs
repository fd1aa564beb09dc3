//! Calls that a workflow has reserved: charged before they are made, so that its third step is not refused after its second was done.
//!
//! A booking holds the cost of its calls against every wall that stands before their operation or before everything and is longer than
//! [`WAITED_FOR_MS`]; a call of its workflow then goes without being charged there once more. What it cannot know before is paid when the
//! call is made, as by any other: shorter walls, pacing, calls under way, and the walls of a resource. What is not used goes back when the
//! booking ends. Bookings are not written down: after a crash what they held counts as spent, and their workflows ask like all others.

use std::sync::Arc;
use std::time::Duration;

use super::grant::Keeping;
use super::meter::{Asking, Meter, Stop};
use super::scopes::Passed;
use super::{Asked, Charge, Limits, Reason, Refused, overloaded};
use crate::policy::Priority;
use crate::policy::time::{Moment, Now};

/// Longest window that is waited for and not reserved, in milliseconds: it is free again within a call's time, and mostly too small for several calls.
pub const WAITED_FOR_MS: u64 = 10_000;

/// Part of a wall, in percent, that may be reserved: who reserves nothing has the rest.
pub const MOST_BOOKED_PERCENT: u64 = 50;

/// Longest life of a booking: what was reserved by a workflow that broke off is not lost for longer.
pub const MAX_BOOKED: Duration = Duration::from_secs(3_600);

/// Most bookings of one agent, and of all of them, at one account.
pub const MAX_BOOKINGS_OF_AGENT: usize = 16;
pub const MAX_BOOKINGS: usize = 256;

/// Most operations that one booking is about.
pub const MAX_OPERATIONS_BOOKED: usize = 32;

/// Whose calls they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    pub agent: &'a str,
    pub workflow: &'a str,
}

/// So many calls that begin with this operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub operation: Arc<str>,
    pub cost: u64,
    pub calls: u64,
}

/// One booking; means nothing once that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BookingId(u64);

/// The part of a booking that a charge came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    id: BookingId,
    part: usize,
}

/// What one workflow holds.
#[derive(Clone, Debug)]
pub struct Booking {
    id: BookingId,
    pub agent: Arc<str>,
    pub workflow: Arc<str>,
    pub until: Moment,
    pub parts: Vec<Part>,
}

/// Calls of one operation.
#[derive(Clone, Debug)]
pub struct Part {
    pub operation: Arc<str>,
    pub cost: u64,
    /// Calls that are still to be made.
    pub left: u64,
    /// Those under way.
    away: u64,
    at: Covered,
}

/// Where a booking is charged.
#[derive(Clone, Copy, Debug)]
struct Covered {
    passed: Passed,
    generation: u32,
}

impl Covered {
    /// Whether this wall holds what was booked.
    fn has(&self, scope: u32, meter: &Meter) -> bool {
        self.passed.iter().any(|passed| passed == scope)
            && meter.is_bookable()
            && meter.has_counted(self.generation)
    }
}

/// All bookings of one account.
#[derive(Clone, Debug, Default)]
pub(super) struct Bookings {
    all: Vec<Booking>,
    next: u64,
}

impl Bookings {
    /// What a call goes on, of what ends first.
    fn find(&self, owner: Owner, operation: &str, cost: u64, now: Now) -> Option<Place> {
        let own =
            |b: &&Booking| b.until > now.mono && *b.workflow == *owner.workflow && *b.agent == *owner.agent;
        let fits = |p: &Part| p.left > 0 && p.cost == cost && *p.operation == *operation;
        let places = self.all.iter().filter(own).filter_map(|b| Some((b, b.parts.iter().position(fits)?)));
        places.min_by_key(|(b, _)| b.until).map(|(b, part)| Place { id: b.id, part })
    }

    fn part(&mut self, place: Place) -> Option<&mut Part> {
        self.all.iter_mut().find(|b| b.id == place.id)?.parts.get_mut(place.part)
    }

    fn covered(&mut self, place: Option<Place>) -> Option<Covered> {
        self.part(place?).map(|part| part.at)
    }

    /// A call that came from there is over. A booking of which nothing is left ends with its last call.
    pub fn arrived(&mut self, place: Place) {
        if let Some(part) = self.part(place) {
            part.away = part.away.saturating_sub(1);
            let lives = |b: &Booking| b.id != place.id || b.parts.iter().any(|p| p.left + p.away > 0);
            self.all.retain(lives);
        }
    }

    /// Bookings that hold something there, the first to end first: when each ends, and the cost that then is free.
    fn ends_at(&self, scope: u32) -> Vec<(Moment, u64)> {
        let held = |b: &Booking| {
            let of = b.parts.iter().filter(|p| p.at.passed.iter().any(|passed| passed == scope));
            (b.until, of.map(|p| p.left.saturating_mul(p.cost)).sum())
        };
        let mut ends: Vec<_> = self.all.iter().map(held).collect();
        ends.sort_unstable();
        ends
    }

    /// When there is room for one more of that agent's.
    fn full_until(&self, agent: &str) -> Option<Moment> {
        let ends = |of: &dyn Fn(&&Booking) -> bool| self.all.iter().filter(of).map(|b| b.until).min();
        let of_agent = |b: &&Booking| *b.agent == *agent;
        if self.all.iter().filter(of_agent).count() >= MAX_BOOKINGS_OF_AGENT {
            return ends(&of_agent);
        }
        if self.all.len() >= MAX_BOOKINGS { ends(&|_| true) } else { None }
    }
}

impl Limits {
    /// Reserves calls until then, all of them or none. The refusal names the wall that binds, and when they could be had.
    pub fn book(
        &mut self,
        owner: &Owner,
        wanted: &[Wanted],
        priority: Priority,
        until: Moment,
        now: Now,
    ) -> Result<BookingId, Refused> {
        self.end_bookings(now);
        let full = self.bookings.full_until(owner.agent);
        if full.is_some() || wanted.len() > MAX_OPERATIONS_BOOKED {
            let retry_at = full.map(|mono| Now { mono, wall: now.wall_at(mono) });
            return Err(Refused { retry_at, ..overloaded() });
        }
        let mut parts = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.book_part(wanted, priority, now) {
                Ok(part) => parts.push(part),
                Err(refused) => {
                    parts.iter().for_each(|part| self.give_part_back(part));
                    return Err(refused);
                }
            }
        }
        self.bookings.next += 1;
        let (id, until) = (BookingId(self.bookings.next), until.min(now.mono + MAX_BOOKED));
        let (agent, workflow) = (owner.agent.into(), owner.workflow.into());
        self.bookings.all.push(Booking { id, agent, workflow, until, parts });
        Ok(id)
    }

    fn book_part(&mut self, wanted: &Wanted, priority: Priority, now: Now) -> Result<Part, Refused> {
        let passed = self.scopes.places(&wanted.operation);
        let cost = wanted.cost.saturating_mul(wanted.calls);
        let (valid, reserved_percent) = (self.valid(now), self.reserved_percent);
        let asking = Asking { cost, priority, reserved_percent, valid };
        let ends: Vec<_> = passed.iter().map(|scope| (scope, self.bookings.ends_at(scope))).collect();
        let stop = |scope, meter: &mut Meter| {
            let stop = meter.stop_booking(&asking, now)?;
            let ends = ends.iter().find(|(at, _)| *at == scope).map(|(_, ends)| &**ends);
            Some(if stop.reason == Reason::Booked {
                until_free(stop, meter.overbooked(cost), ends)
            } else {
                stop
            })
        };
        self.advance(&passed, now);
        match self.binding(&passed, false, stop, now) {
            Some(refused) => Err(refused),
            None => {
                let at = Covered { passed, generation: self.scopes.generation };
                self.each_covered(&at, |meter| meter.book(cost, valid));
                let operation = Arc::clone(&wanted.operation);
                Ok(Part { operation, cost: wanted.cost, left: wanted.calls, away: 0, at })
            }
        }
    }

    fn each_covered(&mut self, at: &Covered, mut each: impl FnMut(&mut Meter)) {
        for index in at.passed.iter() {
            if let Some(scope) = self.scopes.get_mut(index) {
                scope.meters.iter_mut().filter(|meter| at.has(index, meter)).for_each(&mut each);
            }
            self.scopes.touched(index);
        }
    }

    fn give_part_back(&mut self, part: &Part) {
        let cost = part.cost.saturating_mul(part.left);
        self.each_covered(&part.at, |meter| meter.unbook(cost));
    }

    /// Ends one booking; what is left of it goes back.
    pub fn unbook(&mut self, id: BookingId) {
        self.unbook_those(|b| b.id == id);
    }

    /// Ends all bookings of a workflow; returns how many of their calls were left.
    pub fn unbook_all(&mut self, owner: &Owner) -> u64 {
        self.unbook_those(|b| *b.agent == *owner.agent && *b.workflow == *owner.workflow)
    }

    /// Ends those whose time is over. Also those of a store that has not heard of us for so long that it counts what they held as spent.
    pub fn end_bookings(&mut self, now: Now) {
        if self.bookings.all.is_empty() {
            return;
        }
        let is_forgotten = match self.keeping {
            Keeping::Shared(leases) => {
                self.heard_at.is_none_or(|at| now.mono.since(at).as_millis() >= u128::from(leases.hold_ms()))
            }
            Keeping::Memory | Keeping::Disk { .. } => false,
        };
        self.unbook_those(|b| is_forgotten || b.until <= now.mono);
    }

    pub(super) fn end_all_bookings(&mut self) {
        self.unbook_those(|_| true);
    }

    fn unbook_those(&mut self, ends: impl Fn(&Booking) -> bool) -> u64 {
        let (over, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.bookings.all).into_iter().partition(ends);
        self.bookings.all = rest;
        let parts = || over.iter().flat_map(|b| &b.parts);
        parts().for_each(|part| self.give_part_back(part));
        parts().map(|part| part.left).sum()
    }

    /// When the next booking ends.
    pub fn next_booking_end(&self) -> Option<Moment> {
        self.bookings.all.iter().map(|b| b.until).min()
    }

    /// Calls of a booking that are still to be made; none once it has ended.
    pub fn booking_left(&self, id: BookingId, now: Now) -> u64 {
        let it = self.bookings.all.iter().find(|b| b.id == id && b.until > now.mono);
        it.map_or(0, |b| b.parts.iter().map(|part| part.left).sum())
    }

    /// Every booking, for people.
    pub fn bookings(&self) -> &[Booking] {
        &self.bookings.all
    }

    /// Whether a call of its workflow is reserved.
    pub fn has_booked(&self, asked: &Asked, now: Now) -> bool {
        self.booked(asked, now).is_some()
    }

    /// The same, of a call that is still to be made.
    pub fn has_booked_for(&self, owner: Owner, operation: &str, cost: u64, now: Now) -> bool {
        self.bookings.find(owner, operation, cost, now).is_some()
    }

    pub(super) fn booked(&self, asked: &Asked, now: Now) -> Option<Place> {
        self.bookings.find(asked.owner?, asked.operation, asked.cost, now)
    }

    /// Goes on what was booked; what is not covered by it is charged now.
    pub(super) fn spend(&mut self, asked: &Asked, place: Place, now: Now) -> Result<Charge, Refused> {
        let passed = self.scopes.passed(asked.operation, asked.resource, now).map_err(|_| overloaded())?;
        self.advance(&passed, now);
        let Some(at) = self.bookings.covered(Some(place)) else { return Err(overloaded()) };
        let (valid, priority) = (self.valid(now), asked.priority);
        let asking = Asking { cost: asked.cost, priority, reserved_percent: self.reserved_percent, valid };
        let stop = |scope, meter: &mut Meter| match at.has(scope, meter) {
            true => meter.stop_booked(&asking, now),
            false => meter.stop(&asking, now),
        };
        if let Some(refused) = self.binding(&passed, true, stop, now) {
            return Err(refused);
        }
        for index in passed.iter() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            for meter in &mut scope.meters {
                if at.has(index, meter) {
                    meter.spend_booked(asked.cost, now);
                } else {
                    meter.hold(asked.cost, valid, now);
                }
            }
            self.scopes.touched(index);
        }
        if let Some(part) = self.bookings.part(place) {
            part.left -= 1;
            part.away += 1;
        }
        let (generation, cost) = (self.scopes.generation, asked.cost);
        Ok(Charge { passed, generation, cost, sent: false, booked: Some(place) })
    }

    /// A call that was booked was never sent: it can be made again, if its booking has not ended. Returns whether a wall holds it on.
    pub(super) fn put_back(&mut self, charge: &Charge) -> impl Fn(u32, &Meter) -> bool + use<> {
        let at = self.bookings.covered(charge.booked);
        if let Some(part) = charge.booked.and_then(|place| self.bookings.part(place)) {
            part.left += 1;
            part.away = part.away.saturating_sub(1);
        }
        move |scope, meter| at.is_some_and(|at| at.has(scope, meter))
    }

    /// When a wall that holds what was booked lets it through: none if the wall is not one of those.
    pub(super) fn booked_forecast(
        &mut self,
        asked: &Asked,
        now: Now,
    ) -> impl Fn(u32, &Meter) -> Option<Moment> + use<> {
        let at = self.booked(asked, now).and_then(|place| self.bookings.covered(Some(place)));
        let (valid, reserved_percent) = (self.valid(now), self.reserved_percent);
        let asking = Asking { cost: asked.cost, priority: asked.priority, reserved_percent, valid };
        move |scope, meter| {
            at.filter(|at| at.has(scope, meter))?;
            Some(meter.stop_booked(&asking, now).and_then(|stop| stop.until).unwrap_or(now.mono))
        }
    }
}

/// When so many of the bookings that stand in the way have ended that they no longer do.
fn until_free(stop: Stop, excess: u64, ends: Option<&[(Moment, u64)]>) -> Stop {
    let mut free = 0_u64;
    let enough = |(_, cost): &&(Moment, u64)| {
        free = free.saturating_add(*cost);
        free >= excess
    };
    let last = ends.into_iter().flatten().find(enough);
    Stop { until: last.map(|(until, _)| *until), ..stop }
}
