//! One run: sidecars, their agents, the upstream and the store that they may share, on one clock. Carries messages and tells the judge what happens; decides nothing.

mod event;
mod flights;
mod keeping;
mod post;
mod refusals;
mod workflows;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::agenda::{Agenda, Ms};
use crate::egress::account::core::{Asked, Held, Refusal, Request, Settings};
use crate::judge::{Facts, Judge};
use crate::neighbour::Neighbour;
use crate::plan::{Keeping, Kind as TroubleKind, Plan};
use crate::policy::Priority;
use crate::policy::breaker::{Kind, Maintenance, Outcome};
use crate::policy::limit::{Source, Wall, WallSet};
use crate::policy::queue::Ticket;
use crate::policy::retry::{Decision, Failure, Repeat, Retry};
use crate::policy::time::Now;
use crate::sidecar::Sidecar;
use crate::upstream::Upstream;
use crate::verdict::Run;
use event::Event;
use post::Post;

/// What every call begins with.
const OPERATION: &str = "records.find";

/// How often the judge looks around.
const LOOK_EVERY: Ms = 1_000;

/// Where a call is.
#[derive(Debug)]
enum State {
    Waits(Ticket),
    /// Under way; for sending number `attempt`.
    Flies(Option<Held>),
    Rests,
    Ended,
}

#[derive(Debug)]
struct Call {
    facts: Facts,
    request: Request,
    retry: Retry,
    state: State,
    attempt: u32,
    sent_at: Ms,
}

/// One run under way.
struct Fleet {
    plan: Plan,
    rng: Rng,
    agenda: Agenda<Event>,
    sidecars: Vec<Sidecar>,
    calls: Vec<Call>,
    upstream: Upstream,
    judge: Judge,
    /// The store that they share, if they do, and the way there.
    post: Option<Post>,
    trace: DefaultHasher,
    /// Of each sidecar.
    walls: WallSet,
    /// What hangs beside, one for each sidecar, if anything does.
    neighbours: Vec<Neighbour>,
}

/// Runs one seed.
pub fn run(seed: u64) -> Result<Run, String> {
    run_fleet(Fleet::new(Plan::of(seed), seed)?)
}

/// Runs a large fleet against a large wall until that is used up.
pub fn run_against_a_full_wall() -> Result<Run, String> {
    let mut fleet = Fleet::new(Plan::of_a_full_wall(), 0)?;
    fleet.judge.expects_full_walls();
    run_fleet(fleet)
}

/// Runs one seed with another upstream beside this one, which hangs.
pub fn run_beside_a_hanging_one(seed: u64) -> Result<Run, String> {
    let mut fleet = Fleet::new(Plan::of(seed), seed)?;
    fleet.neighbours = fleet.sidecars.iter().map(|_| Neighbour::new(&fleet.walls)).collect();
    fleet.agenda.enter(0, Event::Hangs);
    run_fleet(fleet)
}

fn run_fleet(mut fleet: Fleet) -> Result<Run, String> {
    fleet.schedule();
    while let Some(event) = fleet.agenda.next() {
        if event != Event::Hangs {
            (fleet.agenda.now(), event).hash(&mut fleet.trace);
        }
        fleet.happens(event);
    }
    let left =
        fleet.sidecars.iter_mut().enumerate().filter(|(_, sidecar)| !sidecar.dead).map(|(index, sidecar)| {
            let now = sidecar.now(fleet.agenda.now() + 10_000);
            let _ = sidecar.core.poll(now);
            let charges = sidecar.core.walls(now).iter().map(|wall| wall.under_way + wall.reserved).sum();
            (index, sidecar.core.waiting().0, sidecar.core.places().0, charges)
        });
    let left: Vec<_> = left.collect();
    fleet.judge.close(&left);
    Ok(Run { verdict: fleet.judge.verdict, trace: fleet.trace.finish(), calls: fleet.calls.len() })
}

