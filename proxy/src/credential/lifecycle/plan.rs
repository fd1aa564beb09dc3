//! One token in hand: from when it is refreshed, and until when it serves.

use std::time::Duration;

use super::words::{Kept, Terms};
use crate::policy::time::{Moment, part_of};

/// When a refresh is due, in hundredths of the token's life: early enough for many attempts, late enough to be worth it. Spread, so
/// that what was issued together is not refreshed together.
const REFRESH_FROM: u32 = 65;
const REFRESH_SPREAD: u32 = 15;

/// How long before its end a token is no longer written into requests: clocks run apart, and requests take their way.
const MARGIN: Duration = Duration::from_secs(30);

/// The most of a token's life that may be spent on margins: a token of some minutes must serve until its refresh at least.
const MARGIN_SHARE: u32 = 10;

/// After how long a token of unsaid life is refreshed. It serves on if that fails: nobody knows that it has ended.
pub const ASSUMED_LIFE: Duration = Duration::from_secs(30 * 60);

/// The least between two planned refreshes, whatever the provider says of its tokens' lives.
const LEAST_BETWEEN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub version: u64,
    pub terms: Terms,
    /// Its age when it was taken up, and when that was: it may be older than our time.
    age: (Duration, Moment),
    pub refresh_at: Moment,
    /// None if nobody knows of an end.
    expires: Option<Moment>,
    pub refresh_dies: Option<Moment>,
    /// Somebody used it.
    pub used: bool,
    /// A system did not accept it.
    pub refused: bool,
}

impl Held {
    /// Takes up tokens. `random` is uniform over all of `u64`.
    pub fn new(kept: &Kept, random: u64, now: Moment) -> Self {
        let life = kept.terms.life.filter(|life| !life.is_zero());
        let end_of = |life: Duration| now + life.saturating_sub(kept.age);
        let refresh_life = kept.terms.refresh_life.filter(|life| !life.is_zero());
        // A refresh token that ends before its access token must not be waited out.
        let refreshed_within = life.unwrap_or(ASSUMED_LIFE).min(refresh_life.unwrap_or(Duration::MAX));
        let due = refresh_age(refreshed_within, random).saturating_sub(kept.age);
        let soonest = if kept.age < LEAST_BETWEEN { LEAST_BETWEEN } else { Duration::ZERO };
        Self {
            version: kept.version,
            terms: Terms { life, refresh_life, ..kept.terms },
            age: (kept.age, now),
            refresh_at: now + due.max(soonest),
            expires: life.map(end_of),
            refresh_dies: refresh_life.map(end_of),
            used: false,
            refused: false,
        }
    }

    /// Whether a request may be written with it that may take so long.
    pub fn serves(&self, takes: Duration, now: Moment) -> bool {
        let in_time = |end: Moment| now + self.margin(takes) < end;
        !self.refused && self.expires.is_none_or(in_time)
    }

    /// When it no longer serves anything; none if nobody knows.
    pub fn lapses(&self) -> Option<Moment> {
        let end = self.expires?;
        Some(Moment(end.0.saturating_sub((Moment(0) + self.margin(Duration::ZERO)).0)))
    }

    fn margin(&self, takes: Duration) -> Duration {
        let most = self.terms.life.unwrap_or_default() / MARGIN_SHARE;
        MARGIN.saturating_add(takes).min(most)
    }

    pub fn age(&self, now: Moment) -> Duration {
        self.age.0.saturating_add(now.since(self.age.1))
    }

    pub fn life_left(&self, now: Moment) -> Option<Duration> {
        self.expires.map(|end| now.until(end))
    }
}

/// The age at which a token of that life is refreshed.
fn refresh_age(life: Duration, random: u64) -> Duration {
    let hundredth = life / 100;
    (hundredth * REFRESH_FROM).saturating_add(part_of(hundredth * REFRESH_SPREAD, random))
}
