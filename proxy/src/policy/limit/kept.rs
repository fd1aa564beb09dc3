//! What stores are told and tell: which walls, what is written down of them, what is asked for. The stores are in `state`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grant::{Grant, Moved, Valid};
use super::learn::Lowering;
use super::meter::Meter;
use super::walls::Wall;
use super::window::Window;
use super::{Limits, Seen};
use crate::policy::time::{Moment, Now};

/// A wall, whatever its number: an operator who changes the number keeps the count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallKey {
    pub operation: Option<Arc<str>>,
    pub resource: Option<Arc<str>>,
    /// What it counts over, such as `24h` or `day Europe/Berlin`.
    pub span: Arc<str>,
}

impl WallKey {
    pub fn of(wall: &Wall, resource: Option<Arc<str>>) -> Self {
        Self { operation: wall.operation.clone(), resource, span: wall.quota.span_name().into() }
    }
}

/// What is written down of one wall: enough to count on after the process died at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub key: WallKey,
    /// In how many milliseconds which cost no longer counts.
    pub steps: Vec<(u64, u64)>,
    /// For a calendar window: the period's start in milliseconds since 1970, and what was spent in it.
    pub period: (i64, u64),
    /// In how many milliseconds that period is over, whoever sets the clock.
    #[serde(default)]
    pub ends_in_ms: u64,
    /// What may have been spent since: under way, or granted.
    pub open: u64,
    #[serde(default)]
    pub lowered: Option<Lowering>,
}

/// Something to be written, and what it grants then.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub written: Written,
    scope: u32,
    more: u64,
}

/// What is asked of a store that others share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub key: WallKey,
    pub span: Span,
    pub limit: u64,
    /// How long ago the last of it arrived, in milliseconds.
    pub age_ms: u64,
    pub moved: Moved,
    /// What the upstream itself showed as used, if that is more than we know.
    pub seen: Option<Seen>,
    /// A limit that was lowered since the store heard of it last.
    pub lowered: Option<Lowering>,
    /// Whether nothing may be granted any more: the process ends.
    pub is_last: bool,
    scope: u32,
}

/// How a shared store counts a wall. In milliseconds; a period since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Rolling { window: u64, grain: u64 },
    Calendar { start: i64, end: i64 },
    Concurrent,
}

/// What a shared store answers for one wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub granted: u64,
    pub emergency: u64,
    /// Spent and held by all.
    pub used: u64,
    /// When there may be something again, if nothing was granted.
    pub retry_in_ms: Option<u64>,
    /// The limit that any of the sidecars learned, and when it rises, if it is lower than the one that was asked with.
    pub lowered: Option<(u64, u64)>,
}

impl Limits {
    /// Whether somebody waits for the store, or soon will. Ask after every call of the others, and let the store know.
    pub fn wants_store(&self) -> bool {
        self.scopes.is_urgent()
    }

