//! Whatever happens in whatever order: what the module's head promises.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::time::{Moment, Now};

#[derive(Clone, Copy, Debug)]
enum Happening {
    Pass(u64),
    Serve(u64),
    Refused,
    Reseeded,
    /// The step under way is answered, in one of several ways; if there is none, a run begins.
    Go(u8),
    Abandon,
}

/// What was won: the version, when it was asked for and its life.
#[derive(Clone, Copy, Debug)]
struct Won {
    version: u64,
    asked: u64,
    life: u64,
    refused: bool,
}

struct World {
    machine: Lifecycle,
    settings: Settings,
    ms: u64,
    random: u64,
    step: Option<Step>,
    asked: u64,
    granted: Option<u64>,
    won: Option<Won>,
    /// The version whose token the provider said is invalid.
    invalid: Option<u64>,
    dead: bool,
    /// How often the operator replaced the secrets, now and when the run took them up.
    seed: u32,
    run_seed: u32,
    /// Whose token was sent when, and how often.
    burst: ((u64, u32, u64), u32),
}

impl World {
    fn new(keep_alive: bool, mortal: bool, random: u64) -> Self {
        let settings = Settings { keep_alive, mortal };
        Self {
            machine: Lifecycle::new(settings),
            settings,
            ms: 0,
            random,
            step: None,
            asked: 0,
            granted: None,
            won: None,
            invalid: None,
            dead: false,
            seed: 0,
            run_seed: 0,
            burst: ((0, 0, 0), 0),
        }
    }

