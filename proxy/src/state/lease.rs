//! When to talk of one account to the store that all sidecars share, and what if nobody answers. Pure: it is told the time, and says what is
//! to be done next; [`keeper`](super::keeper) does it in the sidecar, and the simulator on its own clock.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::{Call, Heard, Talk, Value};
use crate::policy::limit::{Leases, Limits};
use crate::policy::time::{Moment, Now};

/// Longest silence: what is leased is one second of demand, and a sidecar that is silent for longer does not count.
pub const TICK: Duration = Duration::from_secs(1);

/// Shortest time between two exchanges, also when calls wait: they travel together.
const GAP: Duration = Duration::from_millis(5);

/// The same when the last brought nothing: somebody else must give something back first.
const GAP_OF_POVERTY: Duration = Duration::from_millis(100);

/// First and longest pause before the same is asked again of a store that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How one account stands with the store.
#[derive(Debug)]
pub struct Lease {
    talk: Talk,
    /// When the exchange that is open, or was the last, was begun, and when it was last carried to the store.
    begun: Moment,
    asked_at: Moment,
    /// Before the first nothing is carried there; at the second something is, wanted or not.
    not_before: Moment,
    due_at: Moment,
    /// What follows the next failure; the first pause while all is well.
    pause: Duration,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Carry this to the store, and tell what came of it: [`Lease::heard`] or [`Lease::unheard`].
    Ask(Call),
    /// Come back after that time; sooner if `wakes` and [`Limits::wants_store`].
    Rest { wait: Duration, wakes: bool },
}

impl Lease {
    pub fn new(account: &str, member: Arc<str>, leases: Leases) -> Self {
        let never = Moment(0);
        let talk = Talk::new(account, member, leases);
        Self { talk, begun: never, asked_at: never, not_before: never, due_at: never, pause: PAUSE.0 }
    }

    /// Whether the store did not answer the last time.
    pub fn is_unheard(&self) -> bool {
        self.pause > PAUSE.0
    }

    pub fn step(&mut self, limits: &mut Limits, now: Now) -> Step {
        if now.mono < self.not_before {
            return Step::Rest { wait: now.mono.until(self.not_before), wakes: false };
        }
        if self.talk.is_answered() {
            if now.mono < self.due_at && !limits.wants_store() {
                return Step::Rest { wait: now.mono.until(self.due_at), wakes: true };
            }
            self.begin(limits, now);
        }
        Step::Ask(self.call(now))
    }

    /// For a process that ends and has said so to its limits: what the store must still hear, none if that is all.
    pub fn last_words(&mut self, limits: &mut Limits, now: Now) -> Option<Call> {
        if self.talk.is_answered() {
            if !limits.has_due() {
                return None;
            }
            self.begin(limits, now);
        }
        Some(self.call(now))
    }

    fn begin(&mut self, limits: &mut Limits, now: Now) {
        (self.begun, self.due_at) = (now.mono, now.mono + TICK);
        self.talk.begin(limits.exchange(now), limits.pauses());
    }

    fn call(&mut self, now: Now) -> Call {
        self.asked_at = now.mono;
        self.talk.call(now)
    }

    /// The store answered what was last asked. False if that made no sense, which is as no answer.
    #[must_use]
    pub fn heard(&mut self, answer: &[Value], limits: &mut Limits, now: Now) -> bool {
        let Some(heard) = self.talk.hear(answer, now) else {
            self.unheard(limits, now);
            return false;
        };
        tell(&self.talk, &heard, self.asked_at, limits, now);
        let poor = self
            .talk
            .asks()
            .iter()
            .zip(&heard.answers)
            .any(|(ask, got)| ask.moved.want > 0 && got.granted == 0);
        self.not_before = self.begun + if poor { GAP_OF_POVERTY } else { GAP };
        self.pause = PAUSE.0;
        true
    }

    /// There was no answer: only what was granted before may be spent, and the same is asked again later.
    pub fn unheard(&mut self, limits: &mut Limits, now: Now) {
        limits.store_is_away(now);
        self.not_before = now.mono + self.pause;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}

/// Brings to the limits what the store said to what was asked at `asked_at`.
pub(super) fn tell(talk: &Talk, heard: &Heard, asked_at: Moment, limits: &mut Limits, now: Now) {
    if heard.expired {
        limits.grants_expired();
    }
    limits.exchanged(talk.asks(), &heard.answers, asked_at, now);
    for pause in &heard.pauses {
        limits.hear(pause, now);
    }
}
