//! One run, from the first look at the store to rest: what follows from each answer.

use std::time::Duration;

use super::machine::{Lifecycle, Pause, Work};
use super::plan::Held;
use super::wait;
use super::words::{Began, Committed, Exchanged, Failure, Kept, Latest, Loaded, Step, Terms};
use crate::policy::time::{Moment, Now};

/// How long somebody else may be at it while nothing serves, before that is told: a login that works takes less.
const STANDS_LONG: Duration = Duration::from_secs(10);

/// What is left of a refresh token whose end has come.
const LEAST_LEFT: Duration = Duration::from_millis(1);

impl Lifecycle {
    /// Answers [`Step::Load`].
    pub fn loaded(&mut self, loaded: Loaded, random: u64, now: Now) -> Step {
        match (self.work, loaded) {
            (Work::Opening, _) if self.is_outdated() => self.begin_again(Step::Rest),
            (Work::Rereading, _) if self.is_outdated() => self.begin_again(Step::Release { spent: false }),
            (Work::Opening, Loaded::Unavailable) => self.fail(Failure::Store, None, Step::Rest, random, now),
            (Work::Opening, loaded) => {
                self.opened = true;
                match loaded {
                    Loaded::Found(latest) => self.adopt(latest, random, now),
                    // A new family counts from the start, whatever version of another still serves.
                    _ => self.version = 0,
                }
                self.work = Work::Nothing;
                self.start(now).unwrap_or(Step::Rest)
            }
            (Work::Rereading, Loaded::Found(latest)) if latest.version() > self.version => {
                self.adopt(latest, random, now);
                self.go(Work::Nothing, Step::Release { spent: false })
            }
            // Whether it is dead cannot be known without the store; that the token is invalid is not forgotten.
            (Work::Rereading, Loaded::Unavailable) => {
                self.fail(Failure::Store, None, Step::Release { spent: true }, random, now)
            }
            (Work::Rereading, _) => self.bury(),
            _ => Step::Rest,
        }
    }

    /// Answers [`Step::Begin`].
    pub fn began(&mut self, began: Began, random: u64, now: Now) -> Step {
        if self.work != Work::Beginning {
            return Step::Rest;
        }
        match began {
            Began::Ours { .. } if self.invalid == Some(self.version) => self.bury(),
            Began::Ours { unfinished } => self.exchange(unfinished, now),
            Began::Newer(latest) if latest.version() > self.version => {
                self.adopt(latest, random, now);
                self.go(Work::Nothing, Step::Rest)
            }
            Began::Newer(_) | Began::Held => self.stand_by(Step::Rest, random, now),
            // It may have been done all the same, and nothing was sent. The intent may be somebody's before.
            Began::Unavailable => self.fail(Failure::Store, None, Step::Release { spent: true }, random, now),
        }
    }

    /// Answers [`Step::Exchange`].
    pub fn exchanged(&mut self, exchanged: Exchanged, random: u64, now: Now) -> Step {
        let Work::Exchanging { again, sent } = self.work else { return Step::Rest };
        // The second sending tells nothing of the first.
        let release = Step::Release { spent: again };
        match exchanged {
            Exchanged::Granted(terms) => {
                self.granted = Some((self.of_family(terms, sent), sent));
                self.commit()
            }
            Exchanged::Overtaken => self.stand_by(release, random, now),
            Exchanged::Unknown if self.is_outdated() => self.begin_again(Step::Release { spent: true }),
            Exchanged::Invalid | Exchanged::Refused if self.is_outdated() => {
                self.begin_again(Step::Release { spent: false })
            }
            Exchanged::Unknown if !again => self.exchange(true, now),
            Exchanged::Unknown => {
                self.fail(Failure::Unknown, None, Step::Release { spent: true }, random, now)
            }
            Exchanged::StoreAway => self.fail(Failure::Store, None, release, random, now),
            Exchanged::Unavailable { retry_after } => {
                self.fail(Failure::Provider, retry_after, release, random, now)
            }
            Exchanged::RateLimited { retry_after } => {
                self.fail(Failure::RateLimited, retry_after, release, random, now)
            }
            Exchanged::Invalid if self.settings.mortal => {
                self.invalid = Some(self.version);
                self.go(Work::Rereading, Step::Load)
            }
            Exchanged::Invalid | Exchanged::Refused => {
                // Nobody is kept waiting for what will hardly change; who asks later has it tried again.
                (self.wanted, self.replaced) = (false, false);
                self.fail(Failure::Refused, None, release, random, now)
            }
        }
    }

    /// Answers [`Step::Commit`].
    pub fn committed(&mut self, committed: Committed, random: u64, now: Now) -> Step {
        let Some((terms, sent)) = self.granted.filter(|_| self.work == Work::Committing) else {
            return self.go(Work::Nothing, Step::Rest);
        };
        match committed {
            Committed::Durable => {
                let (version, age) = (self.version + 1, now.mono.since(sent));
                self.adopt(Latest::Kept(Kept { version, age, terms }), random, now);
            }
            Committed::Superseded(latest) => self.adopt(latest, random, now),
            Committed::Unavailable => {
                self.alarms.failed(Failure::Store, self.held.as_ref(), now.mono);
                let wait = wait::before_commit(self.failures(), random);
                self.pause = Some(Pause { until: now.mono + wait, why: Some(Failure::Store) });
            }
        }
        self.go(Work::Nothing, Step::Rest)
    }

