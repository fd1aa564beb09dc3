//! One wall before one scope: its window, what was learned about it, its pace.

use std::sync::Arc;
use std::time::Duration;

use super::booking::{MOST_BOOKED_PERCENT, WAITED_FOR_MS};
use super::grant::{Grant, Keeping, UNWRITTEN_MS, Valid};
use super::learn::{Learned, Lowering, Outside};
use super::pace::Pace;
use super::quota::{Kind, MAX_COUNT};
use super::rate::Rate;
use super::walls::Wall;
use super::window::Window;
use super::{Observation, Reason, Seen};
use crate::policy::time::{Moment, Now};
use crate::policy::{Mode, Priority};

#[derive(Clone, Debug)]
pub struct Meter {
    pub wall: Arc<Wall>,
    pub window: Window,
    pub learned: Learned,
    pub rate: Rate,
    /// How often an observed wall would have refused.
    pub would_have_refused: u64,
    /// The generation of walls that it came with: earlier charges are not in it.
    since: u32,
    /// What a store lets us spend; none for a wall that is counted here alone.
    pub grant: Option<Grant>,
    /// What the upstream showed as used, and whether the limit was lowered, for the store to hear.
    pub seen: Option<Seen>,
    pub lowered: bool,
    /// Cost that is reserved and not under way; the window holds it.
    booked: u64,
    /// A restart knows nothing of what came before: closed until then.
    opens_at: Moment,
    outside: Outside,
    pace: Option<Pace>,
}

/// Why a wall stands in the way, and until when; none where only an answer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub reason: Reason,
    pub until: Option<Moment>,
}

/// What one call asks of every wall that it passes.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    pub cost: u64,
    pub priority: Priority,
    pub reserved_percent: u8,
    pub valid: Valid,
}

impl Meter {
    pub fn new(wall: Arc<Wall>, since: u32, keeping: Keeping) -> Self {
        Self {
            grant: grant(&wall, keeping),
            seen: None,
            lowered: false,
            opens_at: opens_at(&wall, keeping),
            since,
            window: Window::new(&wall.quota),
            pace: pace(&wall),
            learned: Learned::default(),
            rate: Rate::default(),
            would_have_refused: 0,
            booked: 0,
            outside: Outside::default(),
            wall,
        }
    }

    /// Another wall of the same kind in this one's place: what was counted stays.
    pub fn replace(&mut self, wall: Arc<Wall>, keeping: Keeping) {
        if wall.mode != self.wall.mode {
            self.grant =
                grant(&wall, keeping).map(|grant| grant.after(self.window.used() - self.window.held()));
        }
        if let Window::Rolling(rolling) = &mut self.window {
            rolling.resize(wall.quota.count);
        }
        self.pace = pace(&wall);
        self.wall = wall;
    }

    pub fn advance(&mut self, now: Now) {
        self.window.advance(now);
        if !self.learned.is_empty() {
            self.learned.advance(self.wall.quota.count, self.span_ms(), now.mono);
        }
    }

    fn span_ms(&self) -> u64 {
        self.wall.quota.span_ms().unwrap_or(0)
    }

    pub fn limit(&self) -> u64 {
        self.learned.limit(self.wall.quota.count)
    }

    /// What stores keep of a limit that was lowered.
    pub fn lowering(&self, now: Moment) -> Option<Lowering> {
        self.learned.lowering(self.wall.quota.count, self.span_ms(), now)
    }

    /// Whether a store of that kind should hear of it now.
    pub fn presses(&self, keeping: Keeping) -> bool {
        match (keeping, &self.grant) {
            (Keeping::Memory, _) | (_, None) => false,
            (Keeping::Disk { .. }, Some(grant)) => self.lowered || grant.is_low(self.wall.quota.count),
            (Keeping::Shared(_), Some(grant)) => self.lowered || grant.is_missed(),
        }
    }

    /// What counts: ours, and what the upstream shows of others'.
    pub fn used(&self, now: Now) -> u64 {
        let ours = self.window.used().saturating_add(self.outside.amount(now.mono));
        ours.max(self.grant.as_ref().map_or(0, |g| g.used(now.mono)))
    }

    pub fn enforces(&self) -> bool {
        self.wall.mode == Mode::Enforce
    }

