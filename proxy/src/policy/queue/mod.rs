//! Who goes next when not all can go at once, and who need not wait because it is in vain.
//!
//! Owns the waiters of one account: their bounds, who is admitted to wait, and the order in which they are asked for. Within one agent the earliest
//! deadline goes first; between agents it is deficit round robin ([`ring`]); what somebody waits for goes before what nobody does. When a wall has
//! room again is not known here: [`Queue::next`] is told by asking. Waking the waiters is the caller's.

mod lane;
mod ring;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::time::{Moment, Now};
use super::{Mode, Priority};
use lane::Waiter;
use ring::Ring;

/// Waiters at once. A thousand small structs are nothing; a longer line is seldom one that is served within a call's deadline.
pub const ITEMS: usize = 1024;

/// What all waiters may hold, in bytes: their requests wait with them.
pub const BYTES: u64 = 16 << 20;

/// Interactive waiters that go before one that is not: background work takes a fifth when there is not enough for all, and never nothing.
pub const INTERACTIVE_BEFORE_BACKGROUND: u32 = 4;

/// Waiters at once when the bound on them is only observed: what is held has a bound all the same.
pub const ITEMS_OBSERVED: usize = 1 << 16;

/// How one account's waiters are bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    pub items: usize,
    /// Enforced in every mode: memory is no policy.
    pub bytes: u64,
    pub interactive_before_background: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            items: ITEMS,
            bytes: BYTES,
            interactive_before_background: INTERACTIVE_BEFORE_BACKGROUND,
        }
    }
}

/// What somebody wants to wait for.
#[derive(Clone, Debug)]
pub struct Asking {
    pub agent: Arc<str>,
    /// Those who wait for the same wall: an operation, perhaps of one resource. Waiters of one key never stand in the way of another's.
    pub key: Arc<str>,
    pub priority: Priority,
    pub deadline: Moment,
    /// What it will take of the walls.
    pub cost: u64,
    /// What it holds while it waits.
    pub bytes: u64,
    /// From when on its wait is pressing. Means nothing to the queue, and is told to whoever is asked for it.
    pub pressing_at: Moment,
}

/// A place in the queue; means nothing once the waiter has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Why somebody need not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its turn would come after its deadline; none if it would not come within any horizon.
    TooLate { turn: Option<Moment> },
    /// Too many wait already.
    Full { used: usize, items: usize },
    /// Those who wait hold too much already.
    FullBytes { used: u64, bytes: u64 },
    /// It waited, and an agent that had less in a full queue took its place.
    PushedOut,
}

impl Refused {
    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLate { .. } => "too_late",
            Self::Full { .. } => "queue_full",
            Self::FullBytes { .. } => "queue_bytes",
            Self::PushedOut => "pushed_out",
        }
    }
}

/// Somebody waits now.
#[derive(Debug)]
pub struct Entered<T> {
    pub ticket: Ticket,
    /// Who had to leave for it: [`Refused::PushedOut`].
    pub pushed_out: Vec<T>,
    /// What the queue would have said, if its policy were enforced.
    pub observed: Option<Refused>,
}

/// What a wall says to the one whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// It has been charged, and goes.
    Open,
    /// Nothing of this key goes now, nor of what presses no more than who asked.
    KeyClosed,
}

/// What is charged before a newcomer's turn comes, at most, if nobody else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Against the walls of its own key.
    pub in_key: u64,
    /// Against the walls that all keys share.
    pub overall: u64,
}

/// Where a waiter stands.
#[derive(Debug)]
struct Standing {
    priority: Priority,
    agent: Arc<str>,
    key: Arc<str>,
    deadline: Moment,
}

/// The waiters of one account. `T` is what the caller needs to wake one.
#[derive(Debug)]
pub struct Queue<T> {
    settings: Settings,
    interactive: Ring<T>,
    background: Ring<T>,
    standing: BTreeMap<Ticket, Standing>,
    deadlines: BTreeSet<(Moment, Ticket)>,
    bytes: u64,
    tickets: u64,
    /// Interactive waiters that went since background work last did, while it waited.
    in_a_row: u32,
}

