//! The judge: an independent model of what may happen, made of lists of moments. It sees what leaves a sidecar, what arrives, what is answered
//! and what callers are told; it imports no policy and knows no policy's state.

mod others;
mod refusals;
mod reserved;
mod rules;
mod shared;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::agenda::Ms;
use crate::plan::{self, Plan, Wall};
use crate::verdict::Verdict;
use others::{Heard, Lowered, Shown};
use refusals::leaves_surely;
use reserved::{Reserved, Void};
pub use rules::INVARIANTS;
use rules::*;

/// One call, as the judge knows it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub id: usize,
    pub sidecar: usize,
    pub agent: usize,
    /// Which it is a step of.
    pub workflow: Option<usize>,
    pub deadline: Ms,
    /// Executing it twice is wrong.
    pub once: bool,
    pub interactive: bool,
}

/// One sending.
#[derive(Clone, Copy, Debug)]
struct Departure {
    call: usize,
    left: Ms,
    /// When it was answered or given up.
    end: Option<Ms>,
}

/// What the judge knows of one sidecar.
#[derive(Debug, Default)]
struct Side {
    departures: VecDeque<Departure>,
    /// Was told that it is too fast: somebody else may have what it had reserved.
    throttled: bool,
    /// Heard a failure or a throttle at some time: what it lets through may be less than the walls.
    troubled: bool,
    closed_until: Ms,
    /// First sendings and retries, by when they were allowed.
    firsts: VecDeque<Ms>,
    retries: VecDeque<Ms>,
    failures: u32,
    /// When something last left it, or failed: who found out how the upstream is.
    last_try: Ms,
    /// Since it has heard [`FAILURES`] in a row: when, and what has left it since.
    alone: Option<(Ms, u64)>,
    /// By background agent: how many of its calls waited, how many of those went.
    patient: BTreeMap<usize, (u64, u64)>,
    /// Interactive calls that wait, by agent.
    waiting: BTreeMap<usize, u64>,
    /// By how many turns the first is ahead of the second, while both wait.
    leads: BTreeMap<(usize, usize), i64>,
}

/// The judge of one run.
#[derive(Debug)]
pub struct Judge {
    pub verdict: Verdict,
    walls: Vec<(Wall, VecDeque<Ms>)>,
    /// Into how many parts the walls are divided among the sidecars.
    parts: u64,
    concurrent: Option<u64>,
    /// Who waits may be waiting for the disk, or for the store that all share.
    keeping: plan::Keeping,
    /// When something was wrong, and for how long that may be felt, if the sidecars share a store.
    unwell: Vec<(Ms, Ms)>,
    /// When sidecars may not have heard of each other.
    cut_off: Vec<(Ms, Ms)>,
    /// Since when somebody has waited although there was plenty of room.
    stuck_since: Option<Ms>,
    /// Whether somebody was refused for a wall since the judge looked.
    denied: bool,
    /// Pauses that the upstream asked for: of whom, from when, until when.
    pauses: Vec<(usize, Ms, Ms)>,
    sides: Vec<Side>,
    /// By call that must be executed once: how often it was.
    executed: BTreeMap<usize, u32>,
    /// By call: how often it has ended.
    ended: BTreeMap<usize, u32>,
    maintenance: Option<Range<Ms>>,
    /// Whether the walls are to be used up.
    must_be_full: bool,
    /// By workflow.
    reserved: BTreeMap<usize, Reserved>,
    /// What nobody can keep its promises through.
    voids: Vec<Void>,
    /// What was to be reserved last, where and when, by workflow.
    wanted: BTreeMap<usize, (usize, Ms, u64)>,
    /// What was learned of others' use, by those who must know it: each sidecar for itself, or all.
    lowered: BTreeMap<usize, Lowered>,
    /// The wall of which answers tell how much is used; what they tell, by call; what was heard of it last.
    shows: Option<usize>,
    shown: BTreeMap<usize, Shown>,
    heard: Option<Heard>,
    /// Whose clock on the wall was set, and when: what it says of a day is wrong.
    set: Vec<(usize, Ms)>,
}

