//! The limiter: several exact windows at once, all or nothing, for one account of an upstream.
//!
//! | file | owns |
//! |---|---|
//! | [`quota`] | what a wall says: `100000/24h`, `20/min`, `500000/day Europe/Berlin`, `8 concurrent`, `5/s paced` |
//! | [`walls`] | which calls it is about; the connector's walls joined with the operator's |
//! | `rolling`, `calendar`, `window`, `pace` | what counts, exactly |
//! | `learn` | what the upstream says: throttles, lower limits, other people's use |
//! | `meter`, `scopes` | walls before the upstream, an operation, a resource |
//! | `grant`, `kept`, `pause` | what a store grants and keeps |
//! | [`booking`] | calls that a workflow has reserved |
//! | `words`, `usage` | what is asked and answered; all of it, for people |
//!
//! A charge holds from the moment that it is taken until it is [`answered`](Limits::answered) (or abandoned) and a window
//! longer: upstreams count arrivals, and an arrival may be as late as the answer. Waiting and waking are the caller's, who keeps one
//! [`Limits`] per account behind one lock.

pub mod booking;
#[cfg(test)]
mod booking_tests;
mod calendar;
mod grant;
mod kept;
mod learn;
mod meter;
#[cfg(test)]
mod oracle_tests;
mod pace;
mod pause;
pub mod quota;
mod rate;
mod rolling;
mod scope;
mod scopes;
#[cfg(test)]
mod tests;
mod usage;
pub mod walls;
mod window;
mod words;

use std::sync::Arc;
use std::time::Duration;

use booking::Bookings;
pub use booking::{BookingId, Owner, Wanted};
use grant::Valid;
pub use grant::{Keeping, Leases, Moved, UNWRITTEN_MS};
pub use kept::{Answer, Ask, Reservation, Span, WallKey, Written};
pub use learn::{Lowering, MAX_CLOSED};
use meter::{Asking, Stop};
pub use pause::Pause;
pub use scopes::MAX_RESOURCES;
use scopes::{Passed, Scopes, UPSTREAM};
pub use usage::WallUsage;
pub use walls::{Source, Wall, WallSet};
pub use words::{About, Asked, Charge, Lowered, Observation, Reason, Refused, Seen};

use super::Mode;
use super::time::{Moment, Now};

/// All walls of one account.
#[derive(Clone, Debug)]
pub struct Limits {
    scopes: Scopes,
    reserved_percent: u8,
    throttles: Mode,
    keeping: Keeping,
    bookings: Bookings,
    /// When the shared store last answered something that was asked then; when it was last asked; since when it has been away.
    heard_at: Option<Moment>,
    exchanged_at: Moment,
    store_away: Option<Moment>,
    /// Whether everything goes back to the store.
    is_ending: bool,
    /// What the system asked for and the store has not heard.
    pauses: Vec<Pause>,
}

impl Limits {
    /// Walls that are counted here alone.
    pub fn new(walls: &WallSet) -> Self {
        Self::kept(walls, Keeping::Memory)
    }

    /// Walls whose count a store keeps.
    pub fn kept(walls: &WallSet, keeping: Keeping) -> Self {
        Self {
            scopes: Scopes::new(walls.iter(), keeping),
            reserved_percent: walls.reserved_percent.min(100),
            throttles: walls.throttles,
            keeping,
            bookings: Bookings::default(),
            heard_at: None,
            exchanged_at: Moment(0),
            store_away: None,
            is_ending: false,
            pauses: Vec::new(),
        }
    }

    /// What may be spent of what a store granted.
    fn valid(&self, now: Now) -> Valid {
        let Keeping::Shared(leases) = self.keeping else {
            return Valid { leased: true, ..Valid::default() };
        };
        let within = |since: Option<Moment>, ms| since.is_some_and(|at| now.mono.0.saturating_sub(at.0) < ms);
        let leased = within(self.heard_at, leases.lease_ms);
        let emergency = within(self.heard_at, leases.lease_ms.saturating_add(leases.emergency_ms));
        // One that was never heard may only be slow to begin.
        let away = self.store_away.is_some() && !within(self.store_away, leases.lease_ms);
        Valid { leased, emergency: self.store_away.is_some() && emergency, away: away && !leased }
    }

    /// Other walls from now on; nothing that was counted for one that stays, or changes only its number, is forgotten.
    pub fn reconfigure(&mut self, walls: &WallSet) {
        self.scopes.replace(walls.iter());
        (self.reserved_percent, self.throttles) = (walls.reserved_percent.min(100), walls.throttles);
    }

