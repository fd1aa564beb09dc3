//! One of the things that a wall counts, behind one face.

use super::calendar::Calendar;
use super::quota::{Kind, Quota};
use super::rolling::Rolling;
use crate::policy::time::{Moment, Now};

#[derive(Clone, Debug)]
pub enum Window {
    Rolling(Rolling),
    Calendar(Calendar),
    /// Calls under way.
    Concurrent(u64),
}

impl Window {
    pub fn new(quota: &Quota) -> Self {
        match &quota.kind {
            Kind::Rolling { window_ms, .. } => Self::Rolling(Rolling::new(quota.count, *window_ms)),
            Kind::Calendar { every, zone } => Self::Calendar(Calendar::new(*every, zone.clone())),
            Kind::Concurrent => Self::Concurrent(0),
        }
    }

    pub fn advance(&mut self, now: Now) {
        match self {
            Self::Rolling(w) => w.advance(now.mono),
            Self::Calendar(w) => w.advance(now),
            Self::Concurrent(_) => {}
        }
    }

    /// What of `cost` counts here: a call under way is one, whatever it costs.
    pub fn weight(&self, cost: u64) -> u64 {
        if matches!(self, Self::Concurrent(_)) { 1 } else { cost }
    }

    pub fn used(&self) -> u64 {
        match self {
            Self::Rolling(w) => w.used(),
            Self::Calendar(w) => w.used(),
            Self::Concurrent(held) => *held,
        }
    }

    /// What of all that counted at any time since `then` counts no more; of a day that is over nobody tells.
    pub fn left_since(&mut self, then: Moment) -> u64 {
        if let Self::Rolling(w) = self { w.left_since(then) } else { 0 }
    }

    /// Whether what an upstream said in answer to something sent then, and what it said would end at `until`, still counts: a day that is over
    /// says nothing of the next.
    pub fn is_news(&self, asked_at: Moment, until: Moment, now: Now) -> bool {
        now.mono < until && if let Self::Calendar(w) = self { w.is_about_present(asked_at) } else { true }
    }

    /// The part of it that is not answered.
    pub fn held(&self) -> u64 {
        match self {
            Self::Rolling(w) => w.held(),
            Self::Calendar(w) => w.held(),
            Self::Concurrent(held) => *held,
        }
    }

    pub fn hold(&mut self, weight: u64) {
        match self {
            Self::Rolling(w) => w.hold(weight),
            Self::Calendar(w) => w.hold(weight),
            Self::Concurrent(held) => *held += weight,
        }
    }

    pub fn release(&mut self, weight: u64) {
        match self {
            Self::Rolling(w) => w.release(weight),
            Self::Calendar(w) => w.release(weight),
            Self::Concurrent(held) => *held = held.saturating_sub(weight),
        }
    }

    pub fn arrived(&mut self, weight: u64, now: Now) {
        match self {
            Self::Rolling(w) => w.arrived(weight, now.mono),
            Self::Calendar(w) => w.arrived(weight, now),
            Self::Concurrent(_) => self.release(weight),
        }
    }

    /// When no more than `room` is used; none where only an answer can tell.
    pub fn room_at(&self, room: u64, now: Now) -> Option<Moment> {
        match self {
            Self::Rolling(w) => Some(w.room_at(room, now.mono)),
            Self::Calendar(w) => Some(w.room_at(room, now)),
            Self::Concurrent(held) => (*held <= room).then_some(now.mono),
        }
    }

    /// Until when something that arrives now counts; none for calls under way.
    pub fn counts_until(&self, now: Now) -> Option<Moment> {
        match self {
            Self::Rolling(w) => Some(w.counts_until(now.mono)),
            Self::Calendar(w) => Some(w.resets_at(now)),
            Self::Concurrent(_) => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Rolling(w) => w.is_empty(),
            Self::Calendar(w) => w.is_empty(),
            Self::Concurrent(held) => *held == 0,
        }
    }
}