impl Judge {
    pub fn new(plan: &Plan) -> Self {
        Self {
            verdict: Verdict::new(INVARIANTS),
            walls: plan.walls.iter().map(|wall| (wall.clone(), VecDeque::new())).collect(),
            parts: plan.parts(),
            concurrent: plan.concurrent,
            keeping: plan.keeping.clone(),
            unwell: shared::unwell(plan),
            cut_off: shared::cut_off(plan),
            stuck_since: None,
            denied: false,
            pauses: Vec::new(),
            sides: (0..plan.sidecars).map(|_| Side::default()).collect(),
            executed: BTreeMap::new(),
            ended: BTreeMap::new(),
            maintenance: plan.maintenance.clone(),
            must_be_full: false,
            reserved: BTreeMap::new(),
            voids: reserved::voids(plan),
            wanted: BTreeMap::new(),
            lowered: BTreeMap::new(),
            shows: plan.shows,
            shown: BTreeMap::new(),
            heard: None,
            set: plan.steps.iter().map(|step| (step.sidecar, step.at)).collect(),
        }
    }

    /// More is wanted than the walls let through, and all of that is to be had.
    pub fn expects_full_walls(&mut self) {
        self.must_be_full = true;
    }

    /// A call was made.
    pub fn made(&mut self, call: Facts) {
        self.ended.insert(call.id, 0);
    }

    /// A request leaves its sidecar.
    pub fn departs(&mut self, call: Facts, again: bool, now: Ms) {
        self.departs_on_promise(call, now);
        let side = &mut self.sides[call.sidecar];
        side.departures.push_back(Departure { call: call.id, left: now, end: None });
        side.last_try = now;
        if !again {
            side.firsts.push_back(now);
        }
        self.verdict.check("throttle", now >= side.closed_until, || {
            format!("call {} left at {now} ms, closed until {}", call.id, side.closed_until)
        });
        self.verdict.check("deadline", now < call.deadline, || {
            format!("call {} left at {now} ms, after its deadline", call.id)
        });
        if let Some((since, left)) = &mut side.alone {
            let open = side.departures.iter().filter(|d| d.end.is_none()).count() as u64;
            *left += 1;
            let most = open + 3 + (now - *since) / BETWEEN_PROBES;
            self.verdict.check("breaker", *left <= most, || {
                format!("{left} requests left within {} ms although all had failed before", now - *since)
            });
        }
        let is_maintained = self.maintenance.as_ref().is_some_and(|m| m.contains(&now));
        self.verdict.check("maintenance", !is_maintained || !self.has_right_clock(call.sidecar, now), || {
            format!("call {} left at {now} ms during maintenance", call.id)
        });
        self.under_way(now);
        self.paused_by_others(call, now);
        self.keeps_to_less(call, now);
        self.leaves_room(call, now);
    }

    /// All that is under way, as far as an upstream could see it.
    fn under_way(&mut self, now: Ms) {
        let Some(most) = self.concurrent else { return };
        let departures = self.sides.iter().flat_map(|side| &side.departures);
        let under_way = departures.filter(|d| d.end.is_none_or(|end| end > now)).count() as u64;
        self.verdict.check("under-way", under_way <= most, || {
            format!("{under_way} under way at {now} ms, {most} allowed")
        });
    }

    /// A request was never received by anybody.
    pub fn came_to_nothing(&mut self, call: Facts, now: Ms) {
        self.returns_to_promise(call, now);
        let side = &mut self.sides[call.sidecar];
        side.departures.retain(|d| d.call != call.id || d.end.is_some());
    }

    /// A request arrives, and is executed or not.
    pub fn arrives(&mut self, call: Facts, executed: bool, now: Ms) {
        for (wall, arrivals) in &mut self.walls {
            while arrivals.front().is_some_and(|t| wall.leaves(*t) <= now) {
                arrivals.pop_front();
            }
            arrivals.push_back(now);
            let (found, name) = (arrivals.len() as u64, if wall.midnight.is_some() { "day" } else { "wall" });
            self.verdict.check(name, found <= wall.count, || {
                format!("arrival number {found} at {now} ms, and the wall is {}", wall.text)
            });
        }
        if call.once && executed {
            let times = self.executed.entry(call.id).or_default();
            *times += 1;
            self.verdict
                .check("twice", *times == 1, || format!("call {} was executed {times} times", call.id));
        }
    }

