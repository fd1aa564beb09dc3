//! The judge of credentials: what may happen, told from what the provider did, what was written down, and what callers and operators heard. It
//! imports nothing of the lifecycle but the names of what is told.

use std::collections::{BTreeMap, BTreeSet};

use super::alarms::Alarms;
use super::plan::Plan;
use super::provider::{Family, Provider, Reply, Token, Tokens};
use super::sidecar::InHand;
use super::store::{Owner, Record};
use crate::agenda::Ms;
use crate::credential::lifecycle::{Event, Serving};
use crate::verdict::{Invariants, Verdict};

/// The invariants, by the name that is printed.
pub const INVARIANTS: Invariants = &[
    ("single-use", "a refresh token that was traded for one that is written down is never spent again"),
    ("one-at-a-time", "nobody spends a refresh token while somebody else is at it"),
    ("lock", "nobody goes about a refresh without having been given the lock"),
    ("again", "what nobody knows the outcome of is asked once more at once, while a grace may last"),
    ("storm", "a provider in trouble gets attempts, and not a flood"),
    ("loop", "a refresh token that the provider calls invalid is not sent again"),
    ("expired", "no access token is sent that has ended by the provider's clock, as far as it can be known"),
    ("durable", "no access token serves before what it was won with is written down"),
    ("dead", "a credential is called dead only when the provider has said so, and then at once"),
    ("alarm", "every failure is told at once, and every death that can be foreseen before it comes"),
    ("ahead", "while all is well nobody waits for a refresh"),
    ("serves", "while all is well no call fails"),
    ("ends", "every call ends"),
];

/// After the last trouble, this is how long it may take until all is well again: the longest pause, a lock that nobody gave back, and an
/// attempt that hangs.
const RECOVERS: Ms = 240_000;

/// How soon "at once" is.
const REPEATS: Ms = 1_000;

/// At most so many attempts of one sidecar within so long: three pauses that double from a second, and what is repeated at once.
const STORM: (usize, Ms) = (14, 10_000);

/// How a call ended without the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Deadline,
    Failing,
    Dead,
    Refused,
    /// It was to be sent with a version that is not there.
    Unknown,
}

/// How a request for tokens ended, as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    NeverSent,
    /// Nobody knows.
    Lost,
    Heard(Reply),
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    of: Owner,
    end: End,
    /// When it ended.
    at: Ms,
    /// Whether its sender has died since it ended.
    died: bool,
}

#[derive(Clone, Debug, Default)]
struct Side {
    dead: bool,
    /// The last run that the store has given the lock.
    locked: Option<Owner>,
    sendings: Vec<Ms>,
    /// The last that this life has heard to be invalid.
    invalid: Option<Token>,
    /// What it must send once more, since when.
    owes: Option<(Token, Ms)>,
}

#[derive(Debug)]
pub struct Judge {
    pub verdict: Verdict,
    plan: Plan,
    family: Family,
    /// By refresh token.
    sendings: BTreeMap<Token, Vec<Sending>>,
    /// What was ever written down.
    written: BTreeSet<Token>,
    sides: Vec<Side>,
    alarms: Alarms,
    /// When something last went wrong that no plan foresaw.
    disturbed: Ms,
    access_ended: bool,
}

impl Judge {
    pub fn new(plan: &Plan) -> Self {
        Self {
            verdict: Verdict::new(INVARIANTS),
            plan: plan.clone(),
            family: 0,
            sendings: BTreeMap::new(),
            written: BTreeSet::new(),
            sides: vec![Side::default(); plan.sidecars],
            alarms: Alarms::new(plan),
            disturbed: 0,
            access_ended: false,
        }
    }

    /// The family that is in use, or was last.
    pub fn family(&self) -> Family {
        self.family
    }

    pub fn disturbed(&mut self, now: Ms) {
        self.disturbed = now;
    }

    /// All access tokens have ended: each sidecar learns it from a call, until each has something newer by itself.
    pub fn access_ended(&mut self, now: Ms) {
        (self.disturbed, self.access_ended) = (now + self.plan.provider.life, true);
    }

    pub fn consented(&mut self, seed: Token, provider: &Provider, now: Ms) {
        if let Some(family) = provider.family(seed) {
            self.family = family;
        }
        self.disturbed = now;
        self.alarms.consented();
    }

    /// The new consent reaches a sidecar.
    pub fn reseeded(&mut self, sidecar: usize, now: Ms) {
        self.disturbed = now;
        self.sides[sidecar].owes = None;
        self.alarms.dies(sidecar);
    }

    pub fn dies(&mut self, sidecar: usize, now: Ms) {
        self.disturbed = now;
        self.sides[sidecar] = Side { dead: true, ..Side::default() };
        self.alarms.dies(sidecar);
        for sending in self.sendings.values_mut().flatten().filter(|s| s.of.0 == sidecar) {
            sending.died = true;
            if sending.end == End::Open {
                sending.end = End::Lost;
            }
        }
    }

