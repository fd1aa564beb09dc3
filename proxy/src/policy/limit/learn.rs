//! What the upstream itself says about a wall: a lower limit, somebody else's use, a throttle.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::time::{Moment, Now};

/// Of the present limit, in percent: what is left of it after a throttle that nobody expected.
const LOWERED_PERCENT: u64 = 70;

/// Of the configured limit, in percent: lower than this nothing is learned, or one system's bad hour starves everybody.
const FLOOR_PERCENT: u64 = 10;

/// Of the configured limit, in percent: how much of it comes back with each step.
const STEP_PERCENT: u64 = 10;

/// Shortest and longest time between two steps; in between, a step follows each window without a throttle.
const STEP_MS: (u64, u64) = (10_000, 600_000);

/// Longest closing by one throttle. A system may say a year, by mistake or malice; one call per hour finds out.
pub const MAX_CLOSED: Duration = Duration::from_secs(3_600);

/// Shortest closing by one throttle: a system that says "at once" after refusing is asked again, not hammered.
const MIN_CLOSED: Duration = Duration::from_millis(100);

/// How long a throttle without a time closes: doubled with each that follows, up to the second.
const CLOSED_MS: (u64, u64) = (1_000, 60_000);

/// A limit that was lowered, as stores keep it: by how much it rises and how often, and in how many milliseconds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowering {
    pub limit: u64,
    pub rises_in_ms: i64,
    pub by: u64,
    pub every_ms: u64,
}

/// What was learned about one wall's limit.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    lowered: Option<u64>,
    lowered_at: Moment,
    next_step: Moment,
    /// The limit that the upstream states, until when it holds.
    stated: Option<(u64, Moment)>,
}

impl Learned {
    /// The limit that holds now.
    pub fn limit(&self, configured: u64) -> u64 {
        let stated = self.stated.map_or(configured, |(limit, _)| limit);
        configured.min(stated).min(self.lowered.unwrap_or(configured))
    }

    /// Takes the steps that are due.
    pub fn advance(&mut self, configured: u64, span_ms: u64, now: Moment) {
        if self.stated.is_some_and(|(_, until)| until <= now) {
            self.stated = None;
        }
        while let Some(limit) = self.lowered.filter(|_| self.next_step <= now) {
            let higher = limit.saturating_add(step(configured));
            self.lowered = (higher < configured).then_some(higher);
            self.next_step = Moment(self.next_step.0.saturating_add(step_ms(span_ms)));
        }
    }

    /// Somebody else uses this quota. Returns the limit from now on.
    pub fn lower(&mut self, configured: u64, span_ms: u64, now: Moment) -> u64 {
        let floor = (configured * FLOOR_PERCENT / 100).max(1);
        let lower = (self.limit(configured) * LOWERED_PERCENT / 100).max(floor);
        self.lowered = Some(lower);
        self.lowered_at = now;
        self.next_step = Moment(now.0.saturating_add(step_ms(span_ms)));
        lower
    }

    /// What stores keep of it, if it is lowered.
    pub fn lowering(&self, configured: u64, span_ms: u64, now: Moment) -> Option<Lowering> {
        let rises_in_ms = self.next_step.0.cast_signed().saturating_sub(now.0.cast_signed());
        self.lowered.map(|limit| Lowering {
            limit,
            rises_in_ms,
            by: step(configured),
            every_ms: step_ms(span_ms),
        })
    }

    /// Takes a store's word that it was lowered, if that is lower than what is known here. Whatever is under way was sent before.
    pub fn adopt(&mut self, told: Lowering, configured: u64, now: Moment) {
        let Lowering { limit, rises_in_ms, by, every_ms } = told;
        let late = now.0.cast_signed().saturating_add(rises_in_ms);
        let passed = rises_in_ms.min(0).unsigned_abs();
        let steps = if rises_in_ms > 0 { 0 } else { passed / every_ms.max(1) + 1 };
        let limit = limit.saturating_add(steps.saturating_mul(by)).max(1);
        if limit < self.limit(configured) {
            let next = late.saturating_add_unsigned(steps.saturating_mul(every_ms));
            self.lowered = Some(limit);
            self.lowered_at = now;
            self.next_step = Moment(u64::try_from(next).unwrap_or(0));
        }
    }

    /// Whether what was sent then was sent before it was lowered, so that its refusal says nothing new.
    pub fn knew_at(&self, sent_at: Moment) -> bool {
        self.lowered.is_some() && sent_at <= self.lowered_at
    }

    /// The upstream states its limit.
    pub fn state(&mut self, limit: u64, until: Moment) {
        self.stated = Some((limit.max(1), until));
    }

    /// The learned limit, if it is lower than the configured one, and when it rises.
    pub fn lowered(&self) -> Option<(u64, Moment)> {
        self.lowered.map(|limit| (limit, self.next_step))
    }

    pub fn is_empty(&self) -> bool {
        self.lowered.is_none() && self.stated.is_none()
    }
}

fn step(configured: u64) -> u64 {
    (configured * STEP_PERCENT / 100).max(1)
}

fn step_ms(span_ms: u64) -> u64 {
    span_ms.clamp(STEP_MS.0, STEP_MS.1)
}

/// What others used of a wall, as far as the upstream shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    amount: u64,
    until: Moment,
    /// When the request was sent whose answer showed it.
    asked: Moment,
}

impl Outside {
    pub fn amount(&self, now: Moment) -> u64 {
        if now < self.until { self.amount } else { 0 }
    }

    pub fn until(&self) -> Moment {
        self.until
    }

    /// Takes an answer's word. An answer to an older request than the last one may only add.
    pub fn see(&mut self, amount: u64, until: Moment, asked: Moment, now: Moment) {
        if asked < self.asked && amount < self.amount(now) {
            return;
        }
        *self = Self { amount, until, asked: asked.max(self.asked) };
    }
}

/// A gate that the upstream closed for a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    until: Moment,
    /// The last closing without a stated time, in milliseconds.
    last_ms: u64,
}

impl Gate {
    pub fn closed_until(&self, now: Moment) -> Option<Moment> {
        (now < self.until).then_some(self.until)
    }

    /// Closes it; never shortens a closing.
    pub fn close(&mut self, retry_after: Option<Duration>, now: Now) {
        let wait = match retry_after {
            Some(wait) => wait.clamp(MIN_CLOSED, MAX_CLOSED),
            None => Duration::from_millis(self.next_ms(now.mono)),
        };
        self.until = self.until.max(now.mono + wait);
    }

    /// Closes it for as long as another sidecar, or a process before this one, was told to.
    pub fn close_until(&mut self, until: Moment, now: Moment) {
        self.until = self.until.max(until.min(now + MAX_CLOSED));
    }

    /// Twice as long as the last time, unless that one helped for as long as it lasted.
    fn next_ms(&mut self, now: Moment) -> u64 {
        let calm = now.0 >= self.until.0.saturating_add(self.last_ms.max(CLOSED_MS.0));
        if now >= self.until {
            self.last_ms =
                if calm { CLOSED_MS.0 } else { (self.last_ms * 2).clamp(CLOSED_MS.0, CLOSED_MS.1) };
        }
        self.last_ms.max(CLOSED_MS.0)
    }

    /// Whether it is open and would not remember having been closed.
    pub fn is_empty(&self, now: Moment) -> bool {
        now.0 >= self.until.0.saturating_add(self.last_ms)
    }
}