    /// An answer reached the sidecar, or the call was given up.
    pub fn settles(&mut self, call: Facts, given_up: bool, now: Ms) {
        let end = now + if given_up { STRAGGLES } else { 0 };
        let side = &mut self.sides[call.sidecar];
        let mut latest = side.departures.iter_mut().rev();
        if let Some(departure) = latest.find(|d| d.call == call.id && d.end.is_none()) {
            departure.end = Some(end);
        }
        let is_over =
            |end: Ms| self.walls.iter().all(|(wall, _)| leaves_surely(wall, end) + LOOKED_BACK < now);
        while side.departures.front().is_some_and(|d| d.end.is_some_and(is_over)) {
            side.departures.pop_front();
        }
    }

    /// What a sidecar hears of the upstream's health.
    pub fn hears(&mut self, sidecar: usize, healthy: bool, now: Ms) {
        let side = &mut self.sides[sidecar];
        if healthy {
            (side.failures, side.alone) = (0, None);
            return;
        }
        side.troubled = true;
        side.failures += 1;
        side.last_try = now;
        if side.failures >= FAILURES && side.alone.is_none() {
            side.alone = Some((now, 0));
        }
    }

    /// A call was given up before the upstream said anything: that may be the upstream's doing, or its agent's impatience.
    pub fn hears_nothing(&mut self, sidecar: usize, in_time: bool, now: Ms) {
        if in_time {
            self.sides[sidecar].troubled = true;
            self.sides[sidecar].last_try = now;
        }
    }

    /// A sidecar hears that it is too fast, of something that it sent at that time. If it is not told for how long, it finds out.
    pub fn hears_throttle(&mut self, sidecar: usize, retry_after: Option<Ms>, (sent_at, now): (Ms, Ms)) {
        let side = &mut self.sides[sidecar];
        (side.troubled, side.throttled) = (true, true);
        side.closed_until = side.closed_until.max(now + retry_after.unwrap_or(UNTOLD));
        if let Some(wait) = retry_after {
            self.pauses.retain(|(_, _, until)| *until > now);
            self.pauses.push((sidecar, now, now + wait));
        }
        self.lowers(sidecar, sent_at, now);
    }

    /// A retry is allowed.
    pub fn retries(&mut self, sidecar: usize, now: Ms) {
        let side = &mut self.sides[sidecar];
        side.retries.push_back(now);
        for times in [&mut side.firsts, &mut side.retries] {
            while times.front().is_some_and(|t| t + BUDGET_WINDOW <= now) {
                times.pop_front();
            }
        }
        let (retries, firsts) = (side.retries.len() as u64, side.firsts.len() as u64);
        self.verdict.check("budget", retries <= BUDGET_FLOOR.max(firsts / BUDGET_PART), || {
            format!("{retries} retries and {firsts} first sendings within 10 s at {now} ms")
        });
    }

    /// A call goes without having waited.
    pub fn goes_at_once(&mut self, call: Facts, now: Ms) {
        let waiting = &self.sides[call.sidecar].waiting;
        let may_go = waiting.is_empty() || self.is_reserved(call, now);
        self.verdict.check("starving", may_go, || {
            format!("call {} went at {now} ms before those who waited", call.id)
        });
    }

    /// A call begins to wait, or ceases to; `went` if its turn came.
    pub fn waits(&mut self, call: Facts, now: Ms) {
        self.waits_on_promise(call, now);
        if call.interactive {
            *self.sides[call.sidecar].waiting.entry(call.agent).or_default() += 1;
        }
    }

