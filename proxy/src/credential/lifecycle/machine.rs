//! The state of one credential, what may be written with it, and when the next run is due. What follows from a run's answers is `run`'s.

use std::time::Duration;

use super::alarm::{Alarms, Event};
use super::plan::Held;
use super::words::{Failure, Renewal, Serving, Settings, Step, Terms, View};
use crate::policy::time::{Moment, Now};

/// How long after a forced refresh its product is not refreshed for another 401: a token a minute old that is refused was not
/// refused for its age, and somebody's endless 401s must not cost everybody a refresh each. One of short life may have been, past half of it.
const FORCED_REST: Duration = Duration::from_secs(60);
const FORCED_REST_SHARE: u32 = 2;

/// A store that has failed for no longer than this has a hiccup: whoever has no token meanwhile waits for the next attempt, which is soon.
const HICCUP: Duration = Duration::from_secs(2);

/// What the driver is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Nothing,
    /// The first look at the store.
    Opening,
    Beginning,
    /// `sent` is before anything was sent.
    Exchanging {
        again: bool,
        sent: Moment,
    },
    /// Whether somebody newer has what the provider says is invalid.
    Rereading,
    Committing,
    Burying,
}

/// No attempt before then; without a failure, because somebody else is at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub until: Moment,
    pub why: Option<Failure>,
}

/// See the [module](super).
#[derive(Debug)]
pub struct Lifecycle {
    pub(super) settings: Settings,
    /// The newest version that is known, in hand or not; 0 is none.
    pub(super) version: u64,
    pub(super) opened: bool,
    pub(super) held: Option<Held>,
    pub(super) work: Work,
    /// Granted, and not durable: what, and when it was asked for.
    pub(super) granted: Option<(Terms, Moment)>,
    pub(super) pause: Option<Pause>,
    /// Since when somebody else has been at it, with nothing in hand that serves.
    pub(super) standing: Option<Moment>,
    /// Somebody waits for a token, or has waited in vain.
    pub(super) wanted: bool,
    /// The operator replaced the secrets: what is in hand serves until the new ones have won something.
    pub(super) replaced: bool,
    /// The run under way took up the secrets after that.
    pub(super) replacing: bool,
    /// What a 401 forced last: the version that came of it, and when.
    pub(super) forced: Option<(u64, Moment)>,
    /// The provider said that the token of this version is invalid.
    pub(super) invalid: Option<u64>,
    pub(super) dead: bool,
    /// How often a token was taken up.
    pub(super) adoptions: u64,
    pub(super) alarms: Alarms,
}