impl Fleet {
    fn new(plan: Plan, seed: u64) -> Result<Self, String> {
        let mut texts: Vec<String> = plan.walls.iter().map(|w| w.text.to_owned()).collect();
        texts.extend(plan.concurrent.map(|c| format!("{c} concurrent")));
        let wall = |text: &String| -> Result<Wall, String> {
            let quota = text.parse().map_err(|e| format!("{text}: {e}"))?;
            Ok(Wall::new(quota, Source::Operator))
        };
        let walls = WallSet::new(texts.iter().map(wall).collect::<Result<Vec<_>, _>>()?)?;
        let walls = walls.divided(plan.parts())?;
        let sidecars = (0..plan.sidecars).zip(0..);
        let settings = Settings { maintenance: declared(&plan)?, ..Settings::default() };
        let sidecars = sidecars.map(|(_, name)| Sidecar::new(name, &walls, &plan, &settings)).collect();
        let post = plan.store().map(|_| Post::new()).transpose()?;
        Ok(Self {
            rng: Rng::with_seed(seed ^ 0x5eed),
            agenda: Agenda::new(),
            sidecars,
            calls: Vec::new(),
            upstream: Upstream::new(&plan),
            judge: Judge::new(&plan),
            trace: DefaultHasher::new(),
            post,
            walls,
            neighbours: Vec::new(),
            plan,
        })
    }