    pub fn lives(&mut self, sidecar: usize, now: Ms) {
        self.disturbed = now;
        self.sides[sidecar].dead = false;
    }

    /// A run hears from the store that the lock is its own.
    pub fn has_lock(&mut self, of: Owner) {
        self.sides[of.0].locked = Some(of);
    }

    /// A run is about to send something, if the lock is still its own.
    pub fn goes_about(&mut self, of: Owner, now: Ms) {
        self.verdict.check("lock", self.sides[of.0].locked == Some(of), || {
            format!("at {now} ms {of:?} went about a refresh while somebody else had the lock")
        });
    }

    /// A refresh token leaves a sidecar.
    pub fn sends(&mut self, of: Owner, token: Token, now: Ms) {
        let rotates = self.plan.provider.rotates;
        let cut_off = |sidecar: usize, since: Ms| {
            self.plan.partitions.iter().any(|p| p.sidecar == sidecar && p.from <= now && p.to >= since)
        };
        let sendings = self.sendings.entry(token).or_default();
        let open = sendings.iter().find(|s| s.end == End::Open).map(|s| s.of);
        self.verdict.check("one-at-a-time", open.is_none(), || {
            format!("at {now} ms {of:?} sent the refresh token {token}, which {open:?} had under way")
        });
        let successors = sendings.iter().filter_map(|s| match s.end {
            End::Heard(Reply::Granted(Tokens { refresh, .. })) if refresh != token => Some((s, refresh)),
            _ => None,
        });
        let spent: Vec<_> = successors.collect();
        // Whoever was granted something has it, and writes it down as soon as it can.
        let has_it = |s: &Sending| !s.died && (s.of.0 == of.0 || !cut_off(s.of.0, s.at));
        let held_by_living = spent.iter().find(|(s, _)| has_it(s)).map(|(s, _)| s.of);
        let written = spent.iter().find(|(_, refresh)| self.written.contains(refresh));
        self.verdict.check("single-use", !rotates || (written.is_none() && held_by_living.is_none()), || {
            format!("at {now} ms {of:?} spent the refresh token {token} again, after {spent:?}")
        });
        let side = &mut self.sides[of.0];
        let known_invalid = side.invalid == Some(token);
        self.verdict.check("loop", !known_invalid, || {
            format!("at {now} ms {of:?} sent the refresh token {token} again, which is invalid")
        });
        side.sendings.retain(|at| *at + STORM.1 > now);
        side.sendings.push(now);
        let count = side.sendings.len();
        self.verdict.check("storm", count <= STORM.0, || {
            format!("at {now} ms sidecar {} made {count} attempts within {} ms", of.0, STORM.1)
        });
        side.owes = side.owes.filter(|(owed, _)| *owed != token);
        sendings.push(Sending { of, end: End::Open, at: now, died: false });
    }

    /// It could not be sent after all.
    pub fn never_sent(&mut self, of: Owner, token: Token) {
        if let Some(sending) = self.open(of, token) {
            sending.end = End::NeverSent;
        }
    }

    fn open(&mut self, of: Owner, token: Token) -> Option<&mut Sending> {
        let sendings = self.sendings.get_mut(&token)?;
        sendings.iter_mut().rev().find(|s| s.of == of && matches!(s.end, End::Open | End::NeverSent))
    }

    /// A sidecar hears how its request ended, or gives up; whether it was sent at all.
    pub fn hears(&mut self, of: Owner, token: Token, reply: Option<Reply>, now: Ms) -> bool {
        let mut was_sent = true;
        if let Some(sending) = self.open(of, token) {
            was_sent = sending.end != End::NeverSent;
            if was_sent {
                (sending.end, sending.at) = (reply.map_or(End::Lost, End::Heard), now);
            }
        }
        match reply {
            Some(Reply::Granted(_)) => {}
            Some(Reply::InvalidGrant) => {
                self.sides[of.0].invalid = Some(token);
                self.disturbed = now;
                self.alarms.invalid(of.0, now);
            }
            Some(Reply::TooMany { .. }) => self.alarms.fails(of.0),
            // What nobody knows is tried once more at once, before it counts as a failure.
            Some(Reply::Error | Reply::Silence) | None => {
                let all = self.sendings.get(&token).into_iter().flatten();
                let (before, ours) = all.fold((0, 0), |(before, ours), s| {
                    (before + u32::from(s.end != End::NeverSent), ours + u32::from(s.of == of))
                });
                if !was_sent || ours > 1 {
                    self.alarms.fails(of.0);
                } else if before == 1 && self.is_prompt() {
                    self.sides[of.0].owes = Some((token, now));
                }
            }
        }
        was_sent
    }

