//! When somebody must be told, each thing once.

use std::time::Duration;

use super::plan::Held;
use super::words::Failure;
use crate::policy::time::Moment;

/// Parts of the life that was left at the first failure, in percent: half is time to look, a tenth is time to run.
const LEFT: [u8; 3] = [50, 25, 10];

/// How long before its end a refresh token's death is announced: somebody must find the one who can consent again.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// Of a family of short life, the same come at a quarter and at a tenth of it.
const WEEK_SHARE: u32 = 4;
const DAY_SHARE: u32 = 10;

/// What somebody must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A refresh failed; the one before it had not.
    FirstFailure(Failure),
    /// It goes on failing, and so much is left of what the token in use had left when it began.
    LifeLeft { percent: u8 },
    /// It goes on failing, and nothing serves any more.
    Lapsed,
    /// The refresh token ends soon, and only consent makes a new one.
    RefreshTokenEnds { threshold: Threshold, left: Duration },
    /// The provider does not accept the refresh token any more.
    Dead,
    /// What failed works again.
    Recovered,
}

/// How soon is soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    Week,
    Day,
}

impl Event {
    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::FirstFailure(_) => "first_failure",
            Self::LifeLeft { percent: 50 } => "half_left",
            Self::LifeLeft { percent: 25 } => "quarter_left",
            Self::LifeLeft { .. } => "tenth_left",
            Self::Lapsed => "lapsed",
            Self::RefreshTokenEnds { threshold: Threshold::Week, .. } => "refresh_token_week",
            Self::RefreshTokenEnds { threshold: Threshold::Day, .. } => "refresh_token_day",
            Self::Dead => "dead",
            Self::Recovered => "recovered",
        }
    }
}

/// A run of failures.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    pub why: Failure,
    pub since: Moment,
    pub in_a_row: u32,
    /// When nothing serves any more; none if nothing did, or nobody knows.
    lapses: Option<Moment>,
    told_first: bool,
    /// How many of the later events were told, or are past telling.
    told: usize,
}

impl Spell {
    /// The later events, in order.
    fn later(&self) -> impl Iterator<Item = (Moment, Event)> {
        let left = self.lapses.map(|end| self.since.until(end));
        let part = move |percent: u8| left.map(|left| left / 100 * u32::from(100 - percent));
        let parts = LEFT.into_iter().filter_map(move |percent| {
            // Of nothing there are no parts: that is the end at once.
            Some((part(percent).filter(|part| !part.is_zero())?, Event::LifeLeft { percent }))
        });
        let since = self.since;
        parts.chain(left.map(|left| (left, Event::Lapsed))).map(move |(after, event)| (since + after, event))
    }

    fn untold(&self) -> impl Iterator<Item = (Moment, Event)> {
        self.later().skip(self.told)
    }
}

#[derive(Debug, Default)]
pub struct Alarms {
    pub spell: Option<Spell>,
    /// Something bad was told, and nothing good since.
    owes_good_news: bool,
    recovered: bool,
    /// Dead, and whether that was told.
    dead: Option<bool>,
    /// The refresh token's end and the family's whole life.
    refresh: Option<(Moment, Duration)>,
    refresh_told: Option<Threshold>,
}

impl Alarms {
    /// A new token is in hand.
    pub fn succeeded(&mut self, held: &Held, now: Moment) {
        self.recovered |= std::mem::take(&mut self.owes_good_news);
        (self.spell, self.dead) = (None, None);
        let refresh_life = held.terms.refresh_life;
        let family = held.terms.family_life.max(refresh_life).unwrap_or_default();
        self.refresh = held.refresh_dies.map(|dies| (dies, family));
        // What is no longer so may come again, and is told again then.
        self.refresh_told = self.refresh_told.min(self.refresh_passed(now));
    }

    /// Nothing new could be won; `held` is what is in hand.
    pub fn failed(&mut self, why: Failure, held: Option<&Held>, now: Moment) {
        let begin = || {
            let serves = |held: &Held| held.serves(Duration::ZERO, now);
            let lapses = held.and_then(|held| if serves(held) { held.lapses() } else { Some(now) });
            Spell { why, since: now, in_a_row: 0, lapses, told_first: false, told: 0 }
        };
        let spell = self.spell.get_or_insert_with(begin);
        spell.why = why;
        spell.in_a_row = spell.in_a_row.saturating_add(1);
    }

    pub fn died(&mut self) {
        self.dead = self.dead.or(Some(false));
        (self.spell, self.refresh) = (None, None);
    }

    /// Somebody put something right: what follows is told anew.
    pub fn begin_anew(&mut self) {
        (self.spell, self.dead, self.refresh, self.refresh_told) = (None, None, None, None);
    }

    /// What is to be told now. Of several that came due together, the worst.
    pub fn due(&mut self, now: Moment) -> impl Iterator<Item = Event> + use<> {
        let recovered = std::mem::take(&mut self.recovered).then_some(Event::Recovered);
        let died = (self.dead == Some(false)).then_some(Event::Dead);
        self.dead = self.dead.map(|_| true);
        let (first, later) = self.spell.as_mut().map_or((None, None), |spell| spell_due(spell, now));
        self.owes_good_news |= first.is_some() || died.is_some();
        recovered.into_iter().chain(first).chain(later).chain(self.refresh_due(now)).chain(died)
    }

    fn refresh_due(&mut self, now: Moment) -> Option<Event> {
        let passed = self.refresh_passed(now);
        if passed <= self.refresh_told {
            return None;
        }
        self.refresh_told = passed;
        let (dies, _) = self.refresh?;
        passed.map(|threshold| Event::RefreshTokenEnds { threshold, left: now.until(dies) })
    }

    /// How soon the refresh token ends, as it was told last.
    pub fn refresh_ends(&self) -> Option<Threshold> {
        self.refresh_told.filter(|_| self.refresh.is_some())
    }

    /// The closest threshold that the refresh token's end has come within.
    fn refresh_passed(&self, now: Moment) -> Option<Threshold> {
        let (dies, family) = self.refresh?;
        let left = now.until(dies);
        [Threshold::Day, Threshold::Week].into_iter().find(|t| left <= before_end(*t, family))
    }

    /// When the next event is due by time alone.
    pub fn next(&self, now: Moment) -> Option<Moment> {
        let spell = self.spell.as_ref().and_then(|spell| spell.untold().map(|(at, _)| at).next());
        let refresh = self.refresh.and_then(|(dies, family)| {
            let all = [Threshold::Week, Threshold::Day].into_iter();
            let mut untold = all.filter(|threshold| Some(*threshold) > self.refresh_told);
            untold.next().map(|t| Moment(dies.0.saturating_sub((Moment(0) + before_end(t, family)).0)))
        });
        let untold_now = self.recovered
            || self.dead == Some(false)
            || self.spell.as_ref().is_some_and(|spell| !spell.told_first);
        spell.into_iter().chain(refresh).chain(untold_now.then_some(now)).min()
    }
}

fn spell_due(spell: &mut Spell, now: Moment) -> (Option<Event>, Option<Event>) {
    let first = (!std::mem::replace(&mut spell.told_first, true)).then_some(Event::FirstFailure(spell.why));
    let passed = spell.untold().take_while(|(at, _)| *at <= now);
    let (count, worst) = passed.fold((0, None), |(count, _), (_, event)| (count + 1, Some(event)));
    spell.told += count;
    (first, worst)
}

fn before_end(threshold: Threshold, family: Duration) -> Duration {
    match threshold {
        Threshold::Week => WEEK.min(family / WEEK_SHARE),
        Threshold::Day => DAY.min(family / DAY_SHARE),
    }
}
