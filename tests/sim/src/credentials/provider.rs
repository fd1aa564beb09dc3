//! The identity provider, and the API that takes its tokens: an independent model, made of what the standards say. It knows nothing of Ferrata.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Kind, Provider as Manners, Trouble};
use crate::agenda::Ms;

/// A token, whatever it is for. Unique among all that were ever given out.
pub type Token = u64;

/// Some authorization that a person gave, and what came of it.
pub type Family = usize;

/// What a refresh token is traded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    pub access: Token,
    pub refresh: Token,
    /// As the answer says it.
    pub life: Option<Ms>,
    pub refresh_life: Option<Ms>,
}

/// How a request for tokens is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Granted(Tokens),
    InvalidGrant,
    /// With a server error, whatever was done.
    Error,
    TooMany {
        retry_after: Option<Ms>,
    },
    /// Nothing comes back.
    Silence,
}

#[derive(Debug)]
struct Refresh {
    family: Family,
    used_at: Option<Ms>,
    ends_at: Option<Ms>,
}

#[derive(Debug)]
struct Access {
    family: Family,
    ends_at: Ms,
    /// The same, if nobody ends it before.
    natural_end: Ms,
}

/// One provider with all that it has given out.
#[derive(Debug)]
pub struct Provider {
    manners: Manners,
    troubles: Vec<Trouble>,
    next: Token,
    refresh: BTreeMap<Token, Refresh>,
    access: BTreeMap<Token, Access>,
    /// Refresh tokens that stay and were answered with once.
    said: BTreeSet<Token>,
    /// By family: since when it is dead.
    dead: Vec<Option<Ms>>,
}

impl Provider {
    pub fn new(manners: Manners, troubles: Vec<Trouble>) -> Self {
        Self {
            manners,
            troubles,
            next: 0,
            refresh: BTreeMap::new(),
            access: BTreeMap::new(),
            said: BTreeSet::new(),
            dead: Vec::new(),
        }
    }

    /// A person consents: a refresh token of a new family.
    pub fn consent(&mut self, now: Ms) -> Token {
        self.dead.push(None);
        let ends_at = self.manners.refresh_life.map(|life| now + life);
        self.new_refresh(self.dead.len() - 1, ends_at)
    }

    fn new_refresh(&mut self, family: Family, ends_at: Option<Ms>) -> Token {
        self.next += 1;
        self.refresh.insert(self.next, Refresh { family, used_at: None, ends_at });
        self.next
    }

    /// Whether a connection can be made.
    pub fn is_reachable(&self, now: Ms) -> bool {
        !self.in_trouble(now, |kind| kind == Kind::Down)
    }

    /// How much longer a request is on its way, and an answer.
    pub fn delays(&self, now: Ms) -> (Ms, Ms) {
        let of = |delay: fn(Kind) -> Option<Ms>| {
            self.troubles.iter().filter(|t| t.holds(now)).filter_map(|t| delay(t.kind)).sum()
        };
        let late = |kind| if let Kind::LateRequest { by } = kind { Some(by) } else { None };
        let slow = |kind| if let Kind::Slow { by } = kind { Some(by) } else { None };
        (of(late), of(slow))
    }

    /// A request with a refresh token arrives.
    pub fn token_request(&mut self, token: Token, now: Ms) -> Reply {
        let throttle = self.troubles.iter().filter(|t| t.holds(now)).find_map(|t| match t.kind {
            Kind::TooMany { retry_after } => Some(retry_after),
            _ => None,
        });
        if let Some(retry_after) = throttle {
            return Reply::TooMany { retry_after };
        }
        if self.in_trouble(now, |kind| kind == Kind::Errors { done: false }) {
            return Reply::Error;
        }
        let reply = self.trade(token, now);
        if self.in_trouble(now, |kind| kind == Kind::Hangs) {
            return Reply::Silence;
        }
        if self.in_trouble(now, |kind| kind == Kind::Errors { done: true }) {
            return Reply::Error;
        }
        reply
    }

    /// RFC 6749, section 6, with the rotation that RFC 9700 asks for: a token that is used twice ends its family.
    fn trade(&mut self, token: Token, now: Ms) -> Reply {
        let Manners { rotates, grace, .. } = self.manners;
        let Some(refresh) = self.refresh.get_mut(&token) else { return Reply::InvalidGrant };
        let (family, ends_at) = (refresh.family, refresh.ends_at);
        if self.dead[family].is_some() || ends_at.is_some_and(|end| end <= now) {
            return Reply::InvalidGrant;
        }
        if refresh.used_at.is_some_and(|at| now > at + grace) {
            self.dead[family] = Some(now);
            return Reply::InvalidGrant;
        }
        if rotates {
            refresh.used_at.get_or_insert(now);
        }
        let slid = self.manners.refresh_life.filter(|_| self.manners.slides).map(|life| now + life);
        let replaced = rotates.then(|| self.new_refresh(family, slid.or(ends_at)));
        let refresh = replaced.unwrap_or(token);
        let is_new = replaced.is_some() || self.said.insert(refresh);
        self.next += 1;
        let end = now + self.manners.life;
        self.access.insert(self.next, Access { family, ends_at: end, natural_end: end });
        let left = self.refresh[&refresh].ends_at.map(|end| end - now);
        Reply::Granted(Tokens {
            access: self.next,
            refresh,
            life: self.manners.says_life.then_some(self.manners.life),
            refresh_life: left.filter(|_| self.manners.says_refresh_life && (is_new || self.manners.repeats)),
        })
    }

    /// A call with an access token arrives: whether it is let in.
    pub fn takes(&self, token: Token, now: Ms) -> bool {
        self.access.get(&token).is_some_and(|t| now < t.ends_at && self.dead[t.family].is_none())
    }

    /// When an access token ends by its life.
    pub fn natural_end(&self, token: Token) -> Option<Ms> {
        Some(self.access.get(&token)?.natural_end)
    }

    /// When a refresh token ends by its life, if it does.
    pub fn refresh_end(&self, token: Token) -> Option<Ms> {
        self.refresh.get(&token)?.ends_at
    }

    pub fn family(&self, refresh: Token) -> Option<Family> {
        Some(self.refresh.get(&refresh)?.family)
    }

    /// Whether anything can be won by any refresh token of a family.
    pub fn lives(&self, family: Family, now: Ms) -> bool {
        let mut tokens = self.refresh.values().filter(|token| token.family == family);
        self.dead[family].is_none() && tokens.any(|token| token.ends_at.is_none_or(|end| now < end))
    }

    /// Somebody withdraws their consent.
    pub fn revoke(&mut self, family: Family, now: Ms) {
        self.dead[family].get_or_insert(now);
    }

    /// All access tokens end, as by a change of the keys they are signed with; refresh tokens do not.
    pub fn end_access(&mut self, now: Ms) {
        for token in self.access.values_mut() {
            token.ends_at = token.ends_at.min(now);
        }
    }

    fn in_trouble(&self, now: Ms, is: impl Fn(Kind) -> bool) -> bool {
        self.troubles.iter().any(|t| t.holds(now) && is(t.kind))
    }
}
