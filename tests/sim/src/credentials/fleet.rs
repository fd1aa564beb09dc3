//! One run: sidecars, their callers, the provider and the store on one clock. Carries messages and tells the judge what happens; decides nothing.

mod calls;
mod steps;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

use super::judge::{Denied, Judge};
use super::plan::Plan;
use super::provider::{Provider, Reply, Token};
use super::sidecar::{InHand, Sidecar};
use super::store::{Ask, Owner, Store, Told};
use crate::agenda::{Agenda, Ms};
use crate::verdict::Run;

/// How often the judge looks around in a token's life.
const LOOKS_IN_LIFE: Ms = 200;

/// How often one call may be refused and sent again with something newer: a fleet may have won more than one token that ended with the rest.
const RENEWALS: u32 = 2;

/// How often members that die again and again renew the lock, and who they are.
const HOGS_EVERY: Ms = 1_000;
const HOG: Owner = (usize::MAX, 0, 0);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Calls {
        sidecar: usize,
    },
    /// A call reaches the API; how it was answered reaches the sidecar.
    Arrives {
        call: usize,
    },
    Answered {
        call: usize,
        taken: bool,
    },
    Deadline {
        call: usize,
    },
    /// What a sidecar asked of the store is done, and its answer is there.
    Stores {
        of: Owner,
        asked: usize,
    },
    Stored {
        of: Owner,
        asked: usize,
    },
    /// A token request is done, and how it ended reaches the sidecar.
    Trades {
        grant: usize,
    },
    Traded {
        grant: usize,
        reply: Option<Reply>,
    },
    /// A run that was stopped before it sent something.
    GoesOn {
        of: Owner,
    },
    Wakes {
        sidecar: usize,
    },
    Dies {
        crash: usize,
    },
    Lives {
        sidecar: usize,
    },
    Step {
        index: usize,
    },
    Revoked,
    Consents,
    Reseeded {
        sidecar: usize,
        seed: Token,
    },
    Ended,
    /// Somebody else takes the lock, if it is free.
    Hogs,
    Looks,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    sidecar: usize,
    life: u32,
    deadline: Ms,
    /// What it was last sent with.
    with: Option<InHand>,
    renewed: u32,
    open: bool,
}

/// Something that was asked of the store.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Of this family.
    seed: Token,
    ask: Ask,
    told: Told,
}

/// One request for tokens.
#[derive(Clone, Copy, Debug)]
struct Grant {
    of: Owner,
    token: Token,
    open: bool,
}

struct Fleet {
    plan: Plan,
    rng: Rng,
    agenda: Agenda<Event>,
    sidecars: Vec<Sidecar>,
    calls: Vec<Call>,
    asked: Vec<Asked>,
    grants: Vec<Grant>,
    provider: Provider,
    /// The records, by what began their families.
    stores: BTreeMap<Token, Store>,
    judge: Judge,
    trace: DefaultHasher,
}

/// Runs one seed.
pub fn run(seed: u64) -> Result<Run, String> {
    let mut fleet = Fleet::new(Plan::of(seed), seed);
    fleet.schedule();
    while let Some(event) = fleet.agenda.next() {
        (fleet.agenda.now(), event).hash(&mut fleet.trace);
        fleet.happens(event);
    }
    let open = fleet.calls.iter().filter(|call| call.open).count();
    fleet.judge.close(open);
    Ok(Run { verdict: fleet.judge.verdict, trace: fleet.trace.finish(), calls: fleet.calls.len() })
}

impl Fleet {
    fn new(plan: Plan, seed: u64) -> Self {
        let mut provider = Provider::new(plan.provider, plan.troubles.clone());
        let first = provider.consent(0);
        Self {
            rng: Rng::with_seed(seed ^ 0x5eed),
            agenda: Agenda::new(),
            sidecars: (0..plan.sidecars).map(|_| Sidecar::new(first)).collect(),
            calls: Vec::new(),
            asked: Vec::new(),
            grants: Vec::new(),
            judge: Judge::new(&plan),
            provider,
            stores: BTreeMap::new(),
            trace: DefaultHasher::new(),
            plan,
        }
    }

    fn schedule(&mut self) {
        for sidecar in 0..self.sidecars.len() {
            let at = self.rng.u64(0..=self.plan.every);
            self.agenda.enter(at, Event::Calls { sidecar });
            self.agenda.enter(0, Event::Wakes { sidecar });
        }
        for (crash, planned) in self.plan.crashes.iter().enumerate() {
            self.agenda.enter(planned.at, Event::Dies { crash });
        }
        for (index, step) in self.plan.steps.iter().enumerate() {
            self.agenda.enter(step.at, Event::Step { index });
        }
        if let Some((at, later)) = self.plan.revoked {
            self.agenda.enter(at, Event::Revoked);
            self.agenda.enter(at + later, Event::Consents);
        }
        if let Some(at) = self.plan.ended {
            self.agenda.enter(at, Event::Ended);
        }
        if let Some(hog) = self.plan.hog {
            self.agenda.enter(hog.from, Event::Hogs);
        }
        self.agenda.enter(0, Event::Looks);
    }

