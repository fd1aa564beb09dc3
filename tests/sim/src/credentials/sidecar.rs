//! One sidecar, as far as its credential goes: the lifecycle as it stands in the sidecar, and what its driver must remember for it.

use std::time::Duration;

use super::provider::{Token, Tokens};
use super::store::Record;
use crate::agenda::Ms;
use crate::credential::lifecycle::{Kept, Latest, Lifecycle, Settings, Terms};
use crate::policy::time::{Moment, Now};

/// When the run begins, on everybody's wall.
const EPOCH: i64 = 1_792_886_400_000;

/// The credential is a refresh token: it dies of idleness, and for good.
const SETTINGS: Settings = Settings { keep_alive: true, mortal: true };

/// What serves, by its version in the record of its family.
#[derive(Clone, Copy, Debug)]
pub struct InHand {
    pub seed: Token,
    pub version: u64,
    pub tokens: Tokens,
}

#[derive(Debug)]
pub struct Sidecar {
    pub core: Lifecycle,
    pub dead: bool,
    /// How often it has died.
    pub life: u32,
    /// When this process began.
    born: Ms,
    /// By how much its clock on the wall is wrong.
    pub skew: i64,
    /// Its next wake that is on the agenda.
    pub wakes: Option<Ms>,
    /// Number of the run that is under way or was the last, and whether it is.
    pub run: u64,
    pub is_running: bool,
    /// What the operator's file holds, and what it held when this run began.
    pub seed: Token,
    pub of_run: Token,
    pub in_hand: Option<InHand>,
    /// Granted and not durable, and when it was asked for.
    pub granted: Option<(Tokens, Moment)>,
    /// When the grant was asked for that is under way.
    pub asked: Moment,
    /// Calls that wait for a token.
    pub waiting: Vec<usize>,
}

impl Sidecar {
    pub fn new(seed: Token) -> Self {
        Self {
            core: Lifecycle::new(SETTINGS),
            dead: false,
            life: 0,
            born: 0,
            skew: 0,
            wakes: None,
            run: 0,
            is_running: false,
            seed,
            of_run: seed,
            in_hand: None,
            granted: None,
            asked: Moment(0),
            waiting: Vec::new(),
        }
    }

    /// The process after this one: nothing but the operator's file is left.
    pub fn reborn(&mut self, at: Ms) {
        let fresh = Self::new(self.seed);
        *self = Self { life: self.life + 1, born: at, skew: self.skew, ..fresh };
    }

    pub fn now(&self, at: Ms) -> Now {
        // A process's clock begins anywhere.
        let mono = Moment(at - self.born + u64::from(self.life) * 1_000_000_000);
        Now { mono, wall: self.wall(at) }
    }

    /// What its clock on the wall shows.
    pub fn wall(&self, at: Ms) -> i64 {
        wall(at).saturating_add(self.skew)
    }

    /// A moment of this process's clock, on the clock of the simulation.
    pub fn at(&self, moment: Moment) -> Ms {
        (moment.0 + self.born).saturating_sub(u64::from(self.life) * 1_000_000_000)
    }

    /// The refresh token that this run has to spend.
    pub fn refresh_token(&self) -> Token {
        let held = self.in_hand.filter(|in_hand| in_hand.seed == self.of_run);
        held.map_or(self.of_run, |in_hand| in_hand.tokens.refresh)
    }

    /// Takes up what the store has, and says it in the lifecycle's words.
    pub fn take_up(&mut self, record: &Record, wall: i64) -> Latest {
        let Record { version, seed, .. } = *record;
        self.granted = None;
        let Some(tokens) = record.tokens else { return Latest::Dead { version } };
        self.in_hand = Some(InHand { seed, version, tokens });
        let age = u64::try_from(wall.saturating_sub(record.asked_at)).unwrap_or(0);
        let terms =
            Terms { family_life: record.family_life.map(Duration::from_millis), ..terms(&tokens, false) };
        Latest::Kept(Kept { version, age: Duration::from_millis(age), terms })
    }
}

/// A right clock.
pub fn wall(at: Ms) -> i64 {
    EPOCH.saturating_add_unsigned(at)
}

pub fn terms(tokens: &Tokens, is_same: bool) -> Terms {
    let life = |ms: Option<Ms>| ms.map(Duration::from_millis);
    Terms { life: life(tokens.life), refresh_life: life(tokens.refresh_life), family_life: None, is_same }
}
