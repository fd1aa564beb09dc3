//! What one seed decides: the fleet, the walls, the traffic, and what goes wrong when.

mod full;
mod store;
mod walls;

use std::ops::Range;

use fastrand::Rng;

use crate::agenda::Ms;
pub use store::{Fault, Store, StoreFault};
pub use walls::Wall;
use walls::{Night, walls};

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;

/// Longest call of a fleet that shares a store.
const LONGEST_CALL: Ms = 15 * SECOND;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When the last call is made; calls under way end after it.
    pub length: Ms,
    /// What clocks that are right show when it begins, in milliseconds since 1970.
    pub epoch: i64,
    pub sidecars: u64,
    pub walls: Vec<Wall>,
    /// Calls under way at once, for the whole fleet.
    pub concurrent: Option<u64>,
    pub agents: Vec<Agent>,
    pub workflows: Vec<Workflow>,
    pub latency: Latency,
    pub troubles: Vec<Trouble>,
    /// When the system is down on purpose, as its operators were told.
    pub maintenance: Option<Range<Ms>>,
    pub steps: Vec<Step>,
    pub keeping: Keeping,
    pub crashes: Vec<Crash>,
    /// Whether a throttle says until when.
    pub says_when: bool,
    /// Of which wall its answers tell how much is used, if they do.
    pub shows: Option<usize>,
}

/// Where counts are kept.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// In the process; the sidecars divide the walls among them.
    Memory,
    /// The same, with each one's on its disk: such a sidecar may die.
    Disk,
    /// In a store that they share, and the walls with it. Those may die too.
    Shared(Store),
}

/// Who calls, from which sidecar, and how.
#[derive(Clone, Debug)]
pub struct Agent {
    pub sidecar: usize,
    pub name: String,
    /// Mean time from one call to the next.
    pub every: Ms,
    /// Calls made at once each time.
    pub burst: u64,
    /// How long it is willing to wait: from, to.
    pub patience: (Ms, Ms),
    pub background: bool,
    /// Of a hundred calls, those that must not be done twice.
    pub unsafe_percent: u64,
    /// Of a hundred calls, those whose agent goes away before the answer.
    pub leaves_percent: u64,
}

/// An agent's task of several steps, reserved before the first.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub agent: usize,
    pub from: Ms,
    pub steps: u64,
    /// How long its steps are reserved.
    pub life: Ms,
    /// Of a hundred steps, those that it makes.
    pub makes_percent: u64,
    /// When it gives back what is left, if it does.
    pub gives_back: Option<Ms>,
}

/// How long a message takes, each way.
#[derive(Clone, Debug)]
pub struct Latency {
    pub least: Ms,
    pub most: Ms,
    /// Of a hundred messages, those that take up to `tail`.
    pub tail_percent: u64,
    pub tail: Ms,
}

/// Something that is wrong with the upstream for a while.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub from: Ms,
    pub to: Ms,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection can be made.
    Down,
    /// Everything is answered with a server error; what must not be repeated was done all the same.
    Errors,
    /// Nothing is answered.
    Hangs,
    /// Answers take longer.
    Slow { by: Ms },
    /// Somebody else uses the same quota.
    Outsider { every: Ms },
}

/// The clock on the wall of a sidecar is set.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: Ms,
    pub sidecar: usize,
    pub by: i64,
}

/// A sidecar dies, with all that is not on disk.
#[derive(Clone, Debug)]
pub struct Crash {
    pub at: Ms,
    pub sidecar: usize,
    /// How long it is gone.
    pub down: Ms,
}

/// What a fleet that shares a store is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// All is well with the upstream, and its windows are short: what goes wrong with the store is over before the run is.
    Calm,
    /// Somebody else uses the quota.
    Crowded,
    Mixed,
}

impl Mood {
    fn of(rng: &mut Rng) -> Self {
        [Self::Calm, Self::Crowded, Self::Mixed][rng.usize(..3)]
    }