    fn happens(&mut self, event: Event) {
        let at = self.agenda.now();
        match event {
            Event::Calls { sidecar } => self.calls(sidecar),
            Event::Arrives { call } => self.arrives(call),
            Event::Answered { call, taken } => self.answered(call, taken),
            Event::Deadline { call } => self.denied(call, Denied::Deadline),
            Event::Stores { of, asked } => self.stores(of, asked),
            Event::Stored { of, asked } => self.stored(of, self.asked[asked]),
            Event::Trades { grant } => self.trades(grant),
            Event::Traded { grant, reply } => self.traded(grant, reply),
            Event::GoesOn { of } => self.goes_on_after_stop(of),
            Event::Wakes { sidecar } => {
                self.sidecars[sidecar].wakes = None;
                self.pump(sidecar);
            }
            Event::Dies { crash } => self.dies(crash),
            Event::Lives { sidecar } => self.lives(sidecar),
            Event::Step { index } => {
                let step = &self.plan.steps[index];
                self.sidecars[step.sidecar].skew += step.by;
            }
            Event::Revoked => {
                let family = self.judge.family();
                self.provider.revoke(family, at);
                self.judge.disturbed(at);
            }
            Event::Consents => self.consents(),
            Event::Reseeded { sidecar, seed } => self.reseeded(sidecar, seed),
            Event::Ended => {
                self.provider.end_access(at);
                self.judge.access_ended(at);
            }
            Event::Hogs => self.hogs(),
            Event::Looks => {
                for (index, sidecar) in self.sidecars.iter().enumerate().filter(|(_, s)| !s.dead) {
                    self.judge.look(index, sidecar.in_hand, &self.provider, at);
                }
                if at < self.plan.length {
                    self.agenda.enter(at + self.plan.provider.life / LOOKS_IN_LIFE, Event::Looks);
                }
            }
        }
    }

    fn latency(&mut self) -> Ms {
        self.rng.u64(self.plan.latency.0..=self.plan.latency.1)
    }

    fn is_cut_off(&self, sidecar: usize) -> bool {
        let at = self.agenda.now();
        self.plan.partitions.iter().any(|p| p.sidecar == sidecar && (p.from..p.to).contains(&at))
    }

    /// Whether a message between a sidecar and the store does not arrive.
    fn is_lost(&mut self, sidecar: usize) -> bool {
        self.is_cut_off(sidecar) || self.rng.u64(0..100) < self.plan.lost_percent
    }

    fn owner(&self, sidecar: usize) -> Owner {
        (sidecar, self.sidecars[sidecar].life, self.sidecars[sidecar].run)
    }

    /// Whether this run is still under way.
    fn goes_on(&self, (sidecar, life, run): Owner) -> bool {
        let it = &self.sidecars[sidecar];
        !it.dead && it.life == life && it.run == run && it.is_running
    }

    fn dies(&mut self, crash: usize) {
        let planned = self.plan.crashes[crash].clone();
        let at = self.agenda.now();
        let it = &mut self.sidecars[planned.sidecar];
        if std::mem::replace(&mut it.dead, true) {
            return;
        }
        self.judge.dies(planned.sidecar, at);
        self.agenda.enter(at + planned.down, Event::Lives { sidecar: planned.sidecar });
    }

    fn lives(&mut self, sidecar: usize) {
        let at = self.agenda.now();
        self.sidecars[sidecar].reborn(at);
        self.judge.lives(sidecar, at);
        self.agenda.enter(at, Event::Wakes { sidecar });
    }

    /// A person consents again, and the operator's new file reaches one sidecar after the other.
    fn consents(&mut self) {
        let at = self.agenda.now();
        let seed = self.provider.consent(at);
        self.judge.consented(seed, &self.provider, at);
        for sidecar in 0..self.sidecars.len() {
            let sees = at + self.rng.u64(0..=60_000);
            self.agenda.enter(sees, Event::Reseeded { sidecar, seed });
        }
    }

    fn reseeded(&mut self, sidecar: usize, seed: Token) {
        let at = self.agenda.now();
        self.judge.reseeded(sidecar, at);
        let it = &mut self.sidecars[sidecar];
        it.seed = seed;
        if it.dead {
            return;
        }
        it.core.reseeded();
        self.pump(sidecar);
    }
}
