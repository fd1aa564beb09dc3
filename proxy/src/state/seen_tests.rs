//! What an upstream shows as used, told to the store that sidecars share: for as long as it counts, and no longer.

use std::time::{Duration, SystemTime};

use super::exchange_tests::{Sidecar, Store};
use crate::policy::limit::{About, Observation, Reason};
use crate::policy::time::{Moment, Now};

const DAY_MS: i64 = 86_400_000;

fn shown(used: u64, asked_at: Moment, resets_at: Option<Moment>) -> Observation<'static> {
    let (about, window, limit, remaining) = (About::Upstream, None, None, None);
    Observation { about, window, limit, remaining, used: Some(used), resets_at, asked_at }
}

/// Midday, of the day that the store's clock shows.
fn midday() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    now - now % DAY_MS + DAY_MS / 2
}

fn on_day(store: &Store, wall: i64) -> Sidecar {
    let mut sidecar = Sidecar::new(store, &["100000/day UTC"]);
    sidecar.now.wall = wall;
    sidecar
}

#[tokio::test]
async fn what_others_used_ends_when_the_system_says() {
    let Some((store, mut a)) = Store::begun(&["100/24h"]).await else { return };
    let resets_at = Some(a.now.mono + Duration::from_secs(600));
    a.limits.learn(&shown(100, a.now.mono, resets_at), a.now);
    a.exchange().await;
    let mut b = Sidecar::new(&store, &["100/24h"]);
    b.want().await;
    assert_eq!((b.reason(), b.usage().used), (Some(Reason::Window), 100));
    let refused = b.limits.try_acquire(&super::exchange_tests::ASKED, b.now).unwrap_err();
    let wait = b.now.mono.until(refused.retry_at.unwrap().mono);
    assert!((590..=600).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn what_others_used_on_one_day_is_not_used_on_the_next() {
    let Some((store, _)) = Store::begun(&["100000/day UTC"]).await else { return };
    let (mut a, mut late) = (on_day(&store, midday()), on_day(&store, midday() - DAY_MS));
    a.exchange().await;
    late.want().await;
    late.limits.learn(&shown(80_000, late.now.mono, None), late.now);
    late.exchange().await;
    a.want().await;
    assert!(a.usage().used < 2_000, "{}", a.usage().used);
}

#[tokio::test]
async fn what_is_seen_before_midnight_is_not_told_after_it() {
    let Some((store, _)) = Store::begun(&["100000/day UTC"]).await else { return };
    let mut a = on_day(&store, midday() - DAY_MS);
    a.limits.learn(&shown(80_000, a.now.mono, None), a.now);
    let asked_at = a.now.mono;
    let half_a_day = Duration::from_millis(DAY_MS.unsigned_abs() / 2);
    a.now = Now { mono: a.now.mono + half_a_day, wall: midday() - DAY_MS / 2 };
    a.want().await;
    assert!(a.usage().used < 2_000, "{}", a.usage().used);
    // An answer that comes when the day of its request is over.
    a.limits.learn(&shown(80_000, asked_at, None), a.now);
    a.exchange().await;
    assert!(a.usage().used < 2_000, "{}", a.usage().used);
    a.limits.learn(&shown(80_000, a.now.mono, None), a.now);
    a.exchange().await;
    assert!(a.usage().used >= 80_000, "{}", a.usage().used);
}
