//! The script against a real server: what it grants, to whom, and what it remembers.

use std::sync::Arc;
use std::time::Duration;

use ferrata_test_redis::RedisServer;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::exchange::{Heard, Talk};
use super::lease::tell;
use super::shared::Shared;
use crate::policy::Priority;
use crate::policy::limit::{About, Asked, Keeping, Leases, Limits, Reason, Source, Wall, WallSet, WallUsage};
use crate::policy::time::{Moment, Now};

const LEASES: Leases = Leases { lease_ms: 10_000, tail_ms: 10_000, emergency_ms: 60_000 };
const START: i64 = 1_767_225_600_000;

/// One sidecar, with a clock of its own.
pub(super) struct Sidecar {
    shared: Shared,
    talk: Talk,
    pub limits: Limits,
    pub now: Now,
}

impl Sidecar {
    pub fn new(store: &Store, walls: &[&str]) -> Self {
        let walls = walls.iter().map(|w| Wall::new(w.parse().unwrap(), Source::Operator));
        let limits = Limits::kept(&WallSet::new(walls).unwrap(), Keeping::Shared(LEASES));
        let now = Now { mono: Moment(1_000_000), wall: START };
        let shared = Shared::new(&store.server.url(), None, LEASES).unwrap();
        let member: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        Self { shared, talk: Talk::new("acme", member, LEASES), limits, now }
    }

    pub fn begin(&mut self) {
        self.talk.begin(self.limits.exchange(self.now), self.limits.pauses());
    }

    pub async fn ask(&mut self) -> Heard {
        let answer = self.shared.ask(&self.talk.call(self.now)).await.unwrap();
        self.talk.hear(&answer, self.now).unwrap()
    }

    /// One exchange, as the task does it.
    pub async fn exchange(&mut self) {
        self.begin();
        let heard = self.ask().await;
        tell(&self.talk, &heard, self.now.mono, &mut self.limits, self.now);
    }

    /// Is refused for want of something granted, and says so.
    pub async fn want(&mut self) {
        self.reason();
        self.exchange().await;
    }

    /// Spends what it has and can get in so many exchanges.
    pub async fn spend(&mut self, most: u64, exchanges: usize) -> u64 {
        let mut spent = 0;
        for _ in 0..=exchanges {
            while spent < most && self.send() {
                spent += 1;
            }
            self.exchange().await;
        }
        spent
    }

    /// One call, answered at once.
    pub fn send(&mut self) -> bool {
        let charge = self.limits.try_acquire(&ASKED, self.now);
        charge.map(|charge| self.limits.answered(charge, self.now)).is_ok()
    }

    pub fn reason(&mut self) -> Option<Reason> {
        match self.limits.try_acquire(&ASKED, self.now) {
            Ok(charge) => {
                self.limits.never_sent(charge, self.now);
                None
            }
            Err(refused) => Some(refused.reason),
        }
    }

    pub fn usage(&mut self) -> WallUsage {
        self.limits.usage(self.now).remove(0)
    }
}

pub(super) const ASKED: Asked =
    Asked { operation: "read", resource: None, cost: 1, priority: Priority::Interactive, owner: None };

/// A real server, and a connection that says what no sidecar would.
pub(super) struct Store {
    server: RedisServer,
    aside: MultiplexedConnection,
}

impl Store {
    async fn start() -> Option<Self> {
        let server = RedisServer::start()?;
        let client = redis::Client::open(server.url()).unwrap();
        let aside = client.get_multiplexed_async_connection().await.unwrap();
        Some(Self { server, aside })
    }

    /// One that a sidecar has begun, and that has given others the time to object.
    pub async fn begun(walls: &[&str]) -> Option<(Self, Sidecar)> {
        let mut store = Self::start().await?;
        let mut first = Sidecar::new(&store, walls);
        first.exchange().await;
        store.open().await;
        Some((store, first))
    }

    /// Lets the time pass in which members of an older store could object.
    async fn open(&mut self) {
        for account in self.keys("*}").await {
            let () = self.aside.hset(account, "fresh", 0).await.unwrap();
        }
    }

    async fn keys(&mut self, pattern: &str) -> Vec<String> {
        self.aside.keys(pattern).await.unwrap()
    }

