//! The two times that policies are told: one that only grows, one that people read.
//!
//! Whoever calls a policy makes a [`Now`] and passes it in: no policy looks at a clock, so that all of them run under
//! simulated time as they do in the sidecar.

use std::ops::Add;
use std::time::Duration;

/// A point in time in milliseconds since an arbitrary start; it never goes back within a process. Rolling windows, queues, breakers and
/// budgets count in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// How long ago `earlier` was; zero if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How long until `later`; zero if it has passed.
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

/// `wait` later, rounded up to a whole millisecond: never early. Saturates at the end of time.
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// The present, in both times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Moment,
    /// Milliseconds since 1970 in UTC. May jump: calendar windows and what is said to people use it, waits do not.
    pub wall: i64,
}

impl Now {
    /// What a clock on the wall will show at `moment`, in milliseconds since 1970, if nobody sets it; the present for a moment that has passed.
    pub fn wall_at(self, moment: Moment) -> i64 {
        self.wall.saturating_add_unsigned(moment.0.saturating_sub(self.mono.0))
    }
}

/// A part of `whole` that `random` chooses, if that is uniform over all of `u64`: for jitter.
pub fn part_of(whole: Duration, random: u64) -> Duration {
    // A cap of centuries would overflow; nobody waits that long.
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let part = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_cut_short() {
        assert_eq!(Moment(5) + Duration::from_micros(1), Moment(6));
        assert_eq!(Moment(5) + Duration::from_millis(2), Moment(7));
        assert_eq!(Moment(5) + Duration::MAX, Moment(u64::MAX));
    }

    #[test]
    fn the_wall_follows_the_moments() {
        let now = Now { mono: Moment(100), wall: -7 };
        assert_eq!(now.wall_at(Moment(110)), 3);
        assert_eq!(now.wall_at(Moment(90)), -7);
    }
}
