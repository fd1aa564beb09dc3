//! How long to wait after a failure before the next attempt.

use std::time::Duration;

use super::words::Failure;
use crate::policy::time::part_of;

/// The first wait; it doubles with each failure in a row.
const BASE: Duration = Duration::from_secs(1);

/// The longest wait for a provider that is away: one that is back should not wait for us.
const CAP: Duration = Duration::from_secs(60);

/// The longest after a refusal, which somebody must put right: rare enough that no account is locked, often enough to notice.
const CAP_REFUSED: Duration = Duration::from_secs(300);

/// A token of short life must be worth more than one attempt: no wait is longer than this part of it, and the first is a tenth of that.
const SHARE_OF_LIFE: u32 = 10;

/// No wait is shorter, however short the lives that a provider grants.
const LEAST: Duration = Duration::from_millis(50);

/// The first wait for a store that has yet to take what was granted, and the longest: a crash meanwhile costs the family.
const BASE_COMMIT: Duration = Duration::from_millis(100);
const CAP_COMMIT: Duration = Duration::from_secs(5);

/// The longest that a provider's word is taken for: who says more has lost count.
const CAP_ASKED: Duration = Duration::from_secs(3600);

/// How soon to look again while somebody else refreshes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The wait after so many failures in a row, and what the provider asked for at least. A quarter more or less, so that the sidecars of a
/// fleet do not come together. `random` is uniform over all of `u64`.
pub fn after(
    failure: Failure,
    in_a_row: u32,
    life: Option<Duration>,
    asked: Option<Duration>,
    random: u64,
) -> Duration {
    let (base, cap) = match (failure, life) {
        (Failure::Refused, _) => (BASE, CAP_REFUSED),
        (_, None) => (BASE, CAP),
        (_, Some(life)) => {
            let cap = CAP.min(life / SHARE_OF_LIFE);
            (BASE.min(cap / SHARE_OF_LIFE), cap)
        }
    };
    asked.unwrap_or_default().min(CAP_ASKED).saturating_add(grown(base, cap, in_a_row, random))
}

/// The wait before what was granted is offered to the store again.
pub fn before_commit(in_a_row: u32, random: u64) -> Duration {
    grown(BASE_COMMIT, CAP_COMMIT, in_a_row, random)
}

/// The wait while somebody else is at it.
pub fn while_held(random: u64) -> Duration {
    jittered(LOOK_AGAIN, random)
}

fn grown(base: Duration, cap: Duration, in_a_row: u32, random: u64) -> Duration {
    let doubled = base.saturating_mul(2_u32.saturating_pow(in_a_row.saturating_sub(1)));
    jittered(doubled.min(cap).max(LEAST), random)
}

fn jittered(nominal: Duration, random: u64) -> Duration {
    (nominal / 4).saturating_mul(3).saturating_add(part_of(nominal / 2, random))
}
