//! The account on a paused clock: who waits how long, exactly, and that nothing is lost however a wait or a request ends.

use std::future::Future;

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::config;
use crate::policy::breaker::{Kind, Outcome};
use crate::policy::limit::Wall;
use crate::policy::retry::Repeat;
use crate::policy::{Priority, queue};

/// What a rolling window of a second takes to be free again after an answer: the window, and the first millisecond after it.
const SECOND: Duration = Duration::from_millis(1001);

const WELL: Outcome = Outcome::Success { took: Duration::ZERO };

pub(super) fn accounts() -> Accounts {
    Accounts::new(Clock::start(), 1, crate::state::Store::Memory)
}

/// One connector's upstream `api`, with these walls and policies.
pub(super) fn join(
    accounts: &Accounts,
    connector: &str,
    walls: &[&str],
    upstream: serde_json::Value,
) -> Arc<Account> {
    let mut api = json!({ "url": "https://api.example" });
    api.as_object_mut().unwrap().extend(upstream.as_object().unwrap().clone());
    let config = json!({ "component": "c.wasm", "upstreams": { "api": api }, "limits": { "api": walls } });
    let config: config::Connector = serde_json::from_value(config).unwrap();
    accounts.join(&connector.into(), "api", &config, Vec::new()).unwrap().keep()
}

pub(super) fn account(walls: &[&str]) -> Arc<Account> {
    join(&accounts(), "crm", walls, json!({}))
}

pub(super) fn request(account: &Account, within: Duration) -> Request {
    Request {
        agent: "agent".into(),
        operation: "find".into(),
        resource: None,
        cost: 1,
        priority: Priority::Interactive,
        kind: Kind::Read,
        deadline: account.clock.now().mono + within,
        bytes: 0,
        workflow: None,
    }
}

const MINUTE: Duration = Duration::from_secs(60);

async fn enter(account: &Arc<Account>) -> Leave {
    account.enter(&request(account, MINUTE), false).await.unwrap()
}

pub(super) fn send(mut leave: Leave) -> Leave {
    leave.sent(&"agent".into(), None);
    leave
}

/// One whole exchange, answered at once.
async fn exchange(account: &Arc<Account>) {
    drop(send(enter(account).await).answered(|took| Outcome::Success { took }));
}

/// How long something takes on the paused clock.
async fn took(what: impl Future) -> Duration {
    let start = Instant::now();
    let _ = what.await;
    start.elapsed()
}

/// Lets everything that is ready run.
pub(super) async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