    /// When the last thing goes wrong with the sidecars or their store. What is to be seen then takes time: what it forgot is used again.
    fn troubled_until(self, length: Ms) -> Ms {
        if self == Self::Calm { length / 6 } else { length }
    }
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let is_shared = rng.u8(0..4) == 0;
        let mood = if is_shared { Mood::of(rng) } else { Mood::Mixed };
        // The script of a store costs far more time than anything else.
        let length = if is_shared { rng.u64(2..=4) } else { rng.u64(3..=12) } * MINUTE;
        let sidecars = if mood == Mood::Crowded { rng.u64(2..=4) } else { rng.u64(1..=4) };
        let night = (mood == Mood::Mixed && rng.u8(0..4) == 0).then(|| Night::of(rng, length));
        let walls = walls(rng, night.as_ref(), mood != Mood::Mixed);
        let concurrent = (rng.u8(0..3) == 0).then(|| sidecars * rng.u64(2..=8));
        let mut agents = agents(rng, sidecars, &walls);
        if is_shared {
            // A call must be over before the store gives up a sidecar that it does not hear.
            agents.iter_mut().for_each(|agent| agent.patience.1 = agent.patience.1.min(LONGEST_CALL));
        }
        let mut troubles = match mood {
            Mood::Calm => Vec::new(),
            Mood::Crowded => vec![crowd(rng, length)],
            Mood::Mixed => (0..rng.u8(0..=3)).map(|_| trouble(rng, length)).collect(),
        };
        // Clocks show whole minutes when the run begins.
        let maintenance = (mood == Mood::Mixed && night.is_none() && rng.u8(0..4) == 0).then(|| {
            let from = rng.u64(1..length / MINUTE) * MINUTE;
            from..from + rng.u64(1..=2) * MINUTE
        });
        let down = |m: &Range<Ms>| Trouble { from: m.start, to: m.end, kind: Kind::Errors };
        troubles.extend(maintenance.as_ref().map(down));
        let steps = (0..rng.u8(0..=2)).map(|_| step(rng, length, sidecars)).collect();
        let latency = Latency {
            least: rng.u64(1..=20),
            most: rng.u64(20..=300),
            tail_percent: rng.u64(0..=10),
            tail: rng.u64(300..=8_000),
        };
        let says_when = rng.u8(0..4) > u8::from(mood == Mood::Mixed);
        // In a crowd it is refusals that show it.
        let shows = (mood != Mood::Crowded && rng.bool()).then(|| rng.usize(..walls.len()));
        let keeping = match rng.u8(0..3) {
            _ if is_shared => Keeping::Shared(Store::of(rng, mood, length, sidecars)),
            0 => Keeping::Disk,
            _ => Keeping::Memory,
        };
        let crashes = match &keeping {
            Keeping::Memory => 0..0,
            Keeping::Disk => 0..rng.u8(0..=4),
            Keeping::Shared(store) if store.last_witness == sidecars => 0..0,
            Keeping::Shared(_) => 0..rng.u8(0..=if mood == Mood::Calm { 1 } else { 3 }),
        };
        let first = match &keeping {
            Keeping::Shared(store) => store.last_witness,
            Keeping::Memory | Keeping::Disk => 0,
        };
        let crashes = crashes.map(|_| crash(rng, mood.troubled_until(length), first..sidecars)).collect();
        let has_workflows = mood == Mood::Calm || rng.bool();
        let workflows = if has_workflows { workflows(rng, mood, length, agents.len()) } else { Vec::new() };
        Self {
            length,
            epoch: Night::epoch_of(night.as_ref()),
            workflows,
            sidecars,
            walls,
            concurrent,
            agents,
            latency,
            troubles,
            maintenance,
            steps,
            keeping,
            crashes,
            says_when,
            shows,
        }
    }

    /// Into how many parts the walls are divided.
    pub fn parts(&self) -> u64 {
        if self.store().is_some() { 1 } else { self.sidecars }
    }

    pub fn store(&self) -> Option<&Store> {
        match &self.keeping {
            Keeping::Shared(store) => Some(store),
            Keeping::Memory | Keeping::Disk => None,
        }
    }
}

/// Together they want more than the walls let through, most of the time.
fn agents(rng: &mut Rng, sidecars: u64, walls: &[Wall]) -> Vec<Agent> {
    let per_call = walls.iter().map(|w| w.felt_over() / w.count).max().unwrap_or(SECOND).max(1);
    let pressure = rng.u64(5..=40);
    let mut agents = Vec::new();
    for sidecar in 0..usize::try_from(sidecars).unwrap_or(1) {
        let count = rng.u64(1..=4);
        for number in 0..count {
            let burst = if rng.u8(0..4) == 0 { rng.u64(2..=30) } else { 1 };
            let least = rng.u64(50..=5_000);
            agents.push(Agent {
                sidecar,
                name: format!("agent-{sidecar}-{number}"),
                every: (per_call * burst * sidecars * count * 10 / pressure).max(5),
                burst,
                patience: (least, least + rng.u64(0..=40_000)),
                background: rng.u8(0..4) == 0,
                unsafe_percent: rng.u64(0..=50),
                leaves_percent: rng.u64(0..=20),
            });
        }
    }
    agents
}

fn workflows(rng: &mut Rng, mood: Mood, length: Ms, agents: usize) -> Vec<Workflow> {
    // Those who come while the walls are empty get what they want, and others come when they make use of it.
    let (most, until, least_made) = if mood == Mood::Calm { (10, 20 * SECOND, 80) } else { (12, length, 30) };
    let workflow = |rng: &mut Rng| {
        let from = rng.u64(0..until);
        // Its last step is made while everything is still there.
        let life = rng.u64(5 * SECOND..=3 * MINUTE).min(length + 10 * SECOND - from);
        Workflow {
            agent: rng.usize(..agents),
            from,
            steps: rng.u64(1..=12),
            life,
            makes_percent: rng.u64(least_made..=100),
            gives_back: rng.bool().then(|| rng.u64(0..life)),
        }
    };
    (0..rng.u8(1..=most)).map(|_| workflow(rng)).collect()
}

/// Others use the same quota, for so long and so much that they are in the way.
fn crowd(rng: &mut Rng, length: Ms) -> Trouble {
    let from = rng.u64(0..length / 3);
    let kind = Kind::Outsider { every: rng.u64(50..=1_000) };
    Trouble { from, to: from + rng.u64(30 * SECOND..=2 * MINUTE), kind }
}

fn trouble(rng: &mut Rng, length: Ms) -> Trouble {
    let from = rng.u64(0..length);
    let kind = match rng.u8(0..5) {
        0 => Kind::Down,
        1 => Kind::Errors,
        2 => Kind::Hangs,
        3 => Kind::Slow { by: rng.u64(200..=6_000) },
        _ => Kind::Outsider { every: rng.u64(50..=3_000) },
    };
    Trouble { from, to: from + rng.u64(SECOND..=2 * MINUTE), kind }
}

fn step(rng: &mut Rng, length: Ms, sidecars: u64) -> Step {
    let by = rng.i64(-3_600_000..=3_600_000);
    Step { at: rng.u64(0..length), sidecar: usize::try_from(rng.u64(0..sidecars)).unwrap_or(0), by }
}

fn crash(rng: &mut Rng, until: Ms, sidecars: Range<u64>) -> Crash {
    let sidecar = usize::try_from(rng.u64(sidecars)).unwrap_or(0);
    Crash { at: rng.u64(0..until), sidecar, down: rng.u64(50..=30 * SECOND) }
}
