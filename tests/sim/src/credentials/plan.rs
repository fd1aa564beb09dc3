//! What one seed decides: how the provider gives out tokens, who uses them, and what goes wrong when.

use fastrand::Rng;

use crate::agenda::Ms;

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;
const HOUR: Ms = 60 * MINUTE;
const DAY: Ms = 24 * HOUR;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When the last call is made.
    pub length: Ms,
    pub provider: Provider,
    pub sidecars: usize,
    /// Whether the record is in a store that all share; otherwise on the disk of the only one.
    pub shared: bool,
    /// Mean time between two calls of one sidecar.
    pub every: Ms,
    /// How long a call is willing to wait: from, to.
    pub patience: (Ms, Ms),
    /// How long a message takes, each way: from, to.
    pub latency: (Ms, Ms),
    pub troubles: Vec<Trouble>,
    pub partitions: Vec<Partition>,
    /// Of a hundred requests to the store, and of its answers, those that are lost.
    pub lost_percent: u64,
    /// Of a hundred refreshes, those before which the process is stopped for a while.
    pub stopped_percent: u64,
    pub crashes: Vec<Crash>,
    pub steps: Vec<Step>,
    /// Whether the machine is booted anew with each crash. A record on a disk is dated by the kernel's own time, which ends with the boot.
    pub reboots: bool,
    /// When a person withdraws their consent, and how much later there is another.
    pub revoked: Option<(Ms, Ms)>,
    /// When all access tokens end at once.
    pub ended: Option<Ms>,
    pub hog: Option<Hog>,
}

/// How a provider gives out tokens.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// Of an access token.
    pub life: Ms,
    /// Whether an answer says so.
    pub says_life: bool,
    pub refresh_life: Option<Ms>,
    pub says_refresh_life: bool,
    /// Whether it says it again of a refresh token that stays.
    pub repeats: bool,
    /// Whether a new refresh token lives its whole life again.
    pub slides: bool,
    /// Whether each use of a refresh token replaces it.
    pub rotates: bool,
    /// How long a replaced one may be used again.
    pub grace: Ms,
}

/// Something that is wrong with the provider for a while.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub from: Ms,
    pub to: Ms,
    pub kind: Kind,
}

impl Trouble {
    pub fn holds(&self, now: Ms) -> bool {
        (self.from..self.to).contains(&now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection can be made.
    Down,
    /// Everything is answered with a server error; what was asked may have been done all the same.
    Errors {
        done: bool,
    },
    /// What was asked is done, and nothing is answered.
    Hangs,
    /// Answers take longer, perhaps until nobody waits for them any more.
    Slow {
        by: Ms,
    },
    /// Requests take longer: they are done when nobody waits for them any more.
    LateRequest {
        by: Ms,
    },
    TooMany {
        retry_after: Option<Ms>,
    },
}

/// A sidecar cannot reach the store.
#[derive(Clone, Debug)]
pub struct Partition {
    pub from: Ms,
    pub to: Ms,
    pub sidecar: usize,
}

/// A sidecar dies, with all that is not in the store.
#[derive(Clone, Debug)]
pub struct Crash {
    pub at: Ms,
    pub sidecar: usize,
    /// How long it is gone.
    pub down: Ms,
}

/// Members beside those that are looked at take the lock, one as soon as the other's ends, and die before they send anything. Longer than a
/// token lives, so that in the end nobody has one that serves.
#[derive(Clone, Copy, Debug)]
pub struct Hog {
    pub from: Ms,
    pub to: Ms,
}

/// The clock on the wall of a sidecar is set.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: Ms,
    pub sidecar: usize,
    pub by: i64,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let provider = provider(rng);
        let length = provider.life * rng.u64(8..=25);
        let shared = rng.u8(0..4) > 0;
        let sidecars = if shared { rng.usize(1..=4) } else { 1 };
        let some = |rng: &mut Rng, most: u8| 0..rng.u8(0..=most);
        let life = provider.life;
        Self {
            length,
            provider,
            sidecars,
            shared,
            every: life / rng.u64(5..=40),
            patience: (SECOND, rng.u64(2..=40) * SECOND),
            latency: (rng.u64(1..=20), rng.u64(20..=400)),
            troubles: some(rng, 4).map(|_| trouble(rng, length, life)).collect(),
            partitions: some(rng, if shared { 3 } else { 1 })
                .map(|_| partition(rng, length, life, sidecars))
                .collect(),
            lost_percent: if rng.u8(0..4) == 0 { rng.u64(1..=15) } else { 0 },
            stopped_percent: if rng.u8(0..4) == 0 { rng.u64(1..=30) } else { 0 },
            crashes: some(rng, 4).map(|_| crash(rng, length, life, sidecars)).collect(),
            steps: some(rng, 2).map(|_| step(rng, length, sidecars)).collect(),
            revoked: (rng.u8(0..5) == 0).then(|| (rng.u64(0..length), rng.u64(0..3 * life))),
            ended: (rng.u8(0..5) == 0).then(|| rng.u64(0..length)),
            reboots: rng.u8(0..3) == 0,
            hog: (shared && rng.u8(0..6) == 0).then(|| hog(rng, length, life)),
        }
    }