    /// What must be on disk before more is spent. Each is to be confirmed by [`written`](Self::written), or tried again.
    pub fn to_write(&mut self, now: Now) -> Vec<Reservation> {
        let (mut found, keeping) = (Vec::new(), self.keeping);
        for index in self.scopes.take_due() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            scope.advance(now);
            for meter in scope.meters.iter_mut().filter(|m| m.presses(keeping)) {
                meter.lowered = false;
                let Some(grant) = &meter.grant else { continue };
                let spendable = grant.to_write(meter.wall.quota.count);
                let open = meter.window.held() + spendable;
                let written = write(meter, scope.resource.clone(), open, now);
                found.push(Reservation { written, scope: index, more: spendable - grant.spendable() });
            }
        }
        found
    }

    /// What the disk need not keep any more, to be taken off it before anything else is written. Who cannot do so gives it
    /// [back](Self::not_forgotten).
    pub fn forgotten(&mut self) -> Vec<WallKey> {
        self.scopes.take_forgotten()
    }

    pub fn not_forgotten(&mut self, keys: Vec<WallKey>) {
        self.scopes.not_forgotten(keys);
    }

    /// It is on disk: what it grants may be spent.
    pub fn written(&mut self, reservation: &Reservation) {
        if let Some(meter) = self.meter(reservation.scope, &reservation.written.key)
            && let Some(grant) = &mut meter.grant
        {
            grant.written(reservation.more);
        }
    }

    /// It could not be written: it will be among the next to be.
    pub fn not_written(&mut self, reservation: &Reservation) {
        if let Some(meter) = self.meter(reservation.scope, &reservation.written.key) {
            meter.lowered |= reservation.written.lowered.is_some();
        }
        self.scopes.touched(reservation.scope);
    }

    /// Everything that counts, for a process that ends in order, or begins: nothing is granted any more.
    pub fn last_words(&mut self, now: Now) -> Vec<Written> {
        self.end_all_bookings();
        let mut found = Vec::new();
        for scope in self.scopes.iter_mut() {
            scope.advance(now);
            let resource = scope.resource.clone();
            for meter in scope.meters.iter_mut().filter(|m| m.grant.is_some()) {
                found.push(write(meter, resource.clone(), meter.window.held(), now));
                meter.grant = meter.grant.take().map(|_| Default::default());
            }
        }
        found.retain(|written| {
            written.open > 0 || written.period.1 > 0 || !written.steps.is_empty() || written.lowered.is_some()
        });
        found
    }

    /// Takes up what a process before this one wrote `elapsed_ms` ago. What was open then counts as spent now. False if there is no such wall.
    pub fn restore(&mut self, written: &Written, elapsed_ms: u64, now: Now) -> bool {
        let key = &written.key;
        let scope = self.scopes.named(key.operation.as_deref(), key.resource.as_deref(), now);
        let Some(meter) = self.meter(scope, key) else { return false };
        if let Some(lowered) = written.lowered {
            let rises_in_ms = lowered.rises_in_ms.saturating_sub_unsigned(elapsed_ms);
            meter.learned.adopt(Lowering { rises_in_ms, ..lowered }, meter.wall.quota.count, now.mono);
        }
        match &mut meter.window {
            Window::Rolling(rolling) => {
                let left = |&(in_ms, cost): &(u64, u64)| Some((in_ms.checked_sub(elapsed_ms)?, cost));
                let steps = written.steps.iter().filter_map(left);
                rolling
                    .restore(steps.map(|(ms, cost)| (Moment(now.mono.0.saturating_add(ms)), cost)), now.mono);
                rolling.record(written.open, now.mono);
            }
            Window::Calendar(calendar) => {
                let left_ms = written.ends_in_ms.saturating_sub(elapsed_ms);
                calendar.restore(written.period, left_ms, now);
                calendar.record(written.open);
            }
            Window::Concurrent(_) => {}
        }
        true
    }

    fn meter(&mut self, scope: u32, key: &WallKey) -> Option<&mut Meter> {
        let scope = self.scopes.get_mut(scope).filter(|s| s.resource == key.resource)?;
        let same =
            |m: &&mut Meter| m.wall.operation == key.operation && m.wall.quota.span_name() == *key.span;
        scope.meters.iter_mut().filter(|m| m.grant.is_some()).find(same)
    }

    /// What the shared store should hear now. Until [`exchanged`](Self::exchanged) tells its answer, no other exchange may begin: an
    /// exchange that got none is repeated as it is.
    pub fn exchange(&mut self, now: Now) -> Vec<Ask> {
        self.end_bookings(now);
        let elapsed = now.mono.0.saturating_sub(self.exchanged_at.0);
        let valid = self.valid(now);
        self.exchanged_at = now.mono;
        let is_last = self.is_ending;
        let mut asks = Vec::new();
        for index in self.scopes.take_due() {
            let Some(scope) = self.scopes.get_mut(index) else { continue };
            scope.advance(now);
            let resource = scope.resource.clone();
            for meter in &mut scope.meters {
                asks.extend(ask(meter, resource.clone(), index, (elapsed, valid, is_last), now));
            }
        }
        asks
    }

    /// The process ends: the exchanges from now on give everything back, until there is [nothing left](Self::has_due) to say.
    pub fn give_back(&mut self) {
        self.is_ending = true;
        self.end_all_bookings();
        self.grants_expired();
        self.scopes.set_all_due();
    }

    /// Whether there is anything that a store should hear at some time.
    pub fn has_due(&self) -> bool {
        self.scopes.has_due()
    }

    /// What was granted is over: the store has not heard of us for too long, and counts it as spent.
    pub fn grants_expired(&mut self) {
        for grant in self.scopes.iter_mut().flat_map(|s| &mut s.meters).filter_map(|m| m.grant.as_mut()) {
            grant.expire();
        }
    }

    /// What the store answered to an exchange that began at `asked_at`: what it granted may be spent for a lease's time from then.
    pub fn exchanged(&mut self, asks: &[Ask], answers: &[Answer], asked_at: Moment, now: Now) {
        self.heard_at = Some(self.heard_at.unwrap_or(asked_at).max(asked_at));
        self.store_away = None;
        for (ask, answer) in asks.iter().zip(answers) {
            let Some(meter) = self.meter(ask.scope, &ask.key) else { continue };
            let span = meter.wall.quota.span_ms().unwrap_or_default();
            if let Some(grant) = &mut meter.grant {
                grant.exchanged(answer, span, asked_at, now.mono);
            }
            if let Some((limit, rises_in_ms)) = answer.lowered {
                let (by, every_ms) = (0, span);
                let rises_in_ms = i64::try_from(rises_in_ms).unwrap_or(i64::MAX);
                let told = Lowering { limit, rises_in_ms, by, every_ms };
                meter.learned.adopt(told, meter.wall.quota.count, now.mono);
            }
            // What is not spent is to be given back, what was refused is to be asked for again.
            if !self.is_ending {
                self.scopes.touched(ask.scope);
            }
        }
        if self.is_ending {
            self.grants_expired();
        }
    }

    /// The store does not answer: from now on the share for emergencies may be spent.
    pub fn store_is_away(&mut self, now: Now) {
        self.store_away.get_or_insert(now.mono);
    }
}