impl<T> Queue<T> {
    /// Other bounds from now on, for those who come.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            interactive: Ring::default(),
            background: Ring::default(),
            standing: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            tickets: 0,
            in_a_row: 0,
        }
    }

    /// What goes before a newcomer: for the wall's forecast of its turn.
    pub fn ahead(&self, asking: &Asking) -> Ahead {
        Ahead { in_key: self.before(asking, Some(&asking.key)), overall: self.before(asking, None) }
    }

    fn before(&self, asking: &Asking, key: Option<&str>) -> u64 {
        let (own, other) = match asking.priority {
            Priority::Interactive => (&self.interactive, &self.background),
            Priority::Background => (&self.background, &self.interactive),
        };
        let turns = own.before(asking, None).saturating_add(asking.cost);
        let ratio = u64::from(self.settings.interactive_before_background.max(1));
        let others = match asking.priority {
            Priority::Interactive => turns.div_ceil(ratio),
            Priority::Background => turns.saturating_mul(ratio),
        };
        own.before(asking, key).saturating_add(other.cost(key).min(others))
    }

    /// Lets somebody wait whose turn is forecast for `turn`, or gives it back with the reason why not.
    pub fn enter(
        &mut self,
        asking: Asking,
        payload: T,
        turn: Option<Moment>,
        now: Now,
    ) -> Result<Entered<T>, (Refused, T)> {
        let too_late = turn.is_none_or(|turn| turn.max(now.mono) >= asking.deadline);
        let mut observed = too_late.then_some(Refused::TooLate { turn });
        if let (Some(refused), Mode::Enforce) = (observed, self.settings.mode) {
            return Err((refused, payload));
        }
        let pushed_out = match self.make_room(&asking) {
            Ok(room) => {
                observed = observed.or(room.observed);
                room.pushed_out
            }
            Err(refused) => return Err((refused, payload)),
        };
        let ticket = self.stand(asking, payload);
        Ok(Entered { ticket, pushed_out, observed })
    }

    fn stand(&mut self, asking: Asking, payload: T) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let Asking { agent, key, priority, deadline, cost, bytes, pressing_at } = asking;
        self.bytes = self.bytes.saturating_add(bytes);
        self.deadlines.insert((deadline, ticket));
        let waiter = Waiter { cost, bytes, pressing_at, payload };
        self.ring(priority).add(&agent, &key, (deadline, ticket), waiter);
        self.standing.insert(ticket, Standing { priority, agent, key, deadline });
        ticket
    }

    /// A waiter leaves: its agent went away.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let Standing { priority, agent, key, deadline } = self.standing.remove(&ticket)?;
        self.deadlines.remove(&(deadline, ticket));
        let waiter = self.ring(priority).remove(&agent, &key, (deadline, ticket))?;
        self.bytes = self.bytes.saturating_sub(waiter.bytes);
        Some(waiter.payload)
    }

    /// Those whose deadline has come: they need not wait any longer.
    pub fn expire(&mut self, now: Now) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now.mono
        {
            self.deadlines.pop_first();
            expired.extend(self.cancel(ticket));
        }
        expired
    }

    /// When [`Self::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The next to go: `ask` says what the wall says to it (with its payload), and charges it if that is [`Wall::Open`]. Each key is asked for once at most, by the first
    /// of each priority. None if nobody can go. Call [`Self::expire`] first: what has expired does not go.
    pub fn next(&mut self, now: Now, mut ask: impl FnMut(&Asking, &T) -> Wall) -> Option<T> {
        let background_due = self.in_a_row >= self.settings.interactive_before_background;
        let order = match background_due {
            true => [Priority::Background, Priority::Interactive],
            false => [Priority::Interactive, Priority::Background],
        };
        for priority in order {
            if let Some((at, waiter)) = self.ring(priority).next(priority, now.mono, &mut ask) {
                self.went(priority);
                self.bytes = self.bytes.saturating_sub(waiter.bytes);
                self.deadlines.remove(&at);
                self.standing.remove(&at.1);
                return Some(waiter.payload);
            }
        }
        None
    }

    fn went(&mut self, priority: Priority) {
        let kept_waiting = priority == Priority::Interactive && !self.background.is_empty();
        self.in_a_row = if kept_waiting { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// How many wait, and the bytes that they hold.
    pub fn usage(&self) -> (usize, u64) {
        (self.standing.len(), self.bytes)
    }

    /// How many wait for that key.
    pub fn waiting_for(&self, key: &str) -> usize {
        self.interactive.waiting_for(key) + self.background.waiting_for(key)
    }

    fn ring(&mut self, priority: Priority) -> &mut Ring<T> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
mod tests;
