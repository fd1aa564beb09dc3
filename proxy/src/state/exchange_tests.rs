//! The script against a real server: what it grants, to whom, and what it remembers.

use super::redis_server::RedisServer;
use super::shared::{Heard, Shared};
use crate::policy::Priority;
use crate::policy::limit::{Asked, Keeping, Leases, Limits, Reason, Source, Wall, WallSet, WallUsage};
use crate::policy::time::{Moment, Now};

const LEASES: Leases = Leases { lease_ms: 10_000, tail_ms: 10_000, emergency_ms: 60_000 };
const START: i64 = 1_767_225_600_000;

/// One sidecar, with a clock of its own.
struct Sidecar {
    shared: Shared,
    limits: Limits,
    now: Now,
}

impl Sidecar {
    fn new(server: &RedisServer, walls: &[&str]) -> Self {
        let walls = walls.iter().map(|w| Wall::new(w.parse().unwrap(), Source::Operator));
        let limits = Limits::kept(&WallSet::new(walls).unwrap(), Keeping::Shared(LEASES));
        let now = Now { mono: Moment(1_000_000), wall: START };
        Self { shared: Shared::new(&server.url(), None, LEASES).unwrap(), limits, now }
    }

    /// One exchange, as the task does it.
    async fn exchange(&mut self) -> Heard {
        let mut talk = self.shared.talk("acme").await;
        talk.begin(self.limits.exchange(self.now));
        let heard = self.shared.ask(&mut talk).await.unwrap();
        if heard.expired {
            self.limits.grants_expired();
        }
        self.limits.exchanged(talk.asks(), &heard.answers, self.now.mono, self.now);
        heard
    }

    /// Spends what it has and can get in so many exchanges.
    async fn spend(&mut self, most: u64, exchanges: usize) -> u64 {
        let mut spent = 0;
        for _ in 0..=exchanges {
            while spent < most
                && let Ok(charge) = self.limits.try_acquire(&ASKED, self.now)
            {
                self.limits.answered(charge, self.now);
                spent += 1;
            }
            self.exchange().await;
        }
        spent
    }

    fn reason(&mut self) -> Option<Reason> {
        match self.limits.try_acquire(&ASKED, self.now) {
            Ok(charge) => {
                self.limits.never_sent(charge, self.now);
                None
            }
            Err(refused) => Some(refused.reason),
        }
    }

    fn usage(&mut self) -> WallUsage {
        self.limits.usage(self.now).remove(0)
    }
}

const ASKED: Asked =
    Asked { operation: "read", resource: None, cost: 1, priority: Priority::Interactive, owner: None };

/// Lets the time pass in which members of an older store could object.
async fn open(server: &RedisServer) {
    let mut connection = server.client().get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*}").query_async(&mut connection).await.unwrap();
    for key in keys {
        let _: () =
            redis::cmd("HSET").arg(key).arg("fresh").arg(0).query_async(&mut connection).await.unwrap();
    }
}

async fn command(server: &RedisServer, name: &str) {
    let mut connection = server.client().get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd(name).query_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn sidecars_share_one_wall_and_none_gets_all() {
    let Some(server) = RedisServer::start() else { return };
    let (mut a, mut b) = (Sidecar::new(&server, &["100/h"]), Sidecar::new(&server, &["100/h"]));
    assert_eq!(a.reason(), Some(Reason::Reserving));
    a.exchange().await;
    assert_eq!(a.reason(), Some(Reason::Window), "a new store gives others time to object");
    open(&server).await;
    b.exchange().await;
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
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["100/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    a.exchange().await;
    let charge = a.limits.try_acquire(&ASKED, a.now).unwrap();
    a.limits.answered(charge, a.now);
    a.reason();
    let mut talk = a.shared.talk("acme").await;
    talk.begin(a.limits.exchange(a.now));
    let first = a.shared.ask(&mut talk).await.unwrap().answers;
    assert_eq!(a.shared.ask(&mut talk).await.unwrap().answers, first);
    let (granted, arrived) = (first[0].granted, 1);
    assert!(granted > 0);
    drop(talk);
    let mut b = Sidecar::new(&server, &["100/h"]);
    b.reason();
    b.exchange().await;
    assert_eq!(b.usage().used, arrived + granted + 1, "nothing was counted twice");
}

#[tokio::test]
async fn a_store_that_was_wiped_knows_nothing_and_says_so() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["100/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    assert_eq!(a.spend(5, 10).await, 5);
    command(&server, "FLUSHALL").await;
    let mut b = Sidecar::new(&server, &["100/h"]);
    b.reason();
    b.exchange().await;
    assert_eq!(b.reason(), Some(Reason::Window), "a new sidecar waits for objections");
    a.reason();
    a.exchange().await;
    open(&server).await;
    for sidecar in [&mut a, &mut b] {
        sidecar.reason();
        sidecar.exchange().await;
        assert_eq!((sidecar.reason(), sidecar.usage().used), (Some(Reason::Window), 100));
    }
}

#[tokio::test]
async fn who_knows_of_a_wipe_tells_it_to_all_walls() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["100/h"]);
    a.exchange().await;
    command(&server, "FLUSHALL").await;
    a.exchange().await;
    open(&server).await;
    let mut b = Sidecar::new(&server, &["50/min"]);
    b.reason();
    b.exchange().await;
    assert_eq!((b.reason(), b.usage().used), (Some(Reason::Window), 50));
}

#[tokio::test]
async fn a_wall_that_was_evicted_counts_as_spent() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["100/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    assert_eq!(a.spend(5, 10).await, 5);
    let mut connection = server.client().get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*}:*").query_async(&mut connection).await.unwrap();
    let _: () = redis::cmd("DEL").arg(keys).query_async(&mut connection).await.unwrap();
    a.reason();
    a.exchange().await;
    a.reason();
    a.exchange().await;
    assert_eq!(a.usage().used, 100);
}

#[tokio::test]
async fn without_a_store_only_what_it_granted_is_spent() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["1000/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    a.exchange().await;
    drop(server);
    a.limits.store_is_away();
    let mut spent = 0;
    while let Ok(charge) = a.limits.try_acquire(&ASKED, a.now) {
        a.limits.answered(charge, a.now);
        spent += 1;
    }
    assert_eq!(spent, 1 + 1_000 / 200, "one leased, and the share for emergencies");
}

#[tokio::test]
async fn what_is_leased_ends_with_its_time() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["100/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    a.exchange().await;
    assert_eq!(a.reason(), None);
    a.now.mono.0 += LEASES.lease_ms;
    assert_eq!(a.reason(), Some(Reason::Reserving));
}

#[tokio::test]
async fn what_is_not_needed_goes_back_and_so_does_all_at_the_end() {
    let Some(server) = RedisServer::start() else { return };
    let mut a = Sidecar::new(&server, &["1000/h"]);
    a.exchange().await;
    open(&server).await;
    a.reason();
    assert_eq!(a.spend(50, 60).await, 50);
    a.now.mono.0 += 2_000;
    for _ in 0..3 {
        a.exchange().await;
    }
    assert_eq!(a.usage().used, 50 + 5, "spent, and the share for emergencies");
    a.limits.give_back();
    a.exchange().await;
    let mut b = Sidecar::new(&server, &["1000/h"]);
    b.reason();
    b.exchange().await;
    assert_eq!(b.usage().used, 50 + 1 + 2, "one leased, and the share of one of two");
}