    fn now(&self) -> Now {
        Now { mono: Moment(self.ms), wall: 0 }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Pass(ms) => self.ms += ms,
            Happening::Serve(takes) => self.serve(takes),
            Happening::Refused => self.refused(),
            Happening::Reseeded => {
                self.machine.reseeded();
                (self.invalid, self.dead, self.granted) = (None, false, None);
                self.seed += 1;
            }
            Happening::Go(how) => self.go(how),
            Happening::Abandon => {
                self.machine.abandon(self.random, self.now());
                self.step = None;
            }
        }
        if self.step.is_none() {
            self.rests();
        }
    }

    fn serve(&mut self, takes: u64) {
        match self.machine.serve(Duration::from_millis(takes), self.now()) {
            Serving::Token(version) => {
                let won = self.won.expect("something serves that was never won");
                assert_eq!(version, won.version);
                assert!(!won.refused);
                assert!(won.life == 0 || self.ms < won.asked + won.life, "expired at {}: {won:?}", self.ms);
            }
            Serving::Failing { retry_at, .. } => assert!(retry_at.0 > self.ms),
            Serving::Wait => {
                let wakes = self.machine.wake(self.now());
                assert!(self.step.is_some() || wakes.is_some(), "waits for nothing");
            }
            Serving::Dead => assert!(self.dead),
        }
    }

    fn refused(&mut self) {
        let Some(won) = &mut self.won else { return };
        let now = Now { mono: Moment(self.ms), wall: 0 };
        if self.machine.refused(won.version, now) == Renewal::Serve {
            won.refused = true;
        }
    }

    fn go(&mut self, how: u8) {
        let now = self.now();
        self.step = match self.step.take() {
            None => {
                self.run_seed = self.seed;
                self.machine.start(now)
            }
            Some(step) => Some(self.answered(step, how)),
        };
        match self.step {
            Some(Step::Exchange { version, again }) => self.sends(version, again),
            Some(Step::Release { .. } | Step::Rest) => self.step = None,
            Some(Step::Bury { .. }) => self.dead = true,
            _ => {}
        }
    }

    fn sends(&mut self, version: u64, again: bool) {
        self.asked = self.ms;
        assert!(!self.settings.mortal || self.invalid != Some(version), "sent again though it is invalid");
        let sent = (version, self.run_seed, self.ms);
        let times = if self.burst.0 == sent { self.burst.1 + 1 } else { 1 };
        self.burst = (sent, times);
        assert!(times < 2 || again, "sent twice as if for the first time");
    }

    fn answered(&mut self, step: Step, how: u8) -> Step {
        let (random, now) = (self.random, self.now());
        let life = u64::from(how % 3) * 10_000;
        let terms = Terms { life: Some(Duration::from_millis(life)), ..Terms::default() };
        let newer = |version| Latest::Kept(Kept { version, age: Duration::from_secs(2), terms });
        match step {
            Step::Load if how < 40 => {
                let version = self.won.map_or(1, |won| won.version + 1).max(self.invalid.unwrap_or(0) + 1);
                let before = self.machine.view(now).version;
                // Of a family that was given up meanwhile it is of no interest.
                if self.seed == self.run_seed {
                    self.wins(version.max(before + 1), self.ms.saturating_sub(2_000), life);
                }
                let found = newer(version.max(before + 1));
                self.machine.loaded(Loaded::Found(found), random, now)
            }
            Step::Load if how < 80 => self.machine.loaded(Loaded::Unavailable, random, now),
            Step::Load => self.machine.loaded(Loaded::Nothing, random, now),
            Step::Begin { version } if how < 30 => {
                self.wins(version + 3, self.ms.saturating_sub(2_000), life);
                self.machine.began(Began::Newer(newer(version + 3)), random, now)
            }
            Step::Begin { .. } if how < 60 => self.machine.began(Began::Held, random, now),
            Step::Begin { .. } if how < 90 => self.machine.began(Began::Unavailable, random, now),
            Step::Begin { .. } => {
                self.machine.began(Began::Ours { unfinished: how.is_multiple_of(2) }, random, now)
            }
            Step::Exchange { version, .. } => self.exchanged(version, how, terms),
            Step::Commit { version } if how < 128 => {
                if let Some(life) = self.granted.take() {
                    self.wins(version, self.asked, life);
                }
                self.machine.committed(Committed::Durable, random, now)
            }
            Step::Commit { .. } => self.machine.committed(Committed::Unavailable, random, now),
            Step::Bury { .. } => self.machine.buried(Committed::Durable, random, now),
            Step::Release { .. } | Step::Rest => Step::Rest,
        }
    }

    fn exchanged(&mut self, version: u64, how: u8, terms: Terms) -> Step {
        let retry_after = (how.is_multiple_of(5)).then_some(Duration::from_secs(3));
        let exchanged = match how {
            0..50 => Exchanged::Granted(terms),
            50..100 => Exchanged::Unknown,
            100..150 => Exchanged::Unavailable { retry_after },
            150..200 => Exchanged::RateLimited { retry_after },
            200..205 => Exchanged::Overtaken,
            205..210 => Exchanged::StoreAway,
            210..230 => Exchanged::Refused,
            _ => Exchanged::Invalid,
        };
        let step = self.machine.exchanged(exchanged, self.random, self.now());
        match exchanged {
            Exchanged::Granted(terms) => {
                self.granted = terms.life.map(|life| u64::try_from(life.as_millis()).unwrap());
            }
            // Not said of a token that was replaced meanwhile.
            Exchanged::Invalid if step == Step::Load => self.invalid = Some(version),
            _ => {}
        }
        step
    }

    fn wins(&mut self, version: u64, asked: u64, life: u64) {
        self.won = Some(Won { version, asked, life, refused: false });
        (self.invalid, self.granted, self.dead) = (None, None, false);
    }

    /// Nothing is under way: whoever follows `wake` neither spins nor sleeps through what is due.
    fn rests(&mut self) {
        let now = self.now();
        self.machine.events(now);
        let wake = self.machine.wake(now);
        match wake {
            Some(at) if at <= now.mono => {
                self.step = self.machine.start(now);
                self.run_seed = self.seed;
                assert!(self.step.is_some(), "it wakes at {at:?} for nothing");
            }
            Some(_) => assert_eq!(self.machine.start(now), None, "it starts before {wake:?}"),
            None => {
                assert_eq!(self.machine.start(now), None);
                assert!(!self.settings.keep_alive || self.dead, "a refresh token that nobody keeps alive");
            }
        }
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..4_000_u64).prop_map(Happening::Pass),
        3 => (0..60_000_u64).prop_map(Happening::Serve),
        1 => Just(Happening::Refused),
        1 => Just(Happening::Reseeded),
        12 => any::<u8>().prop_map(Happening::Go),
        1 => Just(Happening::Abandon),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens(
        keep_alive: bool,
        mortal: bool,
        random: u64,
        happenings in proptest::collection::vec(happening(), 1..120),
    ) {
        let mut world = World::new(keep_alive, mortal, random);
        happenings.into_iter().for_each(|happening| world.happens(happening));
    }
}