fn write(meter: &Meter, resource: Option<Arc<str>>, open: u64, now: Now) -> Written {
    let (steps, period, ends_in_ms) = match &meter.window {
        Window::Rolling(rolling) => {
            let step = |(at, cost): (Moment, u64)| (at.0.saturating_sub(now.mono.0), cost);
            (rolling.steps().map(step).collect(), (0, 0), 0)
        }
        Window::Calendar(calendar) => (Vec::new(), calendar.spent(), calendar.ends_in_ms(now)),
        Window::Concurrent(_) => (Vec::new(), (0, 0), 0),
    };
    let lowered = meter.lowering(now.mono);
    Written { key: WallKey::of(&meter.wall, resource), steps, period, ends_in_ms, open, lowered }
}

fn ask(
    meter: &mut Meter,
    resource: Option<Arc<str>>,
    scope: u32,
    (elapsed_ms, valid, is_last): (u64, Valid, bool),
    now: Now,
) -> Option<Ask> {
    let key = WallKey::of(&meter.wall, resource);
    let span = match &meter.window {
        Window::Rolling(rolling) => rolling.span(),
        Window::Calendar(calendar) => {
            let (start, end) = calendar.bounds()?;
            Span::Calendar { start, end }
        }
        Window::Concurrent(_) => Span::Concurrent,
    };
    let (limit, held) = (meter.limit(), meter.window.held());
    let is_news =
        |seen: &Seen| meter.window.is_news(seen.asked_at, seen.ends.unwrap_or(Moment(u64::MAX)), now);
    let seen = meter.seen.take().filter(is_news);
    let lowered = if std::mem::take(&mut meter.lowered) { meter.lowering(now.mono) } else { None };
    let has_news = seen.is_some() || lowered.is_some();
    let is_news = |g: &&mut Grant| g.is_due() || has_news || (is_last && g.is_known());
    let grant = meter.grant.as_mut().filter(is_news)?;
    let moved = match span {
        Span::Concurrent => grant.exchange_places(held, valid, now.mono),
        Span::Rolling { .. } | Span::Calendar { .. } => grant.exchange(held, elapsed_ms, valid, now.mono),
    };
    let age_ms = now.mono.0.saturating_sub(moved.arrived_at.0);
    Some(Ask { key, span, limit, age_ms, moved, seen, lowered, is_last, scope })
}
