//! The words between a [`Lifecycle`](super::Lifecycle) and who drives it.

use std::time::Duration;

use super::alarm::Threshold;
use crate::policy::time::Moment;

/// What kind of credential it is, as far as its life goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is refreshed though nobody uses it: a refresh token dies of idleness, and its end must be foreseen. Another login is
    /// made anew when somebody needs it.
    pub keep_alive: bool,
    /// Whether what it is won with can be spent for good: a refresh token. Otherwise a refusal can be put right where it was made, and
    /// the same secrets are tried again, rarely.
    pub mortal: bool,
}

/// How long tokens last, counted from when they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The access token's life; none if nobody says. Zero is what some systems say of one that does not end.
    pub life: Option<Duration>,
    /// The same of the refresh token.
    pub refresh_life: Option<Duration>,
    /// The longest that was ever said of a refresh token of this family. Warnings of its death are scaled by it.
    pub family_life: Option<Duration>,
    /// Whether the refresh token is the one that they were won with. Of the answer to a grant.
    pub is_same: bool,
}

/// Tokens as the store has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Grows with each change; the first is 1.
    pub version: u64,
    /// How long ago they were asked for, by the store's best knowledge; too long rather than too short.
    pub age: Duration,
    pub terms: Terms,
}

/// The newest that a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latest {
    Kept(Kept),
    /// The family was found dead.
    Dead {
        version: u64,
    },
}

impl Latest {
    pub const fn version(&self) -> u64 {
        match self {
            Self::Kept(kept) => kept.version,
            Self::Dead { version } => *version,
        }
    }
}

/// What the driver does next. Each is answered by the method that it names, the last two by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look what the store has of this family. As the first step of a run: the secrets as they are now, and so the family, are those of
    /// the whole run. [`loaded`](super::Lifecycle::loaded).
    Load,
    /// Take the lock, compare the store's version with this one (0 is none) and make durable that its token is about to be spent. As a
    /// first step it takes up the secrets too. [`began`](super::Lifecycle::began).
    Begin { version: u64 },
    /// Check the lock and send the grant. `again`: the same refresh token may have been spent before; this is its grace retry.
    /// [`exchanged`](super::Lifecycle::exchanged).
    Exchange { version: u64, again: bool },
    /// Make what was granted durable as this version, if the store still has the one before, and give the lock back.
    /// [`committed`](super::Lifecycle::committed).
    Commit { version: u64 },
    /// Make durable, as this version, that the family is dead, and give the lock back. [`buried`](super::Lifecycle::buried).
    Bury { version: u64 },
    /// Give the lock back. The durable intent is taken back unless the token may have been spent.
    Release { spent: bool },
    /// Nothing, until [`wake`](super::Lifecycle::wake).
    Rest,
}

/// What the store had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    Nothing,
    Found(Latest),
    /// It cannot be asked.
    Unavailable,
}

/// Whether a refresh may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// The lock is held and the intent durable. `unfinished`: there was one before for the same version, and nobody knows how it ended.
    Ours { unfinished: bool },
    /// The store has a newer version; the lock is not held.
    Newer(Latest),
    /// Somebody else holds the lock.
    Held,
    /// The store cannot be asked.
    Unavailable,
}

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    Granted(Terms),
    /// The lock ran out before anything was sent.
    Overtaken,
    /// Nothing was sent: the store could not say whose the lock is.
    StoreAway,
    /// It was sent, and no answer came.
    Unknown,
    /// It was not sent, or the provider said that it cannot now.
    Unavailable {
        retry_after: Option<Duration>,
    },
    /// Too fast, says the provider.
    RateLimited {
        retry_after: Option<Duration>,
    },
    /// Refused for a reason that says nothing about the token: an unknown client, a scope that is not allowed.
    Refused,
    /// The token is not accepted any more: `invalid_grant`.
    Invalid,
}

/// Whether what was granted is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Also if an attempt before, which seemed to fail, had written it.
    Durable,
    /// The store went on without us.
    Superseded(Latest),
    /// The store cannot be asked.
    Unavailable,
}

/// Why nothing new could be won. Also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider is down or slow.
    Provider,
    RateLimited,
    /// Nobody knows whether the provider did it.
    Unknown,
    /// The credential's store is away.
    Store,
    /// The provider refuses, and not for the token's sake.
    Refused,
    /// Somebody else has been at it for long.
    Held,
}

impl Failure {
    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Provider => "provider_down",
            Self::RateLimited => "rate_limited",
            Self::Unknown => "unknown",
            Self::Store => "store_down",
            Self::Refused => "refused",
            Self::Held => "held",
        }
    }
}

/// What a request may be written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// The token of this version.
    Token(u64),
    /// None yet: a new one is being won, or `start` begins with it.
    Wait,
    /// None, and the next attempt is not before then.
    Failing { why: Failure, retry_at: Moment },
    /// None any more.
    Dead,
}

/// What to do about a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Ask [`serve`](super::Lifecycle::serve): there is something newer, or it will be won.
    Serve,
    /// The version is fresh from a refresh that another 401 forced: it is not the token that is wrong.
    Futile,
}

/// Where a credential stands, for whoever looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// 0 before there was any.
    pub version: u64,
    /// How long ago the token in use was asked for; none if there is none.
    pub age: Option<Duration>,
    /// How much longer that token lives; none if nobody knows.
    pub life_left: Option<Duration>,
    /// The same of the refresh token.
    pub refresh_life_left: Option<Duration>,
    /// How soon the refresh token ends, once that was told.
    pub refresh_ends: Option<Threshold>,
    /// How long until the next refresh or attempt; none if none is planned.
    pub next_attempt: Option<Duration>,
    pub is_refreshing: bool,
    /// What fails, how often in a row and for how long.
    pub failing: Option<(Failure, u32, Duration)>,
    pub is_dead: bool,
}