    /// What `cost` of this priority may fill the window up to. Whatever is not larger than the wall itself passes an empty one.
    fn ceiling(&self, weight: u64, priority: Priority, reserved_percent: u8) -> u64 {
        let limit = self.limit();
        let kept = match priority {
            Priority::Interactive => 0,
            Priority::Background => limit * u64::from(reserved_percent) / 100,
        };
        (limit - kept).max(weight.min(self.wall.quota.count))
    }

    /// What stops this now, if anything does.
    pub fn stop(&mut self, asking: &Asking, now: Now) -> Option<Stop> {
        self.stop_at_window(asking, now).or_else(|| self.stop_at_pace(now))
    }

    fn stop_at_window(&mut self, asking: &Asking, now: Now) -> Option<Stop> {
        let weight = self.window.weight(asking.cost);
        let ceiling = self.ceiling(weight, asking.priority, asking.reserved_percent);
        if weight > ceiling {
            return Some(Stop { reason: Reason::TooLarge, until: None });
        }
        let ours = self.window.used().saturating_add(self.outside.amount(now.mono));
        if ours.saturating_add(weight) > ceiling {
            return Some(self.full(weight, ceiling, ours, now));
        }
        if now.mono < self.opens_at {
            return Some(Stop { reason: Reason::Window, until: Some(self.opens_at) });
        }
        self.ungranted(weight, ceiling, asking.valid, now)
    }

    fn stop_at_pace(&self, now: Now) -> Option<Stop> {
        let free = self.pace.as_ref().map(Pace::free_at).filter(|&free| free > now.mono)?;
        Some(Stop { reason: Reason::Paced, until: Some(free) })
    }

    /// Whether calls can be reserved here.
    pub fn is_bookable(&self) -> bool {
        self.span_ms() > WAITED_FOR_MS
    }

    /// Whether charges of that generation of walls are in it.
    pub fn has_counted(&self, generation: u32) -> bool {
        generation >= self.since
    }

    /// Cost that is reserved and not under way.
    pub fn booked(&self) -> u64 {
        self.booked
    }

    fn most_booked(&self) -> u64 {
        (self.limit().saturating_mul(MOST_BOOKED_PERCENT) / 100).max(1)
    }

    /// By how much reserving so much more would be too much.
    pub fn overbooked(&self, cost: u64) -> u64 {
        self.booked.saturating_add(cost).saturating_sub(self.most_booked())
    }

    /// What keeps so much from being reserved, if anything does.
    pub fn stop_booking(&mut self, asking: &Asking, now: Now) -> Option<Stop> {
        if !self.is_bookable() {
            return None;
        }
        if asking.cost > self.most_booked() {
            return Some(Stop { reason: Reason::TooLarge, until: None });
        }
        let stop = self.stop_at_window(asking, now);
        let is_overbooked = self.overbooked(asking.cost) > 0;
        stop.or_else(|| is_overbooked.then_some(Stop { reason: Reason::Booked, until: None }))
    }

    /// What stops a call that was reserved: only what was not known then, which is others' use, a lower limit, or a store that does not answer.
    pub fn stop_booked(&self, asking: &Asking, now: Now) -> Option<Stop> {
        let ours = self.window.used().saturating_add(self.outside.amount(now.mono));
        let room = self.limit().saturating_add(self.booked).saturating_sub(asking.cost);
        if ours > room {
            return Some(Stop { reason: Reason::Window, until: self.room_at(room, now) });
        }
        if self.grant.is_some() && !asking.valid.leased {
            return Some(Stop { reason: Reason::Reserving, until: None });
        }
        self.stop_at_pace(now)
    }

    pub fn book(&mut self, cost: u64, valid: Valid) {
        if let Some(grant) = &mut self.grant {
            grant.take(cost, valid);
        }
        self.window.hold(cost);
        self.booked = self.booked.saturating_add(cost);
    }

    pub fn unbook(&mut self, cost: u64) {
        if let Some(grant) = &mut self.grant {
            grant.untake(cost);
        }
        self.window.release(cost);
        self.booked = self.booked.saturating_sub(cost);
    }

    /// A reserved call is sent: the window holds it already.
    pub fn spend_booked(&mut self, cost: u64, now: Now) {
        self.booked = self.booked.saturating_sub(cost);
        self.rate.add(cost, self.span_ms(), now.mono);
        if let Some(pace) = &mut self.pace {
            pace.take(cost, now.mono);
        }
    }