    async fn wipe(&mut self) {
        let () = redis::cmd("FLUSHALL").query_async(&mut self.aside).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_store_gives_others_time_to_object() {
    let Some(store) = Store::start().await else { return };
    let mut a = Sidecar::new(&store, &["100/h"]);
    assert_eq!(a.reason(), Some(Reason::Reserving));
    a.want().await;
    assert_eq!(a.reason(), Some(Reason::Window));
}

#[tokio::test]
async fn sidecars_share_one_wall_and_none_gets_all() {
    let Some((store, mut a)) = Store::begun(&["100/h"]).await else { return };
    let mut b = Sidecar::new(&store, &["100/h"]);
    let (mut of_a, mut of_b) = (0, 0);
    for _ in 0..200 {
        of_a += a.spend(3, 1).await;
        of_b += b.spend(3, 1).await;
    }
    assert_eq!(of_a + of_b, 100);
    assert!(of_a > 25 && of_b > 25, "{of_a} {of_b}");
    assert_eq!((a.reason(), a.usage().used), (Some(Reason::Window), 100));
}

#[tokio::test]
async fn the_same_number_is_done_once() {
    let Some((store, mut a)) = Store::begun(&["100/h"]).await else { return };
    a.want().await;
    assert!(a.send());
    a.reason();
    a.begin();
    let first = a.ask().await;
    assert_eq!(a.ask().await, first);
    let (granted, arrived) = (first.answers[0].granted, 1);
    assert!(granted > 0);
    let mut b = Sidecar::new(&store, &["100/h"]);
    b.want().await;
    assert_eq!(b.usage().used, arrived + granted + 1, "nothing was counted twice");
}

#[tokio::test]
async fn a_store_that_was_wiped_knows_nothing_and_says_so() {
    let Some((mut store, mut a)) = Store::begun(&["100/h"]).await else { return };
    a.reason();
    assert_eq!(a.spend(5, 10).await, 5);
    store.wipe().await;
    let mut b = Sidecar::new(&store, &["100/h"]);
    b.want().await;
    assert_eq!(b.reason(), Some(Reason::Window), "a new sidecar waits for objections");
    a.want().await;
    store.open().await;
    for sidecar in [&mut a, &mut b] {
        sidecar.want().await;
        assert_eq!((sidecar.reason(), sidecar.usage().used), (Some(Reason::Window), 100));
    }
}

#[tokio::test]
async fn who_knows_of_a_wipe_tells_it_to_all_walls() {
    let Some((mut store, mut a)) = Store::begun(&["100/h"]).await else { return };
    store.wipe().await;
    a.exchange().await;
    store.open().await;
    let mut b = Sidecar::new(&store, &["50/min"]);
    b.want().await;
    assert_eq!((b.reason(), b.usage().used), (Some(Reason::Window), 50));
}

#[tokio::test]
async fn a_wall_that_was_evicted_counts_as_spent() {
    let Some((mut store, mut a)) = Store::begun(&["100/h"]).await else { return };
    a.reason();
    assert_eq!(a.spend(5, 10).await, 5);
    let walls = store.keys("*}:*").await;
    let () = store.aside.del(walls).await.unwrap();
    a.want().await;
    a.want().await;
    assert_eq!(a.usage().used, 100);
}

#[tokio::test]
async fn without_a_store_only_what_it_granted_is_spent() {
    let Some((store, mut a)) = Store::begun(&["1000/h"]).await else { return };
    a.want().await;
    drop(store);
    a.limits.store_is_away(a.now);
    let spent = std::iter::repeat_with(|| a.send()).take_while(|went| *went).count();
    assert_eq!(spent, 1 + 1_000 / 200, "one leased, and the share for emergencies");
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_is_away_for_long() {
    let Some((store, mut a)) = Store::begun(&["1000/h"]).await else { return };
    a.want().await;
    drop(store);
    a.limits.store_is_away(a.now);
    assert_eq!(a.limits.forecast(&ASKED, 0, 0, a.now), Some(a.now.mono));
    while a.send() {}
    assert_eq!(a.reason(), Some(Reason::Reserving), "it may be back in a moment");
    a.now.mono.0 += LEASES.lease_ms;
    assert_eq!((a.reason(), a.limits.forecast(&ASKED, 0, 0, a.now)), (Some(Reason::Away), None));
}

#[tokio::test]
async fn a_store_that_is_slow_to_begin_is_waited_for() {
    let Some((_store, mut a)) = Store::begun(&["1000/h"]).await else { return };
    a.limits.store_is_away(a.now);
    assert_eq!(a.reason(), Some(Reason::Reserving));
    assert_eq!(a.limits.forecast(&ASKED, 0, 0, a.now), Some(a.now.mono));
}

#[tokio::test]
async fn what_is_leased_ends_with_its_time() {
    let Some((_store, mut a)) = Store::begun(&["100/h"]).await else { return };
    a.want().await;
    assert_eq!(a.reason(), None);
    a.now.mono.0 += LEASES.lease_ms;
    assert_eq!(a.reason(), Some(Reason::Reserving));
}

#[tokio::test]
async fn what_is_not_needed_goes_back_and_so_does_all_at_the_end() {
    let Some((store, mut a)) = Store::begun(&["1000/h"]).await else { return };
    a.want().await;
    for _ in 0..100 {
        assert_eq!(a.reason(), None);
    }
    a.exchange().await;
    assert_eq!(a.usage().used, 5, "what is never sent is no demand, and the share for emergencies stays");
    assert_eq!(a.spend(50, 60).await, 50);
    a.now.mono.0 += 2_000;
    for _ in 0..3 {
        a.exchange().await;
    }
    assert_eq!(a.usage().used, 50 + 5, "spent, and the share for emergencies");
    a.limits.give_back();
    a.exchange().await;
    let mut b = Sidecar::new(&store, &["1000/h"]);
    b.want().await;
    assert_eq!(b.usage().used, 50 + 1 + 2, "one leased, and the share of one of two");
}

#[tokio::test]
async fn places_for_calls_under_way_are_kept_as_many_as_are_used_at_once() {
    let Some((store, mut a)) = Store::begun(&["8 concurrent"]).await else { return };
    a.want().await;
    // Twenty calls a second, one after the other.
    for _ in 0..5 {
        for _ in 0..20 {
            assert!(a.send());
            a.now.mono.0 += 50;
        }
        a.exchange().await;
    }
    let mut b = Sidecar::new(&store, &["8 concurrent"]);
    let mut held = Vec::new();
    for _ in 0..40 {
        held.extend(std::iter::from_fn(|| b.limits.try_acquire(&ASKED, b.now).ok()));
        b.exchange().await;
    }
    assert_eq!(held.len(), 7, "all but the one that is used");
    assert!(a.send());
    held.into_iter().for_each(|charge| b.limits.answered(charge, b.now));
}

#[tokio::test]
async fn what_the_system_said_to_one_is_heard_by_all_and_by_who_comes_later() {
    let Some((store, mut a)) = Store::begun(&["100/h"]).await else { return };
    let mut b = Sidecar::new(&store, &["100/h"]);
    b.want().await;
    assert_eq!((b.send(), b.usage().limit), (true, 100));
    let (wait, sent_at) = (Some(Duration::from_secs(30)), a.now.mono);
    let post = About::Resource { operation: "post", resource: "C042" };
    assert!(a.limits.throttled(post, wait, sent_at, a.now).is_some());
    assert!(a.limits.throttled(About::Upstream, wait, sent_at, a.now).is_none(), "it is the same call");
    assert!(a.limits.wants_store());
    a.exchange().await;
    for sidecar in [b, Sidecar::new(&store, &["100/h"])] {
        let mut sidecar = sidecar;
        sidecar.want().await;
        assert_eq!((sidecar.reason(), sidecar.usage().limit), (Some(Reason::Throttled), 70));
        let closed = |sidecar: &mut Sidecar, resource| {
            let asked = Asked { operation: "post", resource: Some(resource), ..ASKED };
            sidecar.limits.try_acquire(&asked, sidecar.now).unwrap_err().reason
        };
        sidecar.now.mono.0 += 30_500;
        assert_ne!(closed(&mut sidecar, "C042"), Reason::Throttled);
    }
}

#[tokio::test]
async fn whoever_sets_the_stores_clock_moves_nothing() {
    let Some((mut store, mut a)) = Store::begun(&["10/min"]).await else { return };
    a.reason();
    assert_eq!(a.spend(10, 40).await, 10);
    // As if an hour had passed on the store's clock, and then as if it had been set back by two.
    for clock in [-3_600_000_i64, 7_200_000] {
        let account = store.keys("*}").await.remove(0);
        let () = redis::cmd("HINCRBY")
            .arg(account)
            .arg("clock")
            .arg(clock)
            .query_async(&mut store.aside)
            .await
            .unwrap();
        a.want().await;
        assert_eq!((a.reason(), a.usage().used), (Some(Reason::Window), 10));
    }
}