    /// Answers [`Step::Bury`].
    pub fn buried(&mut self, committed: Committed, random: u64, now: Now) -> Step {
        match committed {
            _ if self.work != Work::Burying => {}
            Committed::Durable => self.version += 1,
            // Somebody won something after all.
            Committed::Superseded(latest) => self.adopt(latest, random, now),
            // Dead here all the same; the others will find out for themselves.
            Committed::Unavailable => {}
        }
        self.go(Work::Nothing, Step::Rest)
    }

    /// The run broke off without an answer: nobody knows what became of it.
    pub fn abandon(&mut self, random: u64, now: Now) {
        if self.work != Work::Nothing {
            let _ = self.fail(Failure::Unknown, None, Step::Rest, random, now);
        }
    }

    pub(super) fn go(&mut self, work: Work, step: Step) -> Step {
        self.work = work;
        step
    }

    fn exchange(&mut self, again: bool, now: Now) -> Step {
        let work = Work::Exchanging { again, sent: now.mono };
        self.go(work, Step::Exchange { version: self.version, again })
    }

    pub(super) fn commit(&mut self) -> Step {
        self.go(Work::Committing, Step::Commit { version: self.version + 1 })
    }

    fn bury(&mut self) -> Step {
        self.die();
        self.go(Work::Burying, Step::Bury { version: self.version + 1 })
    }

    /// What is in hand serves to its end: the access token may outlive the refresh token.
    fn die(&mut self) {
        (self.dead, self.wanted, self.replaced) = (true, false, false);
        (self.granted, self.pause) = (None, None);
        self.alarms.died();
    }

    /// Takes up what the store has.
    fn adopt(&mut self, latest: Latest, random: u64, now: Now) {
        self.version = latest.version();
        (self.granted, self.pause, self.invalid) = (None, None, None);
        match latest {
            // Of a family that was given up.
            Latest::Dead { .. } if self.is_outdated() => {}
            Latest::Dead { .. } => self.die(),
            Latest::Kept(kept) => {
                let held = Held::new(&kept, random, now.mono);
                (self.dead, self.replaced) = (false, self.is_outdated());
                self.wanted &= !held.serves(Duration::ZERO, now.mono);
                self.alarms.succeeded(&held, now.mono);
                self.standing = None;
                self.held = Some(held);
                self.adoptions += 1;
            }
        }
    }

    /// Whether the operator replaced the secrets after this run took them up: what it learns of them is of no use.
    fn is_outdated(&self) -> bool {
        self.replaced && !self.replacing
    }

    fn begin_again(&mut self, step: Step) -> Step {
        (self.invalid, self.pause) = (None, None);
        self.go(Work::Nothing, step)
    }

    /// The longest life that was ever said of this family's refresh tokens; a new family has its own.
    fn of_family(&self, terms: Terms, sent: Moment) -> Terms {
        let held = self.held.filter(|_| !self.replacing);
        let before = held.and_then(|held| held.terms.family_life);
        // What was said once of a refresh token that stays need not be said again. No life at all would be one without end.
        let left = held.filter(|_| terms.is_same).and_then(|held| held.refresh_dies);
        let left = left.map(|dies| sent.until(dies).max(LEAST_LEFT));
        let refresh_life = terms.refresh_life.or(left);
        Terms { refresh_life, family_life: before.max(refresh_life), is_same: false, ..terms }
    }

    /// Somebody else is at it; look again soon.
    fn stand_by(&mut self, step: Step, random: u64, now: Now) -> Step {
        let serves = self.held.is_some_and(|held| held.serves(Duration::ZERO, now.mono));
        let since = *self.standing.get_or_insert(now.mono);
        if serves {
            self.standing = None;
        } else if self.alarms.spell.is_none() && now.mono.since(since) >= STANDS_LONG {
            self.alarms.failed(Failure::Held, self.held.as_ref(), now.mono);
        }
        self.pause = Some(Pause { until: now.mono + wait::while_held(random), why: None });
        self.go(Work::Nothing, step)
    }

    fn fail(&mut self, why: Failure, asked: Option<Duration>, step: Step, random: u64, now: Now) -> Step {
        self.alarms.failed(why, self.held.as_ref(), now.mono);
        let life = self.held.and_then(|held| held.terms.life);
        let wait = wait::after(why, self.failures(), life, asked, random);
        self.pause = Some(Pause { until: now.mono + wait, why: Some(why) });
        self.go(Work::Nothing, step)
    }

    fn failures(&self) -> u32 {
        self.alarms.spell.map_or(1, |spell| spell.in_a_row)
    }
}