    pub fn waits_no_more(&mut self, call: Facts, went: bool, now: Ms) {
        let is_reserved = self.is_reserved(call, now);
        if !call.interactive {
            let (waited, gone) = self.sides[call.sidecar].patient.entry(call.agent).or_default();
            (*waited, *gone) = (*waited + 1, *gone + u64::from(went));
            return;
        }
        let side = &mut self.sides[call.sidecar];
        if went {
            for other in side.waiting.keys().filter(|agent| **agent != call.agent) {
                *side.leads.entry((*other, call.agent)).or_default() -= 1;
                // What is reserved goes before its turn, where others must wait.
                if is_reserved {
                    continue;
                }
                let lead = side.leads.entry((call.agent, *other)).or_default();
                *lead += 1;
                self.verdict.check("starving", *lead <= LEAD, || {
                    format!("agent {} was {lead} turns ahead of agent {other}, who waited", call.agent)
                });
            }
        }
        if let Some(waiting) = side.waiting.get_mut(&call.agent) {
            *waiting -= 1;
            if *waiting == 0 {
                side.waiting.remove(&call.agent);
                side.leads.retain(|(a, b), _| *a != call.agent && *b != call.agent);
            }
        }
    }

    /// A sidecar dies. What it counted on disk may be more than it spent.
    pub fn dies(&mut self, sidecar: usize, now: Ms) {
        self.promises_end_with(sidecar);
        self.forgets_others(sidecar);
        let side = &mut self.sides[sidecar];
        side.troubled = true;
        (side.closed_until, side.failures, side.alone) = (0, 0, None);
        side.waiting.clear();
        side.leads.clear();
        side.firsts.clear();
        side.retries.clear();
        for departure in &mut side.departures {
            departure.end = Some(departure.end.map_or(now, |end| end.min(now)));
        }
    }

    /// Looks whether anybody waits although there is room.
    pub fn look(&mut self, sidecar: usize, now: Ms) {
        let side = &self.sides[sidecar];
        if side.troubled || !matches!(self.keeping, plan::Keeping::Memory) || side.waiting.is_empty() {
            return;
        }
        let counts = |d: &Departure, wall: &Wall| d.end.is_none_or(|end| leaves_surely(wall, end) >= now);
        let full = self.walls.iter().any(|(wall, _)| {
            let used = side.departures.iter().filter(|d| counts(d, wall)).count() as u64;
            used + self.promised(Some(sidecar), wall, now) >= wall.count / self.parts
                || !self.knows_the_day(sidecar, wall, now)
        });
        let under_way = side.departures.iter().filter(|d| d.end.is_none_or(|end| end >= now)).count() as u64;
        let full = full || self.concurrent.is_some_and(|most| under_way >= most / self.parts);
        self.verdict.check("in-vain", full, || {
            format!("at {now} ms somebody waited in sidecar {sidecar} although there was room")
        });
    }

    /// A call ends; `delivered` if with an answer.
    pub fn ends(&mut self, call: Facts, delivered: bool, now: Ms) {
        *self.ended.entry(call.id).or_default() += 1;
        self.verdict.check("deadline", !delivered || now <= call.deadline, || {
            format!("call {} was answered at {now} ms, after its deadline", call.id)
        });
    }

    /// All is over.
    pub fn close(&mut self, left: &[(usize, usize, usize, u64)]) {
        for (call, times) in &self.ended {
            self.verdict.check("ends", *times == 1, || format!("call {call} ended {times} times"));
        }
        for (wall, arrivals) in self.walls.iter().filter(|_| self.must_be_full) {
            let used = arrivals.len() as u64 * 100 / wall.count;
            self.verdict
                .check("full", used >= FULL_PERCENT, || format!("{used} % of {} were used", wall.text));
        }
        let was_well = self.was_well_throughout();
        for side in self.sides.iter().filter(|side| !side.troubled && was_well) {
            for (agent, (waited, went)) in side.patient.iter().filter(|(_, (waited, _))| *waited >= ENOUGH) {
                self.verdict.check("starving", *went > 0, || {
                    format!("agent {agent} waited {waited} times in the background, and never went")
                });
            }
        }
        for (sidecar, waiting, places, charges) in left {
            self.verdict.check("room", *waiting == 0 && *places == 0 && *charges == 0, || {
                format!(
                    "sidecar {sidecar} is left with {waiting} waiters, {places} places and {charges} charges"
                )
            });
        }
    }
}
