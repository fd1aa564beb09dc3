//! One sidecar: a process with its policies and its clocks, and a disk that outlives it.

use std::collections::BTreeMap;

use crate::agenda::Ms;
use crate::egress::account::core::{Core, Settings};
use crate::plan::{self, Plan};
use crate::policy::limit::{Keeping, Leases, Limits, Reservation, WallKey, WallSet, Written};
use crate::policy::time::{Moment, Now};
use crate::state::lease::Lease;

/// How far the clocks of two processes of one sidecar are apart: a process's clock begins anywhere.
const LIVES_APART: Ms = 1_000_000_000;

/// A sidecar, dead or alive.
#[derive(Debug)]
pub struct Sidecar {
    pub core: Core<usize>,
    pub dead: bool,
    /// How often it has died.
    pub life: u32,
    /// By how much its clock on the wall is wrong.
    pub skew: i64,
    /// Its next wake that is on the agenda.
    pub wakes: Option<Ms>,
    /// How it stands with the store that all share, if there is one.
    pub lease: Option<Lease>,
    /// What it has asked of that store and not heard yet, and its next visit there that is on the agenda.
    pub letter: Option<u64>,
    pub visits: Option<Ms>,
    /// Among those of the run.
    name: usize,
    /// When this process began.
    born: Ms,
    /// When the run began, on everybody's wall.
    epoch: i64,
    keeping: plan::Keeping,
    settings: Settings,
    walls: WallSet,
    /// What it is writing.
    writing: Vec<Reservation>,
    /// What is on its disk, and since when.
    disk: BTreeMap<WallKey, (Ms, Written)>,
}

impl Sidecar {
    /// Begins with the run.
    pub fn new(name: usize, walls: &WallSet, plan: &Plan, settings: &Settings) -> Self {
        let mut sidecar = Self {
            core: Core::new(settings.clone(), walls),
            dead: false,
            life: 0,
            skew: 0,
            wakes: None,
            lease: None,
            letter: None,
            visits: None,
            name,
            born: 0,
            epoch: plan.epoch,
            keeping: plan.keeping.clone(),
            settings: settings.clone(),
            walls: walls.clone(),
            writing: Vec::new(),
            disk: BTreeMap::new(),
        };
        sidecar.begin(0);
        sidecar
    }

    /// What its clocks show.
    pub fn now(&self, at: Ms) -> Now {
        let mono = Moment(at - self.born + u64::from(self.life) * LIVES_APART);
        Now { mono, wall: self.epoch.saturating_add_unsigned(at).saturating_add(self.skew) }
    }

    /// A moment of this process's clock, on the clock of the simulation.
    pub fn at(&self, moment: Moment) -> Ms {
        (moment.0 + self.born).saturating_sub(u64::from(self.life) * LIVES_APART)
    }

    /// Gives the disk what must be on it before more is spent; whether that is anything.
    pub fn begin_writing(&mut self, at: Ms) -> bool {
        if self.dead || !self.writing.is_empty() {
            return false;
        }
        let now = self.now(at);
        self.writing = self.core.limits().to_write(now);
        !self.writing.is_empty()
    }

    /// The disk has what it was given.
    pub fn end_writing(&mut self, at: Ms) {
        for reservation in std::mem::take(&mut self.writing) {
            self.core.limits().written(&reservation);
            self.disk.insert(reservation.written.key.clone(), (at, reservation.written));
        }
    }

    /// What is not on disk is gone. What was being written is there or is not.
    pub fn die(&mut self, at: Ms, was_written: bool) {
        self.dead = true;
        if was_written {
            self.end_writing(at);
        }
        self.writing.clear();
    }

    /// The next process, which takes up what the one before it wrote.
    pub fn revive(&mut self, at: Ms) {
        (self.dead, self.life, self.born) = (false, self.life + 1, at);
        self.begin(at);
    }

    fn begin(&mut self, at: Ms) {
        let now = self.now(at);
        let keeping = match &self.keeping {
            plan::Keeping::Memory => Keeping::Memory,
            plan::Keeping::Disk => Keeping::Disk { since: now.mono },
            plan::Keeping::Shared(store) => {
                let plan::Store { lease: lease_ms, tail: tail_ms, emergency: emergency_ms, .. } = *store;
                let leases = Leases { lease_ms, tail_ms, emergency_ms };
                let member = format!("{}-{}", self.name, self.life);
                self.lease = Some(Lease::new("account", member.into(), leases));
                (self.letter, self.visits) = (None, None);
                Keeping::Shared(leases)
            }
        };
        let mut limits = Limits::kept(&self.walls, keeping);
        for (written_at, written) in self.disk.values() {
            limits.restore(written, at - written_at, now);
        }
        self.core = Core::with_limits(self.settings.clone(), limits);
    }
}