    /// It was not sent after all.
    pub fn rebook(&mut self, cost: u64) {
        self.booked = self.booked.saturating_add(cost);
        if let Some(pace) = &mut self.pace {
            pace.put_back(cost);
        }
    }

    fn full(&self, weight: u64, ceiling: u64, ours: u64, now: Now) -> Stop {
        let reason = match self.window {
            Window::Concurrent(_) => Reason::Concurrent,
            _ if ours.saturating_add(weight) <= self.limit() => Reason::Reserved,
            _ => Reason::Window,
        };
        let paced = self.pace.as_ref().map(Pace::free_at);
        let until = self.room_at(ceiling - weight, now);
        Stop { reason, until: until.map(|at| at.max(paced.unwrap_or(at))) }
    }

    /// What stops it because the store has granted too little; the store hears of it.
    fn ungranted(&mut self, weight: u64, ceiling: u64, valid: Valid, now: Now) -> Option<Stop> {
        let grant = self.grant.as_mut()?;
        let all = grant.used(now.mono);
        if ceiling < self.learned.limit(self.wall.quota.count) && all > ceiling {
            return Some(Stop { reason: Reason::Reserved, until: None });
        }
        if grant.covers(weight, valid) {
            return None;
        }
        grant.miss(weight);
        match (grant.denied_until(now.mono), &self.window) {
            (Some(until), Window::Rolling(_) | Window::Calendar(_)) => {
                Some(Stop { reason: Reason::Window, until: Some(until) })
            }
            (Some(_), Window::Concurrent(_)) => Some(Stop { reason: Reason::Concurrent, until: None }),
            (None, _) if valid.away => Some(Stop { reason: Reason::Away, until: None }),
            (None, _) => Some(Stop { reason: Reason::Reserving, until: None }),
        }
    }

    /// Whether nothing of it can be spent before its store answers again, which may take for ever.
    pub fn is_cut_off(&self, cost: u64, valid: Valid) -> bool {
        let weight = self.window.weight(cost);
        valid.away && self.grant.as_ref().is_some_and(|grant| !grant.covers(weight, valid))
    }

    /// When no more than `room` is used by us and others.
    fn room_at(&self, room: u64, now: Now) -> Option<Moment> {
        let outside = self.outside.amount(now.mono);
        let without = self.window.room_at(room, now)?;
        if outside == 0 {
            return Some(without);
        }
        let without = without.max(self.outside.until());
        match room.checked_sub(outside) {
            Some(beside) => self.window.room_at(beside, now).map(|with| with.min(without)),
            None => Some(without),
        }
    }

    /// When `cost` could pass if `ahead` passes before it and every answer comes at once; none if never.
    pub fn forecast(
        &self,
        cost: u64,
        ahead: u64,
        priority: Priority,
        reserved: u8,
        now: Now,
    ) -> Option<Moment> {
        let weight = self.window.weight(cost);
        let ceiling = self.ceiling(weight, priority, reserved);
        if weight > ceiling {
            return None;
        }
        let free = match self.window {
            Window::Rolling(_) => {
                // The same place in the window comes free once per window.
                let place = ahead.saturating_add(weight) - 1;
                let at = self.room_at(ceiling - place % ceiling - 1, now)?;
                at + Duration::from_millis((place / ceiling).saturating_mul(self.span_ms()))
            }
            Window::Calendar(ref calendar) => {
                let today = ceiling.saturating_sub(self.used(now));
                match ahead.saturating_add(weight).checked_sub(today + 1) {
                    None => now.mono,
                    Some(over) => {
                        let days = (over / ceiling).saturating_mul(self.span_ms());
                        calendar.resets_at(now) + Duration::from_millis(days)
                    }
                }
            }
            Window::Concurrent(_) => now.mono,
        };
        let denied = self.grant.as_ref().and_then(|g| g.denied_until(now.mono));
        let free = free.max(denied.unwrap_or(free));
        Some(self.pace.as_ref().map_or(free, |p| free.max(p.free_after(ahead, now.mono))))
    }

    pub fn hold(&mut self, cost: u64, valid: Valid, now: Now) {
        let weight = self.window.weight(cost);
        self.window.hold(weight);
        if let Some(grant) = &mut self.grant {
            grant.take(weight, valid);
            grant.holds(self.window.held());
        }
        self.rate.add(weight, self.span_ms(), now.mono);
        if let Some(pace) = &mut self.pace {
            pace.take(cost, now.mono);
        }
    }