    /// Takes the cost from every window that it concerns, or from none. What its workflow has [booked](Self::book) is taken first.
    pub fn try_acquire(&mut self, asked: &Asked, now: Now) -> Result<Charge, Refused> {
        if let Some(place) = self.booked(asked, now) {
            return self.spend(asked, place, now);
        }
        let passed = self.scopes.passed(asked.operation, asked.resource, now).map_err(|_| overloaded())?;
        self.advance(&passed, now);
        let (priority, reserved_percent) = (asked.priority, self.reserved_percent);
        let asking = Asking { cost: asked.cost, priority, reserved_percent, valid: self.valid(now) };
        match self.binding(&passed, true, |_, meter| meter.stop(&asking, now), now) {
            None => Ok(self.take(passed, asked, now)),
            Some(refused) => Err(refused),
        }
    }

    fn advance(&mut self, passed: &Passed, now: Now) {
        for scope in passed.iter() {
            if let Some(scope) = self.scopes.get_mut(scope) {
                scope.advance(now);
            }
        }
    }

    /// What lets it pass last: of the gates, if it is to be sent now, and of what each wall says.
    fn binding(
        &mut self,
        passed: &Passed,
        is_sent: bool,
        mut stop: impl FnMut(u32, &mut meter::Meter) -> Option<Stop>,
        now: Now,
    ) -> Option<Refused> {
        let mut binding: Option<(Stop, Found)> = None;
        let gated = is_sent && self.throttles == Mode::Enforce;
        for scope in passed.iter() {
            let Some(at) = self.scopes.get_mut(scope) else { continue };
            if let Some(until) = at.gate.closed_until(now.mono).filter(|_| gated) {
                later(&mut binding, Stop { reason: Reason::Throttled, until: Some(until) }, (scope, None));
            }
            for (index, meter) in at.meters.iter_mut().enumerate() {
                match stop(scope, meter) {
                    Some(stop) if meter.enforces() => later(&mut binding, stop, (scope, Some(index))),
                    Some(_) => meter.would_have_refused += 1,
                    None => {}
                }
            }
        }
        let (stop, found) = binding?;
        for scope in passed.iter() {
            self.scopes.touched(scope);
        }
        Some(self.refused(stop, found, now))
    }

    fn refused(&self, stop: Stop, (scope, meter): Found, now: Now) -> Refused {
        let meter = meter.and_then(|index| self.scopes.get(scope)?.meters.get(index));
        Refused {
            reason: stop.reason,
            wall: meter.map(|m| Arc::clone(&m.wall)),
            used: meter.map_or(0, |m| m.used(now)),
            limit: meter.map_or(0, |m| m.limit()),
            retry_at: stop.until.map(|mono| Now { mono, wall: now.wall_at(mono) }),
        }
    }