    /// Whether what must be repeated can be at once. A lost answer of the store, or one who died, leaves an intent that looks like a sending before, and one who was
    /// stopped may have too little left of the lock to send it twice.
    fn is_prompt(&self) -> bool {
        let plan = &self.plan;
        plan.lost_percent == 0
            && plan.partitions.is_empty()
            && plan.stopped_percent == 0
            && plan.hog.is_none()
    }

    /// Something is written down.
    pub fn durable(&mut self, record: &Record, provider: &Provider, now: Ms) {
        if let Some(tokens) = record.tokens {
            self.written.extend([tokens.refresh, tokens.access]);
        } else {
            let lives = provider.family(record.seed).is_some_and(|family| provider.lives(family, now));
            self.verdict.check("dead", !lives, || format!("at {now} ms {record:?} was buried alive"));
        }
        self.alarms.written(record);
    }

    /// A call is to be written; what the sidecar says of it.
    pub fn asked(
        &mut self,
        sidecar: usize,
        serving: Serving,
        in_hand: Option<InHand>,
        provider: &Provider,
        now: Ms,
    ) {
        self.alarms.asked(&mut self.verdict, sidecar, serving, now);
        if self.is_well(provider, now) && in_hand.is_some() {
            self.verdict.check("ahead", matches!(serving, Serving::Token(_)), || {
                format!("at {now} ms sidecar {sidecar} had {serving:?} for a call, with {in_hand:?} in hand")
            });
        }
    }

    /// A call arrives with an access token.
    pub fn used(&mut self, sidecar: usize, with: InHand, taken: bool, provider: &Provider, now: Ms) {
        let token = with.tokens.access;
        self.verdict.check("durable", self.written.contains(&token), || {
            format!("at {now} ms sidecar {sidecar} used {with:?}, which is not written down")
        });
        if self.plan.provider.says_life && !self.access_ended && self.plan.has_clock() {
            let ends = provider.natural_end(token).unwrap_or(0);
            self.verdict.check("expired", now < ends, || {
                format!(
                    "at {now} ms sidecar {sidecar} used {with:?}, which ended at {ends} ms (taken: {taken})"
                )
            });
        }
    }

    /// A call fails for want of a token.
    pub fn denied(&mut self, sidecar: usize, how: Denied, provider: &Provider, now: Ms) {
        let well = self.is_well(provider, now);
        self.verdict
            .check("serves", !well, || format!("at {now} ms a call of sidecar {sidecar} ended as {how:?}"));
        if how == Denied::Unknown {
            self.verdict.check("durable", false, || {
                format!(
                    "at {now} ms sidecar {sidecar} let a call have a version that it has not written down"
                )
            });
        }
        if how == Denied::Dead {
            let is_dead = !provider.lives(self.family, now) || now < self.disturbed + RECOVERS;
            self.verdict.check("dead", is_dead, || {
                format!("at {now} ms sidecar {sidecar} called the credential dead, and it is not")
            });
        }
    }

    /// An operator is told something.
    pub fn told(&mut self, sidecar: usize, event: Event, now: Ms) {
        self.alarms.told(sidecar, event, now);
    }

    /// A sidecar has told all that it has to tell now.
    pub fn listened(&mut self, sidecar: usize, now: Ms) {
        self.alarms.listened(&mut self.verdict, sidecar, now);
    }

    /// Looks around.
    pub fn look(&mut self, sidecar: usize, in_hand: Option<InHand>, provider: &Provider, now: Ms) {
        self.alarms.look(&mut self.verdict, sidecar, in_hand, provider, now);
        let owes = self.sides[sidecar].owes.filter(|(_, since)| now > since + REPEATS);
        self.verdict.check("again", owes.is_none(), || {
            format!("at {now} ms sidecar {sidecar} has not repeated {owes:?}")
        });
    }

    /// Whether nothing has been wrong for so long that everything must work.
    fn is_well(&self, provider: &Provider, now: Ms) -> bool {
        let plan = &self.plan;
        let calm = |from: Ms, to: Ms| now < from || now > to + RECOVERS;
        provider.lives(self.family, now)
            && plan.provider.says_life
            && plan.lost_percent == 0
            && now > self.disturbed + RECOVERS
            && plan.troubles.iter().all(|t| calm(t.from, t.to))
            && plan.partitions.iter().all(|p| calm(p.from, p.to))
            && plan.hog.is_none_or(|hog| calm(hog.from, hog.to))
            && plan.has_clock()
    }

    /// All is over.
    pub fn close(&mut self, open: usize) {
        self.verdict.check("ends", open == 0, || format!("{open} calls never ended"));
    }
}