    /// Takes back what a charge of the generation `since` held.
    pub fn release(&mut self, cost: u64, since: u32) {
        if since < self.since {
            return;
        }
        let weight = self.window.weight(cost);
        self.window.release(weight);
        if let Some(grant) = &mut self.grant {
            grant.untake(weight);
        }
        if let Some(pace) = &mut self.pace {
            pace.put_back(cost);
        }
    }

    pub fn arrived(&mut self, cost: u64, since: u32, now: Now) {
        if since < self.since {
            return;
        }
        let weight = self.window.weight(cost);
        self.window.arrived(weight, now);
        match (&mut self.grant, &self.window) {
            // An answer frees the place that was granted.
            (Some(grant), Window::Concurrent(_)) => grant.put_back(weight),
            (Some(grant), _) => grant.arrived(weight, now.mono),
            (None, _) => {}
        }
    }

    /// Takes the upstream's word for what is used, if it is more than we know. Upstreams and connectors say what they like: counts that no wall
    /// can have are taken for the largest.
    pub fn observe(&mut self, seen: &Observation, now: Now) {
        let Some(window_ends) = self.window.counts_until(now) else { return };
        let resets = seen.resets_at.map_or(window_ends, |at| at.min(window_ends)).max(now.mono);
        let parts = self.wall.parts;
        let stated = seen.limit.map(|limit| limit.min(MAX_COUNT));
        if let Some(limit) = stated {
            self.learned.state(limit / parts, window_ends);
        }
        let limit = stated.unwrap_or(self.wall.quota.count.saturating_mul(parts));
        let used = seen.used.or_else(|| Some(limit.saturating_sub(seen.remaining?)));
        let used = used.map(|used| used.min(MAX_COUNT));
        if let Some(used) = used.filter(|_| self.window.is_news(seen.asked_at, resets, now)) {
            // The upstream spoke when the request arrived; what left since then counted. What is reserved has not arrived anywhere.
            let left = self.window.left_since(seen.asked_at);
            let own = self.window.used().saturating_sub(self.booked).saturating_add(left);
            // Those who share the wall are not somebody else: a store knows what they use; of parts it is known what they may.
            let all = self.grant.as_ref().map_or(0, |g| g.used(now.mono)).max(own);
            let fellows = limit - limit / parts;
            let others = used.saturating_sub(all.saturating_add(fellows));
            self.outside.see(others, resets, seen.asked_at, now.mono);
            // A store that forgot takes this for all there is: it is told the whole.
            let ends = (resets < window_ends).then_some(resets);
            let seen = Seen { used, asked_at: seen.asked_at, ends };
            self.seen = self.grant.is_some().then_some(seen);
        }
    }

    /// Whether nothing that counts would be lost with it. A disk has nothing to be told: what was written of it goes.
    pub fn is_empty(&self, keeping: Keeping, now: Now) -> bool {
        let is_shared = matches!(keeping, Keeping::Shared(_));
        self.window.is_empty()
            && (!is_shared || self.grant.as_ref().is_none_or(Grant::is_told))
            && self.outside.amount(now.mono) == 0
            && self.learned.is_empty()
    }
}

fn pace(wall: &Wall) -> Option<Pace> {
    match wall.quota.kind {
        Kind::Rolling { window_ms, paced: true } => Some(Pace::new(wall.quota.count, window_ms)),
        _ => None,
    }
}

/// A wall that is only observed asks nobody.
fn grant(wall: &Wall, keeping: Keeping) -> Option<Grant> {
    let kept = match keeping {
        Keeping::Memory => false,
        Keeping::Disk { .. } => wall.quota.span_ms().is_some_and(|span| span > UNWRITTEN_MS),
        Keeping::Shared(_) => true,
    };
    (kept && wall.mode == Mode::Enforce).then(Grant::default)
}

fn opens_at(wall: &Wall, keeping: Keeping) -> Moment {
    match (keeping, wall.quota.span_ms()) {
        (Keeping::Disk { since }, Some(span)) if span <= UNWRITTEN_MS => {
            Moment(since.0.saturating_add(span + 1))
        }
        _ => Moment(0),
    }
}