fn used(account: &Account) -> u64 {
    let now = account.now();
    account.lock().core.walls(now)[0].used
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_as_the_window_lets_it() {
    let account = account(&["2/s"]);
    let start = Instant::now();
    let calls = (0..6).map(|_| {
        let account = Arc::clone(&account);
        tokio::spawn(async move {
            exchange(&account).await;
            start.elapsed()
        })
    });
    let mut at: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    at.sort();
    assert_eq!(at, [Duration::ZERO, Duration::ZERO, SECOND, SECOND, SECOND * 2, SECOND * 2]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_make_its_deadline_is_refused_at_once_and_told_until_when() {
    let account = account(&["1/min"]);
    exchange(&account).await;
    let request = request(&account, MINUTE);
    let refused = took(async {
        let refusal = account.enter(&request, false).await.unwrap_err();
        let waiting = queue::Refused::TooLate { turn: Some(Moment(60_001)) };
        assert!(matches!(&refusal, Refusal::Wall { waiting: w, .. } if *w == waiting), "{refusal:?}");
        let fault = account.refused("crm", &request, refusal);
        let limit = fault.limit.clone().unwrap();
        assert_eq!((limit.name.as_str(), limit.used, limit.limit), ("1/min", 1, 1));
        let wait = fault.retry_at.unwrap().as_second() - jiff::Timestamp::now().as_second();
        assert!((60..=62).contains(&wait), "{wait}");
    });
    assert_eq!(refused.await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_queue_and_takes_nothing_along() {
    let account = account(&["1/s"]);
    exchange(&account).await;
    let asks = request(&account, MINUTE);
    let mut waits = Box::pin(account.enter(&asks, false));
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert_eq!(account.lock().core.waiting().0, 1);
    drop(waits);
    assert_eq!(account.lock().core.waiting().0, 0);
    assert_eq!(took(exchange(&account)).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_comes_when_nobody_waits_any_more_is_given_back() {
    let account = account(&["1/s"]);
    exchange(&account).await;
    let request = request(&account, MINUTE);
    let mut waits = Box::pin(account.enter(&request, false));
    assert!(futures_util::poll!(&mut waits).is_pending());
    // The leave is in the channel, and its owner goes without having looked.
    tokio::time::sleep(SECOND).await;
    settle().await;
    assert_eq!(used(&account), 1);
    drop(waits);
    assert_eq!(used(&account), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_refunded_and_what_was_given_up_counts_from_when_it_has_surely_arrived() {
    let account = account(&["1/s"]);
    drop(enter(&account).await);
    assert_eq!(took(enter(&account)).await, Duration::ZERO);
    tokio::time::sleep(SECOND).await;
    drop(send(enter(&account).await));
    assert_eq!(account.lock().core.places().0, 0);
    assert_eq!(took(enter(&account)).await, core::STRAGGLER + SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_answer_makes_room_where_calls_under_way_are_counted() {
    let account = account(&["1 concurrent"]);
    let first = send(enter(&account).await);
    let waits = tokio::spawn({
        let account = Arc::clone(&account);
        async move { took(enter(&account)).await }
    });
    tokio::time::sleep(Duration::from_millis(250)).await;
    let pending = first.answered(|took| Outcome::Success { took });
    assert_eq!(pending.took, Duration::from_millis(250));
    assert_eq!(waits.await.unwrap(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_closes_for_everybody_and_no_longer_than_it_says() {
    let account = account(&[]);
    exchange(&account).await;
    let sent_at = account.now().mono;
    account.throttled(About::Operation("find"), Some(Duration::from_secs(7)), sent_at);
    assert_eq!(account.earliest(&request(&account, MINUTE)), Some(Duration::from_secs(7)));
    assert_eq!(took(exchange(&account)).await, Duration::from_secs(7));
    assert_eq!(took(exchange(&account)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_on_failures_and_a_probe_closes_it() {
    let account = join(&accounts(), "crm", &[], json!({ "breaker": { "failures": 3 } }));
    for _ in 0..3 {
        send(enter(&account).await).failed(true, Some(Outcome::Failure));
    }
    let asks = request(&account, MINUTE);
    let refusal = account.enter(&asks, false).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Breaker(_)), "{refusal:?}");
    let fault = account.refused("crm", &asks, refusal);
    assert!(fault.message.contains("3 failures in a row") && fault.retry_at.is_some(), "{fault}");
    let shown = account.status();
    assert_eq!(shown["breakers"][0]["state"], "open", "{shown}");
    tokio::time::sleep(Duration::from_millis(1250)).await;
    for _ in 0..2 {
        send(enter(&account).await).answered(|_| WELL).judge(WELL);
    }
    assert_eq!(account.status()["breakers"][0]["state"], "closed");
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_agent_goes_away_keeps_nobody_out() {
    let account = join(&accounts(), "crm", &[], json!({ "breaker": { "failures": 1 } }));
    send(enter(&account).await).failed(true, Some(Outcome::Failure));
    tokio::time::sleep(Duration::from_millis(1250)).await;
    drop(send(enter(&account).await));
    drop(enter(&account).await);
    enter(&account).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_and_makes_nobody_wait() {
    let account = join(&accounts(), "crm", &[], json!({ "bulkhead": { "concurrent": 1 } }));
    let _held = send(enter(&account).await);
    let refused = took(async {
        let refusal = account.enter(&request(&account, MINUTE), false).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Bulkhead(_)), "{refusal:?}");
    });
    assert_eq!(refused.await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_login_waits_behind_nobody() {
    let account = account(&["1/s"]);
    exchange(&account).await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let account = Arc::clone(&account);
            tokio::spawn(async move { exchange(&account).await })
        })
        .collect();
    settle().await;
    let asks = request(&account, MINUTE);
    // The wall has room once per second: the login may lose one turn to who asks at the same moment, and never stands behind all three.
    let waited =
        took(async { drop(send(account.enter_for_login(&asks, false).await.unwrap()).answered(|_| WELL)) });
    assert!(waited.await <= SECOND * 2);
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_sent_again_uses_its_place_in_the_budget() {
    let account = account(&[]);
    for attempt in 0..32 {
        let asks = request(&account, MINUTE);
        let mut retry = Retry::new(Repeat::Read, asks.deadline);
        let decision = account.failed(&mut retry, Failure::NeverSent);
        assert!(matches!(decision, Decision::Again { .. }), "{attempt}: {decision:?}");
        drop(account.enter_for_login(&asks, true).await.unwrap());
        tokio::time::sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_connectors_of_one_account_share_its_walls_and_the_tighter_holds() {
    let accounts = accounts();
    let shared = json!({ "account": "acme" });
    let crm = join(&accounts, "crm", &["2/s"], shared.clone());
    let replica = join(&accounts, "replica", &["1/s"], shared);
    assert!(Arc::ptr_eq(&crm, &replica));
    exchange(&crm).await;
    assert_eq!(took(exchange(&replica)).await, SECOND);
    let alone = join(&accounts, "other", &["1/s"], json!({}));
    assert_eq!(took(exchange(&alone)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn another_generation_and_tighter_walls_forget_nothing_and_wake_nobody_early() {
    let accounts = accounts();
    let account = join(&accounts, "crm", &["3/s"], json!({}));
    exchange(&account).await;
    let tighter = join(&accounts, "crm", &["1/s"], json!({}));
    assert!(Arc::ptr_eq(&account, &tighter));
    assert_eq!(took(exchange(&tighter)).await, SECOND);
    // One who waits goes on waiting, under the walls of now.
    let waits = tokio::spawn({
        let account = Arc::clone(&account);
        async move { took(exchange(&account)).await }
    });
    settle().await;
    let looser = join(&accounts, "crm", &["2/s"], json!({}));
    assert_eq!(waits.await.unwrap(), Duration::ZERO);
    assert_eq!(used(&looser), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_connector_says_that_does_not_load_holds_no_longer_than_that() {
    let accounts = accounts();
    let account = join(&accounts, "crm", &["5/s"], json!({}));
    let name = |account: &Account| {
        let now = account.now();
        account.lock().core.walls(now).iter().map(|usage| usage.wall.name.to_string()).collect::<Vec<_>>()
    };
    let config = json!({
        "component": "c.wasm", "upstreams": { "api": { "url": "https://api.example" } }, "limits": { "api": ["1/s"] },
    });
    let config: config::Connector = serde_json::from_value(config).unwrap();
    let seat = accounts.join(&"crm".into(), "api", &config, Vec::new()).unwrap();
    assert_eq!(name(&account), ["1/s"]);
    drop(seat);
    assert_eq!(name(&account), ["5/s"]);
    accounts.follow(&std::collections::BTreeMap::new());
    assert!(accounts.in_use().is_empty() && name(&account).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_observed_wall_counts_and_stops_nobody() {
    let accounts = accounts();
    let config = json!({
        "component": "c.wasm",
        "upstreams": { "api": { "url": "https://api.example" } },
        "limits": { "api": { "walls": ["1/s"], "mode": "observe" } },
    });
    let config: config::Connector = serde_json::from_value(config).unwrap();
    let shipped: Wall = Wall::new("1/min".parse().unwrap(), crate::policy::limit::Source::Operator);
    let account = accounts.join(&"crm".into(), "api", &config, vec![shipped]).unwrap().keep();
    for _ in 0..3 {
        assert_eq!(took(exchange(&account)).await, Duration::ZERO);
    }
    let walls = account.status()["walls"].clone();
    assert!(walls.as_array().unwrap().iter().all(|wall| wall["would_have_refused"] == 2), "{walls}");
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_that_is_only_observed_counts_and_stops_nobody() {
    let config = json!({
        "component": "c.wasm",
        "upstreams": {
            "api": { "url": "https://api.example", "bulkhead": { "concurrent": 1, "mode": "observe" } },
        },
    });
    let config: config::Connector = serde_json::from_value(config).unwrap();
    let account = accounts().join(&"crm".into(), "api", &config, Vec::new()).unwrap().keep();
    let _under_way = [enter(&account).await, enter(&account).await, enter(&account).await];
    assert_eq!(account.status()["would_have_refused"], json!({ "breaker": 0, "bulkhead": 2, "queue": 0 }));
}

#[tokio::test(start_paused = true)]
async fn the_status_says_who_spent_what() {
    let account = account(&["10/min"]);
    let (workflow, agent) = (Arc::from("close-the-quarter"), Arc::from("bookkeeper"));
    let mut leave = enter(&account).await;
    leave.sent(&agent, Some(&workflow));
    drop(leave.answered(|_| WELL));
    exchange(&account).await;
    let wall = account.status()["walls"][0].clone();
    assert_eq!((&wall["used"], &wall["limit"]), (&json!(2), &json!(10)), "{wall}");
    assert_eq!(wall["spent_since_start"]["agents"], json!({ "agent": 1, "bookkeeper": 1 }));
    assert_eq!(wall["spent_since_start"]["workflows"], json!({ "close-the-quarter": 1 }));
}

/// Calls of an agent that uses an account at once.
const AT_ONCE: usize = 200;

/// When each call of a burst has its answer, on the paused clock.
async fn burst(account: &Arc<Account>) -> Vec<Duration> {
    let start = Instant::now();
    let calls = (0..AT_ONCE).map(|_| {
        let account = Arc::clone(account);
        tokio::spawn(async move {
            exchange(&account).await;
            start.elapsed()
        })
    });
    let mut answered: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    answered.sort_unstable();
    answered
}

fn under_way_and_waiting(account: &Account) -> (usize, usize) {
    let state = account.lock();
    (state.core.places().0, state.core.waiting().0)
}

#[tokio::test(start_paused = true)]
async fn a_system_is_as_fast_as_ever_while_another_hangs() {
    let accounts = accounts();
    let well = join(&accounts, "well", &["50/s"], json!({}));
    let sick = join(&accounts, "sick", &["8 concurrent"], json!({}));
    let alone = burst(&well).await;
    tokio::time::sleep(MINUTE).await;

    let hang = |leave: Leave| async move {
        let _never_answered = send(leave);
        std::future::pending::<()>().await;
    };
    let calls: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let sick = Arc::clone(&sick);
            tokio::spawn(async move { hang(enter(&sick).await).await })
        })
        .collect();
    settle().await;
    assert_eq!(under_way_and_waiting(&sick), (8, AT_ONCE - 8));
    assert_eq!(burst(&well).await, alone);
    assert_eq!(under_way_and_waiting(&sick), (8, AT_ONCE - 8));
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn what_a_workflow_has_reserved_is_given_back_when_its_time_is_over_though_nobody_calls() {
    use crate::call::Deadline;
    use crate::policy::limit::{Owner, Wanted};
    let account = account(&["4/min"]);
    let owner = Owner { agent: "agent", workflow: "w" };
    let reserving = booking::Reserving {
        owner,
        priority: Priority::Interactive,
        life: MINUTE,
        deadline: Deadline::after(MINUTE),
    };
    let wanted = [Wanted { operation: "find".into(), cost: 1, calls: 2 }];
    account.book(&reserving, &wanted).await.unwrap().keep();
    exchange(&account).await;
    exchange(&account).await;
    let step = Request { workflow: Some("w".into()), ..request(&account, MINUTE) };
    assert_eq!(took(account.enter(&request(&account, MINUTE * 2), false)).await, MINUTE);
    assert_eq!(account.lock().core.limits().bookings().len(), 0);
    // Dropped before it is kept: nobody is told of it, and it holds nothing.
    drop(account.book(&reserving, &wanted).await.unwrap());
    assert!(!account.has_booked(owner, &step.operation, step.cost));
}