    fn schedule(&mut self) {
        for agent in 0..self.plan.agents.len() {
            let at = self.rng.u64(0..=self.plan.agents[agent].every);
            self.agenda.enter(at, Event::Calls { agent });
        }
        for (trouble, planned) in self.plan.troubles.iter().enumerate() {
            if matches!(planned.kind, TroubleKind::Outsider { .. }) {
                self.agenda.enter(planned.from, Event::Outsider { trouble });
            }
        }
        for (workflow, planned) in self.plan.workflows.iter().enumerate() {
            self.agenda.enter(planned.from, Event::Reserves { workflow });
        }
        for (index, step) in self.plan.steps.iter().enumerate() {
            self.agenda.enter(step.at, Event::Step { index });
        }
        for (crash, planned) in self.plan.crashes.iter().enumerate() {
            self.agenda.enter(planned.at, Event::Dies { crash });
        }
        let faults = self.plan.store().into_iter().flat_map(|store| &store.faults);
        for (fault, planned) in faults.enumerate() {
            self.agenda.enter(planned.from, Event::StoreFault { fault });
        }
        for sidecar in 0..self.sidecars.len() {
            self.pump(sidecar);
        }
        self.agenda.enter(LOOK_EVERY, Event::Looks);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Calls { agent } => self.calls(agent),
            Event::Arrives { call, attempt } => self.arrives(call, attempt),
            Event::Unreachable { call, attempt } => self.unreachable(call, attempt),
            Event::Answers { call, attempt, reply } => self.answers(call, attempt, reply),
            Event::Again { call } => self.again(call),
            Event::Deadline { call } => self.gives_up(call, true),
            Event::Leaves { call } => self.gives_up(call, false),
            Event::Wakes { sidecar } => {
                self.sidecars[sidecar].wakes = None;
                self.pump(sidecar);
            }
            Event::Reserves { workflow } => self.reserves(workflow),
            Event::Goes { workflow } => self.makes(self.plan.workflows[workflow].agent, Some(workflow)),
            Event::GivesBack { workflow } => self.gives_back(workflow),
            Event::Written { sidecar, life } => self.written(sidecar, life),
            Event::Visits { sidecar } => {
                self.sidecars[sidecar].visits = None;
                self.visits(sidecar);
            }
            Event::StoreHears { letter } => self.store_hears(letter),
            Event::StoreDoes { letter } => self.store_does(letter),
            Event::Heard { letter } => self.heard(letter),
            Event::Unheard { letter } => self.unheard(letter),
            Event::StoreFault { fault } => self.store_fault(fault),
            Event::Dies { crash } => self.dies(crash),
            Event::Lives { sidecar } => self.lives(sidecar),
            Event::Outsider { trouble } => self.outsider(trouble),
            Event::Step { index } => {
                let step = &self.plan.steps[index];
                self.sidecars[step.sidecar].skew += step.by;
            }
            Event::Looks => self.looks(),
            Event::Hangs => self.hangs(),
        }
    }

    fn now(&self, sidecar: usize) -> Now {
        self.sidecars[sidecar].now(self.agenda.now())
    }

    /// An agent makes its calls, and comes back later.
    fn calls(&mut self, agent: usize) {
        let planned = self.plan.agents[agent].clone();
        for _ in 0..planned.burst {
            self.makes(agent, None);
        }
        let next = self.agenda.now() + self.rng.u64(1..=2 * planned.every);
        if next < self.plan.length {
            self.agenda.enter(next, Event::Calls { agent });
        }
    }

    fn makes(&mut self, agent: usize, workflow: Option<usize>) {
        let (at, id) = (self.agenda.now(), self.calls.len());
        let planned = &self.plan.agents[agent];
        let sidecar = &self.sidecars[planned.sidecar];
        if sidecar.dead {
            return;
        }
        let deadline = at + self.rng.u64(planned.patience.0..=planned.patience.1);
        let once = self.rng.u64(0..100) < planned.unsafe_percent;
        let leaves = self.rng.u64(0..100) < planned.leaves_percent;
        let facts = Facts {
            id,
            sidecar: planned.sidecar,
            agent,
            workflow,
            deadline,
            once,
            interactive: !planned.background,
        };
        let due = sidecar.now(deadline).mono;
        let request = Request {
            agent: planned.name.as_str().into(),
            operation: Arc::from(OPERATION),
            resource: None,
            cost: 1,
            priority: priority(planned.background),
            kind: if once { Kind::Write } else { Kind::Read },
            deadline: due,
            bytes: 1_000,
            workflow: workflow.map(|workflow| workflow_name(workflow).into()),
        };
        let repeat = if once { Repeat::Twice } else { Repeat::Read };
        let retry = Retry::new(repeat, due);
        self.calls.push(Call { facts, request, retry, state: State::Rests, attempt: 0, sent_at: at });
        self.judge.made(facts);
        self.agenda.enter(deadline, Event::Deadline { call: id });
        if leaves {
            let leaves_at = self.rng.u64(at..=deadline);
            self.agenda.enter(leaves_at, Event::Leaves { call: id });
        }
        self.asks(id, false);
    }

    fn asks(&mut self, id: usize, again: bool) {
        let call = &mut self.calls[id];
        let sidecar = call.facts.sidecar;
        let now = self.sidecars[sidecar].now(self.agenda.now());
        let core = &mut self.sidecars[sidecar].core;
        let asked =
            if again { core.ask_again(&call.request, id, now) } else { core.ask(&call.request, id, now) };
        if again && !matches!(asked, Asked::Refused(Refusal::Budget)) {
            self.judge.retries(sidecar, self.agenda.now());
        }
        match asked {
            Asked::Goes(held) => {
                self.judge.goes_at_once(call.facts, self.agenda.now());
                self.departs(id, held);
            }
            Asked::Waits(ticket) => {
                call.state = State::Waits(ticket);
                self.judge.waits(call.facts, self.agenda.now());
            }
            Asked::Refused(refusal) => self.refused(id, &refusal),
        }
        self.pump(sidecar);
    }

    fn departs(&mut self, id: usize, mut held: Held) {
        let at = self.agenda.now();
        let sidecar = self.calls[id].facts.sidecar;
        let now = self.now(sidecar);
        let reachable = self.upstream.is_reachable(at);
        let takes = self.rng.u64(self.plan.latency.least..=self.plan.latency.most);
        let call = &mut self.calls[id];
        call.attempt += 1;
        call.sent_at = at;
        let (attempt, again) = (call.attempt, call.attempt > 1);
        self.judge.departs(call.facts, again, at);
        // Counted as traffic even if no connection can be made.
        if reachable {
            self.sidecars[sidecar].core.sent(&mut held, again, now);
            self.agenda.enter(at + takes, Event::Arrives { call: id, attempt });
        } else {
            self.agenda.enter(at + takes, Event::Unreachable { call: id, attempt });
        }
        call.state = State::Flies(Some(held));
    }

    fn failed(&mut self, id: usize, failure: Failure) {
        let random = self.rng.u64(..);
        let sidecar = self.calls[id].facts.sidecar;
        let now = self.now(sidecar);
        let call = &mut self.calls[id];
        match self.sidecars[sidecar].core.failed(&mut call.retry, failure, random, now) {
            Decision::Again { wait } => {
                call.state = State::Rests;
                let again_at = self.sidecars[sidecar].at(now.mono + wait);
                self.agenda.enter(again_at, Event::Again { call: id });
            }
            Decision::End { .. } => self.ends(id, false),
        }
        self.pump(sidecar);
    }

    fn again(&mut self, id: usize) {
        if matches!(self.calls[id].state, State::Rests) {
            self.asks(id, true);
        }
    }

    /// The deadline has come, or the agent goes away.
    fn gives_up(&mut self, id: usize, deadline: bool) {
        let facts = self.calls[id].facts;
        let (now, random) = (self.now(facts.sidecar), self.rng.u64(..));
        let waited = Duration::from_millis(self.agenda.now() - self.calls[id].sent_at);
        let core = &mut self.sidecars[facts.sidecar].core;
        match std::mem::replace(&mut self.calls[id].state, State::Ended) {
            State::Ended => return,
            State::Waits(ticket) => {
                core.cancel(ticket);
                self.judge.waits_no_more(facts, false, self.agenda.now());
            }
            State::Flies(held) => {
                if let Some(held) = held {
                    let outcome = deadline.then_some(Outcome::TimedOut { waited });
                    core.abandoned(held, outcome, random, now);
                    self.judge.settles(facts, true, self.agenda.now());
                    self.judge.hears_nothing(facts.sidecar, deadline, self.agenda.now());
                }
            }
            State::Rests => core.give_up(),
        }
        self.judge.ends(facts, false, self.agenda.now());
        self.pump(facts.sidecar);
    }

    fn ends(&mut self, id: usize, delivered: bool) {
        let at = self.agenda.now();
        self.calls[id].state = State::Ended;
        self.judge.ends(self.calls[id].facts, delivered, at);
    }

    /// Lets those go whose turn has come.
    fn pump(&mut self, sidecar: usize) {
        let now = self.now(sidecar);
        if self.sidecars[sidecar].dead {
            return;
        }
        for (id, turn) in self.sidecars[sidecar].core.poll(now) {
            self.judge.waits_no_more(self.calls[id].facts, turn.is_ok(), self.agenda.now());
            match turn {
                Ok(held) => self.departs(id, held),
                Err(refusal) => self.refused(id, &refusal),
            }
        }
        match self.plan.keeping {
            Keeping::Memory => {}
            Keeping::Disk => self.writes(sidecar),
            Keeping::Shared(_) => self.visits(sidecar),
        }
        let at = self.agenda.now();
        let side = &mut self.sidecars[sidecar];
        let wakes = side.core.next_wake().map(|wakes| side.at(wakes).max(at + 1));
        if let Some(wakes) = wakes
            && side.wakes.is_none_or(|planned| wakes < planned)
        {
            side.wakes = Some(wakes);
            self.agenda.enter(wakes, Event::Wakes { sidecar });
        }
    }

    fn outsider(&mut self, trouble: usize) {
        let at = self.agenda.now();
        self.upstream.outsider(at);
        if let TroubleKind::Outsider { every } = self.plan.troubles[trouble].kind
            && at + every < self.plan.troubles[trouble].to
        {
            self.agenda.enter(at + every, Event::Outsider { trouble });
        }
    }

    fn hangs(&mut self) {
        let at = self.agenda.now();
        for (sidecar, neighbour) in self.sidecars.iter().zip(&mut self.neighbours) {
            neighbour.asked(sidecar.now(at));
        }
        if at < self.plan.length {
            self.agenda.enter(at + LOOK_EVERY, Event::Hangs);
        }
    }

    fn looks(&mut self) {
        let at = self.agenda.now();
        for sidecar in 0..self.sidecars.len() {
            self.judge.look(sidecar, at);
        }
        self.judge.look_at_all(at);
        if at < self.plan.length {
            self.agenda.enter(at + LOOK_EVERY, Event::Looks);
        }
    }
}

/// The maintenance, as operators write it.
fn declared(plan: &Plan) -> Result<Vec<Maintenance>, String> {
    let shown = |at: Ms| {
        let shown = jiff::Timestamp::from_millisecond(plan.epoch.saturating_add_unsigned(at));
        shown.map(|at| at.strftime("%Y-%m-%dT%H:%M").to_string()).map_err(|e| e.to_string())
    };
    let text = |m: &Range<Ms>| Ok::<_, String>(format!("{}/{} UTC", shown(m.start)?, shown(m.end)?));
    plan.maintenance.iter().map(|m| Maintenance::parse(&text(m)?)).collect()
}

fn workflow_name(workflow: usize) -> String {
    format!("workflow-{workflow}")
}

fn priority(background: bool) -> Priority {
    if background { Priority::Background } else { Priority::Interactive }
}
