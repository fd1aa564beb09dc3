//! The lifecycle's steps: what a sidecar asks of the store and of the provider, and how it hears the answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Asked, Event, Fleet, Grant, HOG, HOGS_EVERY};
use crate::agenda::Ms;
use crate::credential::lifecycle::lock;
use crate::credential::lifecycle::{Began, Committed, Exchanged, Loaded, Step};
use crate::credentials::LOGIN_TIME;
use crate::credentials::provider::{Reply, Tokens};
use crate::credentials::sidecar::{terms, wall};
use crate::credentials::store::{ANSWER_TIMEOUT, Ask, Owner, Record, Store, Told};

const LOGIN: Duration = Duration::from_millis(LOGIN_TIME);

fn ms(duration: Duration) -> Ms {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Fleet {
    /// Lets a sidecar do what is due, tell what it has to tell, and serve who waits.
    pub(super) fn pump(&mut self, sidecar: usize) {
        let at = self.agenda.now();
        let it = &mut self.sidecars[sidecar];
        if it.dead {
            return;
        }
        let now = it.now(at);
        if !it.is_running
            && let Some(step) = it.core.start(now)
        {
            (it.run, it.is_running, it.of_run) = (it.run + 1, true, it.seed);
            self.does(sidecar, step);
        }
        let it = &mut self.sidecars[sidecar];
        for event in it.core.events(now) {
            self.judge.told(sidecar, event, at);
        }
        self.judge.listened(sidecar, at);
        if let Some(wake) = it.core.wake(now).map(|moment| it.at(moment).max(at + 1))
            && it.wakes.is_none_or(|planned| wake < planned)
            && wake < self.plan.length
        {
            it.wakes = Some(wake);
            self.agenda.enter(wake, Event::Wakes { sidecar });
        }
        for call in std::mem::take(&mut self.sidecars[sidecar].waiting) {
            if self.calls[call].open {
                self.serve(call, false);
            }
        }
    }

    fn does(&mut self, sidecar: usize, step: Step) {
        match step {
            Step::Load => self.ask(sidecar, Ask::Load),
            Step::Begin { version } => {
                self.ask(sidecar, Ask::Begin { version, ttl: ms(lock::stands(LOGIN)) })
            }
            Step::Exchange { again: false, .. } if self.is_stopped() => {
                let stops = self.rng.u64(0..=ms(lock::stands(LOGIN)));
                let of = self.owner(sidecar);
                self.judge.disturbed(self.agenda.now() + stops);
                self.agenda.enter(self.agenda.now() + stops, Event::GoesOn { of });
            }
            Step::Exchange { .. } => self.ask_of_lock(sidecar),
            Step::Commit { version } => {
                let record = self.granted(sidecar, version);
                self.ask(sidecar, Ask::Write(record));
            }
            Step::Bury { version } => {
                self.ask(sidecar, Ask::Write(self.burial(sidecar, version)));
            }
            Step::Release { spent } => {
                self.ask(sidecar, Ask::Release { spent });
                self.sidecars[sidecar].is_running = false;
            }
            Step::Rest => self.sidecars[sidecar].is_running = false,
        }
    }

    /// The record of what was granted.
    fn granted(&self, sidecar: usize, version: u64) -> Record {
        let it = &self.sidecars[sidecar];
        let at = self.agenda.now();
        let Some((tokens, asked)) = it.granted else { return self.burial(sidecar, version) };
        let said = it.core.granted(it.now(at)).and_then(|(terms, _)| terms.refresh_life);
        let tokens = Tokens { refresh_life: said.map(ms), ..tokens };
        // Too old rather than too young: the store has it later than it was sent.
        let age = it.now(at).mono.since(asked) + Duration::from_millis(ANSWER_TIMEOUT);
        let asked_at = self.wall_of_store(sidecar) - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = self.stores.get(&it.of_run).and_then(Store::record).and_then(|r| r.family_life);
        let family_life = before.max(tokens.refresh_life);
        Record { version, tokens: Some(tokens), seed: it.of_run, family_life, asked_at }
    }

    fn burial(&self, sidecar: usize, version: u64) -> Record {
        let seed = self.sidecars[sidecar].of_run;
        Record { version, tokens: None, seed, family_life: None, asked_at: 0 }
    }

    /// The clock by which a record's age is told: the store's own, the kernel's, or what the sidecar's wall shows whose disk it is.
    fn wall_of_store(&self, sidecar: usize) -> i64 {
        let at = self.agenda.now();
        let is_set_by_none = self.plan.shared || !self.plan.reboots;
        if is_set_by_none { wall(at) } else { self.sidecars[sidecar].wall(at) }
    }

    fn ask(&mut self, sidecar: usize, ask: Ask) {
        let at = self.agenda.now();
        let seed = self.sidecars[sidecar].of_run;
        self.asked.push(Asked { seed, ask, told: Told::Away });
        let (of, asked) = (self.owner(sidecar), self.asked.len() - 1);
        if self.is_lost(sidecar) {
            self.agenda.enter(at + ANSWER_TIMEOUT, Event::Stored { of, asked });
        } else {
            let arrives = at + self.rng.u64(0..=ANSWER_TIMEOUT / 3);
            self.agenda.enter(arrives, Event::Stores { of, asked });
        }
    }

    /// Whoever dies before anything is sent leaves the lock, and an intent.
    pub(super) fn hogs(&mut self) {
        let at = self.agenda.now();
        for seed in self.sidecars.iter().map(|it| it.seed).collect::<BTreeSet<_>>() {
            let store = self.stores.entry(seed).or_default();
            let version = store.record().map_or(0, |record| record.version);
            let _ = store.asked(Ask::Begin { version, ttl: ms(lock::stands(LOGIN)) }, HOG, at);
        }
        if self.plan.hog.is_some_and(|hog| at < hog.to) {
            self.agenda.enter(at + HOGS_EVERY, Event::Hogs);
        }
    }

    pub(super) fn stores(&mut self, of: Owner, asked: usize) {
        let at = self.agenda.now();
        let Asked { seed, ask, .. } = self.asked[asked];
        let told = self.stores.entry(seed).or_default().asked(ask, of, at);
        if let (Ask::Write(record), Told::Written) = (ask, told) {
            self.judge.durable(&record, &self.provider, at);
        }
        // The answer may be lost on its way.
        if !self.is_lost(of.0) {
            self.asked[asked].told = told;
        }
        let back = self.rng.u64(0..=ANSWER_TIMEOUT / 3);
        self.agenda.enter(at + back, Event::Stored { of, asked });
    }

    pub(super) fn stored(&mut self, of: Owner, Asked { ask, told, .. }: Asked) {
        if !self.goes_on(of) {
            return;
        }
        let (sidecar, at, random) = (of.0, self.agenda.now(), self.rng.u64(..));
        let wall = self.wall_of_store(sidecar);
        let it = &mut self.sidecars[sidecar];
        let now = it.now(at);
        let step = match (ask, told) {
            (Ask::Load, told) => {
                let loaded = match told {
                    Told::Has(Some(record)) => Loaded::Found(it.take_up(&record, wall)),
                    Told::Has(None) => Loaded::Nothing,
                    _ => Loaded::Unavailable,
                };
                it.core.loaded(loaded, random, now)
            }
            (Ask::Begin { .. }, told) => {
                let began = match told {
                    Told::Ours { unfinished } => {
                        self.judge.has_lock(of);
                        Began::Ours { unfinished }
                    }
                    Told::Newer(record) => Began::Newer(it.take_up(&record, wall)),
                    Told::Held => Began::Held,
                    _ => Began::Unavailable,
                };
                it.core.began(began, random, now)
            }
            (Ask::Holds { .. }, Told::Holds(true)) => return self.exchange(sidecar),
            (Ask::Holds { .. }, told) => {
                let exchanged = match told {
                    Told::Holds(_) => Exchanged::Overtaken,
                    _ => Exchanged::StoreAway,
                };
                it.core.exchanged(exchanged, random, now)
            }
            (Ask::Write(record), told) => {
                let committed = match told {
                    Told::Written => {
                        let _ = it.take_up(&record, wall);
                        Committed::Durable
                    }
                    Told::Superseded(Some(newer)) => Committed::Superseded(it.take_up(&newer, wall)),
                    _ => Committed::Unavailable,
                };
                let is_burial = record.tokens.is_none();
                if is_burial {
                    it.core.buried(committed, random, now)
                } else {
                    it.core.committed(committed, random, now)
                }
            }
            (Ask::Release { .. }, _) => return,
        };
        self.does(sidecar, step);
        self.pump(sidecar);
    }

    /// Whether the process is stopped for a while before it sends something.
    fn is_stopped(&mut self) -> bool {
        self.rng.u64(0..100) < self.plan.stopped_percent
    }

    pub(super) fn goes_on_after_stop(&mut self, of: Owner) {
        if self.goes_on(of) {
            self.ask_of_lock(of.0);
        }
    }

    /// Whether there is time for a login.
    fn ask_of_lock(&mut self, sidecar: usize) {
        self.judge.goes_about(self.owner(sidecar), self.agenda.now());
        self.ask(sidecar, Ask::Holds { needed: ms(lock::needed(LOGIN)) });
    }

    fn exchange(&mut self, sidecar: usize) {
        let at = self.agenda.now();
        let of = self.owner(sidecar);
        let it = &mut self.sidecars[sidecar];
        let (now, token) = (it.now(at), it.refresh_token());
        it.asked = now.mono;
        self.judge.sends(of, token, at);
        self.grants.push(Grant { of, token, open: true });
        let grant = self.grants.len() - 1;
        let takes = self.latency();
        if self.provider.is_reachable(at) {
            let (late, _) = self.provider.delays(at);
            self.agenda.enter(at + takes + late, Event::Trades { grant });
            self.agenda.enter(at + LOGIN_TIME, Event::Traded { grant, reply: None });
        } else {
            self.judge.never_sent(of, token);
            self.agenda.enter(at + takes, Event::Traded { grant, reply: None });
        }
    }

    pub(super) fn trades(&mut self, grant: usize) {
        let at = self.agenda.now();
        let reply = self.provider.token_request(self.grants[grant].token, at);
        let (_, slow) = self.provider.delays(at);
        let back = self.latency();
        if reply != Reply::Silence {
            self.agenda.enter(at + slow + back, Event::Traded { grant, reply: Some(reply) });
        }
    }

    pub(super) fn traded(&mut self, id: usize, reply: Option<Reply>) {
        let Grant { of, token, open } = self.grants[id];
        self.grants[id].open = false;
        if !open || !self.goes_on(of) {
            return;
        }
        let (sidecar, at, random) = (of.0, self.agenda.now(), self.rng.u64(..));
        let sent = self.judge.hears(of, token, reply, at);
        let it = &mut self.sidecars[sidecar];
        let wait = |ms: Option<Ms>| ms.map(Duration::from_millis);
        let exchanged = match reply {
            Some(Reply::Granted(tokens)) => {
                it.granted = Some((tokens, it.asked));
                Exchanged::Granted(terms(&tokens, tokens.refresh == token))
            }
            Some(Reply::InvalidGrant) => Exchanged::Invalid,
            Some(Reply::TooMany { retry_after }) => Exchanged::RateLimited { retry_after: wait(retry_after) },
            None if !sent => Exchanged::Unavailable { retry_after: None },
            Some(Reply::Error | Reply::Silence) | None => Exchanged::Unknown,
        };
        let step = it.core.exchanged(exchanged, random, it.now(at));
        self.does(sidecar, step);
        self.pump(sidecar);
    }
}
