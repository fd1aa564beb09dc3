//! What the limiter is asked, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use super::booking::{Owner, Place};
use super::scopes::Passed;
use super::walls::Wall;
use crate::policy::Priority;
use crate::policy::time::{Moment, Now};

/// What wants to go out.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub operation: &'a str,
    /// The value of the argument that the operation's walls are `per`.
    pub resource: Option<&'a str>,
    pub cost: u64,
    pub priority: Priority,
    /// Whose bookings it goes on, if there are any.
    pub owner: Option<Owner<'a>>,
}

/// A permission that was given, until it is answered. It must end as one of [`Limits::answered`](super::Limits::answered) and [`Limits::never_sent`](super::Limits::never_sent).
#[derive(Debug)]
#[must_use = "a charge that is dropped holds for ever"]
pub struct Charge {
    pub(super) passed: Passed,
    pub(super) generation: u32,
    pub(super) cost: u64,
    pub(super) sent: bool,
    pub(super) booked: Option<Place>,
}

impl Charge {
    pub fn cost(&self) -> u64 {
        self.cost
    }
}

/// Why something may not go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The window is full.
    Window,
    /// What is left of it is for interactive calls.
    Reserved,
    /// As much of it as may be is reserved by workflows.
    Booked,
    /// As many calls as may be are under way; an answer makes room.
    Concurrent,
    /// It comes too soon after the last.
    Paced,
    /// The store that keeps the count is being asked for more: try again when it has answered.
    Reserving,
    /// That store does not answer, and what it granted before is used up or over.
    Away,
    /// The system asked for a pause.
    Throttled,
    /// It costs more than the wall ever lets through.
    TooLarge,
    /// More resources are in use than are remembered.
    Overloaded,
}

/// Nothing was consumed.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: Reason,
    /// The binding wall; none for [`Reason::Throttled`] and [`Reason::Overloaded`].
    pub wall: Option<Arc<Wall>>,
    pub used: u64,
    /// The limit that holds now, learned ones included.
    pub limit: u64,
    /// When it would pass if nothing else is taken and what is under way is answered now: never early otherwise, and at most one
    /// bucket late. None where only an answer can tell, or nothing ever will.
    pub retry_at: Option<Now>,
}

/// The part of an upstream that a throttle or an observation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    Upstream,
    Operation(&'a str),
    Resource { operation: &'a str, resource: &'a str },
}

impl<'a> About<'a> {
    pub(super) fn names(self) -> (Option<&'a str>, Option<&'a str>) {
        match self {
            Self::Upstream => (None, None),
            Self::Operation(operation) => (Some(operation), None),
            Self::Resource { operation, resource } => (Some(operation), Some(resource)),
        }
    }
}

/// What an answer said of a wall.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub about: About<'a>,
    /// The nominal length of the window that is meant; without it, the only window there.
    pub window: Option<Duration>,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    pub used: Option<u64>,
    pub resets_at: Option<Moment>,
    /// When the request was sent whose answer this is: an older answer does not take back what a newer one showed.
    pub asked_at: Moment,
}

/// What an upstream showed as used, for the store to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub used: u64,
    /// When the request was sent whose answer showed it.
    pub asked_at: Moment,
    /// When the upstream forgets it, if that is before the window's end.
    pub ends: Option<Moment>,
}

/// A limit that was lowered, because somebody else uses the quota.
#[derive(Clone, Debug)]
pub struct Lowered {
    pub wall: Arc<Wall>,
    pub from: u64,
    pub to: u64,
}