impl Lifecycle {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            version: 0,
            opened: false,
            held: None,
            work: Work::Nothing,
            granted: None,
            pause: None,
            standing: None,
            wanted: false,
            replaced: false,
            replacing: false,
            forced: None,
            invalid: None,
            dead: false,
            adoptions: 0,
            alarms: Alarms::default(),
        }
    }

    /// What a request that may take so long can be written with now.
    pub fn serve(&mut self, takes: Duration, now: Now) -> Serving {
        if let Some(held) = self.held.as_mut().filter(|held| held.serves(takes, now.mono)) {
            held.used = true;
            return Serving::Token(held.version);
        }
        if self.dead {
            return Serving::Dead;
        }
        match self.pause.filter(|pause| self.work == Work::Nothing && now.mono < pause.until) {
            Some(Pause { why: Some(why), until }) if !self.is_hiccup(why, now.mono) => {
                Serving::Failing { why, retry_at: until }
            }
            _ => {
                self.wanted = true;
                Serving::Wait
            }
        }
    }

    /// Whether what is in hand serves for so long.
    pub fn serves(&self, takes: Duration, now: Now) -> bool {
        self.held.is_some_and(|held| held.serves(takes, now.mono))
    }

    fn is_hiccup(&self, why: Failure, now: Moment) -> bool {
        why == Failure::Store && self.alarms.spell.is_some_and(|spell| now.since(spell.since) < HICCUP)
    }

    /// A system did not accept the token of that version.
    pub fn refused(&mut self, version: u64, now: Now) -> Renewal {
        let Some(held) = self.held.as_mut().filter(|held| held.version == version && !held.refused) else {
            return Renewal::Serve;
        };
        // What somebody else won before may be of that version too, and as old as what was refused.
        let rest = held.terms.life.map_or(FORCED_REST, |life| FORCED_REST.min(life / FORCED_REST_SHARE));
        let is_young = held.age(now.mono) < rest;
        if is_young && self.forced.is_some_and(|(born, at)| born == version && now.mono < at + FORCED_REST) {
            return Renewal::Futile;
        }
        // Nobody else should be refused with it.
        held.refused = true;
        self.wanted = true;
        self.forced = Some((version + 1, now.mono));
        Renewal::Serve
    }

    /// The operator replaced the refresh token: another family begins at once, with a record of its own. What is in hand serves until then.
    pub fn reseeded(&mut self) {
        self.reconfigured();
        (self.opened, self.granted) = (false, None);
    }

    /// The operator replaced what else the credential is won with: it is tried at once, whatever was said before.
    pub fn reconfigured(&mut self) {
        (self.dead, self.invalid, self.pause, self.forced) = (false, None, None, None);
        (self.replaced, self.replacing) = (true, false);
        self.alarms.begin_anew();
    }

    /// The first step of what is due now; none if nothing is, or something is under way.
    pub fn start(&mut self, now: Now) -> Option<Step> {
        if self.work != Work::Nothing || self.dead || self.attempt_at(now.mono)? > now.mono {
            return None;
        }
        self.replacing = self.replaced;
        Some(if !self.opened {
            self.go(Work::Opening, Step::Load)
        } else if self.granted.is_some() {
            self.commit()
        } else {
            self.go(Work::Beginning, Step::Begin { version: self.version })
        })
    }

    /// When the next attempt is due; none if there is no need for one.
    fn attempt_at(&self, now: Moment) -> Option<Moment> {
        let resumes = self.pause.map_or(now, |pause| pause.until);
        let is_kept = self.settings.keep_alive;
        // What nobody uses waits until somebody does.
        let is_replaced = self.replaced && (is_kept || self.held.is_some_and(|held| held.used));
        let is_urgent = self.granted.is_some() || self.wanted || is_replaced;
        match &self.held {
            _ if self.dead => None,
            _ if is_urgent => Some(resumes),
            Some(held) if is_kept || held.used => Some(held.refresh_at.max(resumes)),
            None if is_kept => Some(resumes),
            _ => None,
        }
    }

    /// When to call [`start`](Self::start) and [`events`](Self::events) again, if nothing is under way and nobody asks before; none is never.
    pub fn wake(&self, now: Now) -> Option<Moment> {
        let attempt = if self.work == Work::Nothing { self.attempt_at(now.mono) } else { None };
        attempt.into_iter().chain(self.alarms.next(now.mono)).min()
    }

    /// How often a token was taken up: whether an answer changed what is in hand.
    pub fn adoptions(&self) -> u64 {
        self.adoptions
    }

    /// The version that is in hand, serving or not; 0 is none.
    pub fn in_hand(&self) -> u64 {
        self.held.map_or(0, |held| held.version)
    }

    /// What was granted and is to be committed, and how long ago it was asked for.
    pub fn granted(&self, now: Now) -> Option<(Terms, Duration)> {
        self.granted.map(|(terms, sent)| (terms, now.mono.since(sent)))
    }

    /// Whether something was granted that is not durable.
    pub fn is_owing(&self) -> bool {
        self.granted.is_some()
    }

    /// What somebody must be told now.
    pub fn events(&mut self, now: Now) -> Vec<Event> {
        self.alarms.due(now.mono).collect()
    }

    pub fn view(&self, now: Now) -> View {
        let held = self.held.as_ref();
        let attempt = self.attempt_at(now.mono).filter(|_| self.work == Work::Nothing);
        let spell = self.alarms.spell.as_ref();
        View {
            version: self.version,
            age: held.map(|held| held.age(now.mono)),
            life_left: held.and_then(|held| held.life_left(now.mono)),
            refresh_life_left: held.and_then(|held| held.refresh_dies).map(|dies| now.mono.until(dies)),
            refresh_ends: self.alarms.refresh_ends(),
            next_attempt: attempt.map(|at| now.mono.until(at)),
            is_refreshing: self.work != Work::Nothing,
            failing: spell.map(|spell| (spell.why, spell.in_a_row, now.mono.since(spell.since))),
            is_dead: self.dead,
        }
    }
}
