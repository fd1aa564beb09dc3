//! The way between sidecars and the store that they share: messages take time and are lost, the store is away, slow, wiped, its clock is set.

use std::collections::BTreeMap;

use super::{Event, Fleet};
use crate::agenda::Ms;
use crate::plan::{self, Fault};
use crate::state::exchange::{Call, Value};
use crate::state::lease::Step;
use crate::store::Store;

/// How long a sidecar waits for an answer.
const PATIENCE: Ms = 100;

/// How long sidecars go on visiting the store when no more calls are made: until the last of them has surely ended.
const LEISURE: Ms = 30_000;

/// How the script begins to say that it has heard a later question of the same sidecar.
const STALE: &str = "FERRATASTALE";

/// The store, and what is on its way.
#[derive(Debug)]
pub struct Post {
    store: Store,
    /// By how much its clock is wrong.
    skew: i64,
    /// When it has done what it was asked so far: it does one thing at a time.
    busy_until: Ms,
    letters: BTreeMap<u64, Letter>,
    sent: u64,
}

/// A question and what became of it.
#[derive(Debug)]
struct Letter {
    sidecar: usize,
    life: u32,
    call: Call,
    answer: Option<Vec<Value>>,
}

impl Post {
    pub fn new() -> Result<Self, String> {
        Ok(Self { store: Store::new()?, skew: 0, busy_until: 0, letters: BTreeMap::new(), sent: 0 })
    }
}

impl Fleet {
    /// What goes wrong with the store once, now.
    pub(super) fn store_fault(&mut self, fault: usize) {
        let (Some(plan), Some(post)) = (self.plan.store(), &mut self.post) else { return };
        match plan.faults[fault].kind {
            Fault::Wiped => post.store.wipe(),
            Fault::Set { by } => post.skew += by,
            Fault::Cut { .. } | Fault::Away | Fault::Slow { .. } => {}
        }
    }

    /// Goes to the store if it is time.
    pub(super) fn visits(&mut self, sidecar: usize) {
        let at = self.agenda.now();
        let side = &mut self.sidecars[sidecar];
        let now = side.now(at);
        let (Some(lease), None, false) = (&mut side.lease, side.letter, side.dead) else { return };
        match lease.step(side.core.limits(), now) {
            Step::Ask(call) => self.asks_store(sidecar, call),
            Step::Rest { wait, .. } => {
                let next = side.at(now.mono + wait);
                if side.visits.is_none_or(|planned| next < planned || planned <= at)
                    && at < self.plan.length + LEISURE
                {
                    side.visits = Some(next);
                    self.agenda.enter(next, Event::Visits { sidecar });
                }
            }
        }
    }

    fn asks_store(&mut self, sidecar: usize, call: Call) {
        let at = self.agenda.now();
        let (Some(plan), Some(post)) = (self.plan.store(), &mut self.post) else { return };
        let takes = self.rng.u64(1..=plan.latency);
        let side = &mut self.sidecars[sidecar];
        post.sent += 1;
        let letter = post.sent;
        side.letter = Some(letter);
        post.letters.insert(letter, Letter { sidecar, life: side.life, call, answer: None });
        if passes(plan, sidecar, at) && self.rng.u64(0..100) >= plan.lost_percent {
            self.agenda.enter(at + takes, Event::StoreHears { letter });
        }
        self.agenda.enter(at + PATIENCE, Event::Unheard { letter });
    }

    /// A question reaches the store, which may have others to answer first.
    pub(super) fn store_hears(&mut self, letter: u64) {
        let at = self.agenda.now();
        let (Some(plan), Some(post)) = (self.plan.store(), &mut self.post) else { return };
        if during(plan, at).any(|kind| kind == Fault::Away) {
            return;
        }
        let slow = || {
            plan.faults.iter().filter(|fault| (fault.from..fault.to).contains(&at)).filter_map(|fault| {
                if let Fault::Slow { by } = fault.kind { Some((by, fault.to + by)) } else { None }
            })
        };
        let busy = post.busy_until.max(at) + slow().map(|(by, _)| by).sum::<Ms>();
        // What has piled up is done at once when it is quick again.
        post.busy_until = slow().map(|(_, over)| over).max().map_or(busy, |over| busy.min(over));
        self.agenda.enter(post.busy_until, Event::StoreDoes { letter });
    }

    /// The store does what it was asked, whether anybody still waits for that or not.
    pub(super) fn store_does(&mut self, letter: u64) {
        let at = self.agenda.now();
        let (Some(plan), Some(post)) = (self.plan.store(), &mut self.post) else { return };
        let Some(asked) = post.letters.get_mut(&letter) else { return };
        let clock = self.plan.epoch.saturating_add_unsigned(at).saturating_add(post.skew);
        match post.store.call(&asked.call, clock) {
            Ok(answer) => asked.answer = Some(answer),
            // A question that was overtaken by the next.
            Err(why) if why.starts_with(STALE) => {}
            Err(why) => self.judge.misunderstands(&why, at),
        }
        let (takes, sidecar) = (self.rng.u64(1..=plan.latency), asked.sidecar);
        if passes(plan, sidecar, at) && self.rng.u64(0..100) >= plan.lost_percent {
            self.agenda.enter(at + takes, Event::Heard { letter });
        }
    }

    /// An answer reaches its sidecar, if that one still waits for it.
    pub(super) fn heard(&mut self, letter: u64) {
        let answer = self.post.as_mut().and_then(|post| post.letters.get_mut(&letter)?.answer.take());
        self.ends_visit(letter, answer);
    }

    /// Nobody waits for that answer any more.
    pub(super) fn unheard(&mut self, letter: u64) {
        self.ends_visit(letter, None);
    }

    fn ends_visit(&mut self, letter: u64, answer: Option<Vec<Value>>) {
        let at = self.agenda.now();
        let Some(&Letter { sidecar, life, .. }) =
            self.post.as_ref().and_then(|post| post.letters.get(&letter))
        else {
            return;
        };
        let side = &mut self.sidecars[sidecar];
        let now = side.now(at);
        let (Some(lease), true) = (&mut side.lease, side.letter == Some(letter) && side.life == life) else {
            return;
        };
        side.letter = None;
        if side.dead {
            return;
        }
        match answer {
            Some(answer) => {
                let made_sense = lease.heard(&answer, side.core.limits(), now);
                self.judge.understands(made_sense, at);
            }
            None => lease.unheard(side.core.limits(), now),
        }
        self.pump(sidecar);
    }
}

fn during(plan: &plan::Store, at: Ms) -> impl Iterator<Item = Fault> {
    plan.faults.iter().filter(move |fault| (fault.from..fault.to).contains(&at)).map(|fault| fault.kind)
}

fn passes(plan: &plan::Store, sidecar: usize, at: Ms) -> bool {
    !during(plan, at).any(|kind| kind == Fault::Cut { sidecar })
}