    /// Whether the age of a record can be told: after another boot a disk has no clock but that of its sidecar, which may be set.
    pub fn has_clock(&self) -> bool {
        self.shared || self.steps.is_empty() || !self.reboots
    }
}

fn provider(rng: &mut Rng) -> Provider {
    let lives = [MINUTE, 10 * MINUTE, HOUR, 12 * HOUR];
    let life = lives[rng.usize(..lives.len())];
    let refresh_life = match rng.u8(0..4) {
        0 => Some(life * rng.u64(4..=20)),
        1 => Some(rng.u64(8..=60) * DAY),
        _ => None,
    };
    let rotates = rng.u8(0..4) > 0;
    Provider {
        life,
        says_life: rng.u8(0..5) > 0,
        refresh_life,
        says_refresh_life: rng.u8(0..4) > 0,
        slides: rotates && rng.bool(),
        rotates,
        repeats: rng.bool(),
        grace: if rng.bool() { rng.u64(20..=90) * SECOND } else { 0 },
    }
}

/// From moments to whole lives.
fn trouble(rng: &mut Rng, length: Ms, life: Ms) -> Trouble {
    let from = rng.u64(0..length);
    let kind = match rng.u8(0..7) {
        0 => Kind::Down,
        1 => Kind::Errors { done: rng.bool() },
        2 => Kind::Hangs,
        3 => Kind::Slow { by: rng.u64(SECOND..=60 * SECOND) },
        4 => Kind::LateRequest { by: rng.u64(SECOND..=60 * SECOND) },
        5 => Kind::TooMany { retry_after: rng.bool().then(|| rng.u64(1..=60) * SECOND) },
        _ => Kind::Down,
    };
    Trouble { from, to: from + span(rng, life), kind }
}

fn span(rng: &mut Rng, life: Ms) -> Ms {
    if rng.bool() { rng.u64(SECOND..=life / 5) } else { rng.u64(life / 5..=2 * life) }
}

fn partition(rng: &mut Rng, length: Ms, life: Ms, sidecars: usize) -> Partition {
    let from = rng.u64(0..length);
    Partition { from, to: from + span(rng, life), sidecar: rng.usize(..sidecars) }
}

fn crash(rng: &mut Rng, length: Ms, life: Ms, sidecars: usize) -> Crash {
    Crash { at: rng.u64(0..length), sidecar: rng.usize(..sidecars), down: span(rng, life) }
}

fn hog(rng: &mut Rng, length: Ms, life: Ms) -> Hog {
    let from = rng.u64(0..length);
    Hog { from, to: from + life + rng.u64(2 * MINUTE..=6 * MINUTE) }
}

fn step(rng: &mut Rng, length: Ms, sidecars: usize) -> Step {
    let by = rng.i64(-3_600_000..=3_600_000);
    Step { at: rng.u64(0..length), sidecar: rng.usize(..sidecars), by }
}