    fn take(&mut self, passed: Passed, asked: &Asked, now: Now) -> Charge {
        let valid = self.valid(now);
        for index in passed.iter() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            for meter in &mut scope.meters {
                meter.hold(asked.cost, valid, now);
            }
            self.scopes.touched(index);
        }
        Charge { passed, generation: self.scopes.generation, cost: asked.cost, sent: false, booked: None }
    }

    /// When this could pass if what is ahead passes before it and every answer comes at once: cost `in_key` against the walls of its operation
    /// and resource, `overall` against those of the upstream. None: never, or not as things are.
    pub fn forecast(&mut self, asked: &Asked, in_key: u64, overall: u64, now: Now) -> Option<Moment> {
        let mut at = now.mono;
        let valid = self.valid(now);
        let booked = self.booked_forecast(asked, now);
        for index in self.scopes.known(asked.operation, asked.resource).iter() {
            let ahead = if index == UPSTREAM { overall } else { in_key };
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            scope.advance(now);
            if self.throttles == Mode::Enforce {
                at = at.max(scope.gate.closed_until(now.mono).unwrap_or(at));
            }
            for meter in scope.meters.iter().filter(|m| m.enforces()) {
                at = at.max(match booked(index, meter) {
                    Some(at) => at,
                    None if meter.is_cut_off(asked.cost, valid) => return None,
                    None => meter.forecast(asked.cost, ahead, asked.priority, self.reserved_percent, now)?,
                });
            }
        }
        Some(at)
    }

    /// The first byte is about to go out: from here on it may have arrived.
    pub fn sent(&mut self, charge: &mut Charge) {
        charge.sent = true;
    }

    /// The answer is there, or nobody waits for it any more.
    pub fn answered(&mut self, charge: Charge, now: Now) {
        charge.booked.into_iter().for_each(|place| self.bookings.arrived(place));
        for index in charge.passed.iter() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            scope.advance(now);
            for meter in &mut scope.meters {
                meter.arrived(charge.cost, charge.generation, now);
            }
            self.scopes.touched(index);
        }
    }

    /// Gives the cost back, to its booking if it came from one. One that was [`sent`](Self::sent) is not given back.
    pub fn never_sent(&mut self, charge: Charge, now: Now) {
        if charge.sent {
            return self.answered(charge, now);
        }
        let is_booked = self.put_back(&charge);
        for index in charge.passed.iter() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            for meter in &mut scope.meters {
                if is_booked(index, meter) {
                    meter.rebook(charge.cost);
                } else {
                    meter.release(charge.cost, charge.generation);
                }
            }
        }
    }

    /// The system asked for a pause: closes what it named, for every caller, at most for [`MAX_CLOSED`].
    ///
    /// Where we thought that there was room, somebody else uses the quota: the fullest wall there is lowered, once for all calls that
    /// were under way then. `sent_at` is when the call was sent that was refused. Tell [`learn`](Self::learn) first what the same answer says.
    pub fn throttled(
        &mut self,
        about: About,
        retry_after: Option<Duration>,
        sent_at: Moment,
        now: Now,
    ) -> Option<Lowered> {
        let (operation, resource) = about.names();
        let scope = self.scopes.named(operation, resource, now);
        let gate = &mut self.scopes.get_mut(scope)?.gate;
        gate.close(retry_after, now);
        if let Some(until) = gate.closed_until(now.mono).filter(|_| self.throttles == Mode::Enforce) {
            let (operation, resource) = (operation.map(Arc::from), resource.map(Arc::from));
            self.tell(Pause { operation, resource, until });
        }
        // A pause of something that has no walls of its own is about the next wider thing that has.
        for (operation, resource) in [(operation, resource), (operation, None), (None, None)] {
            let index = self.scopes.named(operation, resource, now);
            let scope = self.scopes.get_mut(index)?;
            scope.advance(now);
            if scope.meters.iter().any(|m| m.wall.quota.span_ms().is_some()) {
                let lowered = lower_fullest(&mut scope.meters, sent_at, now);
                self.scopes.touched(index);
                return lowered;
            }
        }
        None
    }

    /// Takes the system's word for limit and use, where it is stricter than our own.
    pub fn learn(&mut self, seen: &Observation, now: Now) {
        let (operation, resource) = seen.about.names();
        let index = self.scopes.named(operation, resource, now);
        let Some(scope) = self.scopes.get_mut(index) else { return };
        scope.advance(now);
        let windows = scope.meters.iter().filter(|m| m.wall.quota.span_ms().is_some()).count();
        let meant = |meter: &&mut meter::Meter| match (seen.window, meter.wall.quota.span_ms()) {
            (Some(window), Some(span)) => window.as_millis() == u128::from(span),
            (None, Some(_)) => windows == 1,
            _ => false,
        };
        if let Some(meter) = scope.meters.iter_mut().find(meant) {
            meter.observe(seen, now);
            self.scopes.touched(index);
        } else if let (Some(0), Some(resets)) = (seen.remaining, seen.resets_at) {
            scope.gate.close(Some(now.mono.until(resets)), now);
        }
    }
}

type Found = (u32, Option<usize>);

/// Keeps the one that stands in the way for longer; what only an answer can end, or nothing, is longest.
fn later(binding: &mut Option<(Stop, Found)>, stop: Stop, found: Found) {
    let rank = |s: &Stop| (s.reason == Reason::TooLarge, s.until.is_none(), s.until);
    if binding.as_ref().is_none_or(|(old, _)| rank(&stop) > rank(old)) {
        *binding = Some((stop, found));
    }
}

fn overloaded() -> Refused {
    Refused { reason: Reason::Overloaded, wall: None, used: 0, limit: 0, retry_at: None }
}

/// Somebody else used what we thought was free.
fn lower_fullest(meters: &mut [meter::Meter], sent_at: Moment, now: Now) -> Option<Lowered> {
    let had_room = |m: &&mut meter::Meter| m.wall.quota.span_ms().is_some() && m.used(now) <= m.limit();
    let fullness = |m: &&mut meter::Meter| m.used(now).saturating_mul(1_000_000) / m.limit().max(1);
    let meter = meters.iter_mut().filter(had_room).max_by_key(fullness)?;
    if meter.learned.knew_at(sent_at) {
        return None;
    }
    let from = meter.limit();
    let span = meter.wall.quota.span_ms().unwrap_or_default();
    let to = meter.learned.lower(meter.wall.quota.count, span, now.mono);
    meter.lowered = true;
    (to < from).then(|| Lowered { wall: Arc::clone(&meter.wall), from, to })
}
