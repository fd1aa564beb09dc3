//! What an operator must have been told, and when: the part of the judge that listens.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::provider::{Provider, Token};
use super::sidecar::InHand;
use super::store::Record;
use crate::agenda::Ms;
use crate::credential::lifecycle::{Event, Serving, Threshold};
use crate::verdict::Verdict;

/// How long after a provider called a token invalid somebody must know: a look at the store may come between.
const TOLD_WITHIN: Ms = 1_000;

/// A life of which less than this was left when failures began is over too soon to be announced in parts.
const WORTH_PARTS: Ms = 30_000;

/// How long a sidecar may have nothing that serves before somebody must know: a stop, two attempts that hang, and some.
const LAPSES_WITHIN: Ms = 90_000;

/// What rounding, messages and the age of what was read may cost.
const SLACK: Ms = 3_000;

const DAY: Ms = 86_400_000;

/// What one sidecar's operator has heard in its present life.
#[derive(Clone, Debug, Default)]
struct Side {
    /// A failure that began now, and has not been told.
    untold: bool,
    /// Since when it says that it fails, and with which token in hand.
    failing: Option<(Ms, Option<Token>)>,
    parts: BTreeSet<u8>,
    lapsed: bool,
    dead: bool,
    /// When it heard that a token is invalid, until that is told or something newer is in hand.
    invalid: Option<Ms>,
    /// Since when this refresh token is in hand, and what was told of its end since.
    held: Option<(Token, Ms)>,
    week: bool,
    day: bool,
    /// Since when it has had nothing that serves.
    lapses: Option<Ms>,
}

#[derive(Debug)]
pub struct Alarms {
    slides: bool,
    /// Whether the end of an access token can be foreseen.
    foreseeable: bool,
    /// Whether the age of what a process before won can be told.
    has_clock: bool,
    sides: Vec<Side>,
    /// The longest life that was said of a refresh token.
    family_life: Ms,
    /// Refresh tokens whose end was written down once.
    said: BTreeSet<Token>,
}

impl Alarms {
    pub fn new(plan: &Plan) -> Self {
        let sides = vec![Side::default(); plan.sidecars];
        let foreseeable = plan.provider.says_life && plan.ended.is_none();
        Self {
            slides: plan.provider.slides,
            foreseeable,
            has_clock: plan.has_clock(),
            sides,
            family_life: 0,
            said: BTreeSet::new(),
        }
    }

    /// What was told before counts no more: the process is gone, or its credential is another.
    pub fn dies(&mut self, sidecar: usize) {
        self.sides[sidecar] = Side::default();
    }

    /// A request for tokens failed.
    pub fn fails(&mut self, sidecar: usize) {
        let side = &mut self.sides[sidecar];
        side.untold = side.failing.is_none();
    }

    /// A token was called invalid.
    pub fn invalid(&mut self, sidecar: usize, now: Ms) {
        let side = &mut self.sides[sidecar];
        // Where a failure is known, that nothing can be learned of a death is one more.
        if side.failing.is_none() {
            side.invalid.get_or_insert(now);
        }
    }

    pub fn written(&mut self, record: &Record) {
        let said = record.tokens.and_then(|tokens| tokens.refresh_life);
        self.family_life = self.family_life.max(said.unwrap_or(0));
        self.said.extend(record.tokens.filter(|_| said.is_some()).map(|tokens| tokens.refresh));
    }

    /// A new family, with a life of its own.
    pub fn consented(&mut self) {
        self.family_life = 0;
    }

    pub fn told(&mut self, sidecar: usize, event: Event, now: Ms) {
        let side = &mut self.sides[sidecar];
        match event {
            Event::FirstFailure(_) => {
                let token = side.held.map(|(token, _)| token);
                (side.untold, side.failing) = (false, Some((now, token)));
                (side.parts, side.lapsed) = (BTreeSet::new(), false);
                side.invalid = None;
            }
            Event::LifeLeft { percent } => drop(side.parts.insert(percent)),
            Event::Lapsed => side.lapsed = true,
            Event::RefreshTokenEnds { threshold: Threshold::Week, .. } => side.week = true,
            Event::RefreshTokenEnds { threshold: Threshold::Day, .. } => (side.week, side.day) = (true, true),
            Event::Dead => (side.dead, side.invalid, side.failing) = (true, None, None),
            Event::Recovered => {
                (side.failing, side.dead, side.invalid) = (None, false, None);
                // What is in hand is something else, and may have ended as well.
                side.lapses = None;
            }
        }
    }

    /// All that there is to tell now is told.
    pub fn listened(&mut self, verdict: &mut Verdict, sidecar: usize, now: Ms) {
        let side = &mut self.sides[sidecar];
        let untold = std::mem::take(&mut side.untold);
        verdict.check("alarm", !untold, || {
            format!("at {now} ms sidecar {sidecar} kept a first failure to itself")
        });
    }

    /// A call was told how it stands.
    pub fn asked(&mut self, verdict: &mut Verdict, sidecar: usize, serving: Serving, now: Ms) {
        let side = &self.sides[sidecar];
        let is_told = match serving {
            Serving::Token(_) | Serving::Wait => return,
            Serving::Failing { .. } => side.failing.is_some(),
            Serving::Dead => side.dead,
        };
        verdict.check("alarm", is_told, || {
            format!("at {now} ms sidecar {sidecar} had {serving:?} for a call, and nobody was told before")
        });
    }

    /// Looks whether what should have been told by now was.
    pub fn look(
        &mut self,
        verdict: &mut Verdict,
        sidecar: usize,
        in_hand: Option<InHand>,
        provider: &Provider,
        now: Ms,
    ) {
        let side = &mut self.sides[sidecar];
        let token = in_hand.map(|in_hand| in_hand.tokens.refresh);
        if side.held.map(|(token, _)| token) != token {
            side.held = token.map(|token| (token, now));
            side.invalid = side.invalid.filter(|_| token.is_none());
            if self.slides {
                (side.week, side.day) = (false, false);
            }
        }
        let kept = side.invalid.is_some_and(|at| now > at + TOLD_WITHIN);
        verdict.check("alarm", !kept, || {
            format!("at {now} ms sidecar {sidecar} kept to itself that its token is invalid")
        });
        self.look_at_lapse(verdict, sidecar, in_hand, provider, now);
        if let Some(in_hand) = in_hand {
            self.look_at_life(verdict, sidecar, in_hand, provider, now);
            self.look_at_refresh_life(verdict, sidecar, in_hand, provider, now);
        }
    }

    /// Whoever has nothing that serves does not keep it secret, whatever it waits for.
    fn look_at_lapse(
        &mut self,
        verdict: &mut Verdict,
        sidecar: usize,
        in_hand: Option<InHand>,
        provider: &Provider,
        now: Ms,
    ) {
        let side = &mut self.sides[sidecar];
        let ends = in_hand.and_then(|in_hand| provider.natural_end(in_hand.tokens.access));
        let serves = ends.is_some_and(|end| now < end) || !self.foreseeable || !self.has_clock;
        side.lapses = if serves { None } else { side.lapses.or(Some(now)) };
        let is_told = side.failing.is_some() || side.dead;
        let secret = side.lapses.is_some_and(|since| now > since + LAPSES_WITHIN) && !is_told;
        verdict.check("alarm", !secret, || {
            format!(
                "at {now} ms sidecar {sidecar} has had nothing that serves since {:?}, and nobody was told",
                side.lapses
            )
        });
    }

    /// While nothing new is won, the end of what is in hand is announced in parts.
    fn look_at_life(
        &self,
        verdict: &mut Verdict,
        sidecar: usize,
        in_hand: InHand,
        provider: &Provider,
        now: Ms,
    ) {
        let side = &self.sides[sidecar];
        let Some(ends) = provider.natural_end(in_hand.tokens.access).filter(|_| self.foreseeable) else {
            return;
        };
        let Some((since, Some(token))) = side.failing else { return };
        // With its family an access token ends before its time.
        if provider.family(token).is_none_or(|family| !provider.lives(family, now)) {
            return;
        }
        if token != in_hand.tokens.refresh || since + WORTH_PARTS > ends || now < ends {
            return;
        }
        let all = side.parts.len() == 3 && side.lapsed;
        verdict.check("alarm", all, || {
            format!(
                "at {now} ms sidecar {sidecar} has failed since {since} ms, its token ended at {ends} ms, and it told only {:?}",
                side.parts
            )
        });
    }

    /// The end of the refresh token is announced a week and a day before, and of a short family at a quarter and a tenth.
    fn look_at_refresh_life(
        &self,
        verdict: &mut Verdict,
        sidecar: usize,
        in_hand: InHand,
        provider: &Provider,
        now: Ms,
    ) {
        let side = &self.sides[sidecar];
        let Some(ends) = provider.refresh_end(in_hand.tokens.refresh) else { return };
        let held_long = side.held.is_some_and(|(_, since)| since + SLACK < now);
        let lives = provider.family(in_hand.tokens.refresh).is_some_and(|family| provider.lives(family, now));
        let is_said = self.said.contains(&in_hand.tokens.refresh) && self.has_clock;
        if !is_said || !held_long || side.dead || !lives {
            return;
        }
        let within = |before: Ms| now + before > ends + SLACK;
        let (week, day) = ((7 * DAY).min(self.family_life / 4), DAY.min(self.family_life / 10));
        let told = (!within(week) || side.week) && (!within(day) || side.day);
        verdict.check("alarm", told, || {
            format!("at {now} ms sidecar {sidecar} has not told that its refresh token ends at {ends} ms")
        });
    }
}
