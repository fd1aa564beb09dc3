//! A fleet that shares one refresh token, which each use replaces, against a real identity provider and a real Redis.

mod fleet;

use std::time::Duration;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::wait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{done, fault};
use fleet::{Agent, Fate, Fleet, Member};

/// Sidecars of the fleet.
const SIDECARS: usize = 16;

/// Refreshes that the fleet must see, unless the environment says another number; and on a busy machine, where they take longer than this,
/// fewer.
const ROTATIONS: u64 = 200;
const ROTATIONS_VARIABLE: &str = "FERRATA_ROTATIONS";
const LONG: Duration = Duration::from_secs(150);
const ROTATIONS_WHEN_LONG: u64 = 100;

/// The same where the provider grants no grace and a kill may be the end at any time.
const ROTATIONS_AT_RISK: u64 = 30;

/// Life of an access token, in seconds: the least that there is.
const LIFE: u64 = 1;

/// How long a refresh token may be used again: longer than the lock of a sidecar that was killed stands.
const GRACE_MS: u64 = 15_000;

/// How long the provider keeps its answers back, so that what befalls a sidecar befalls it while it waits for one.
const SLOW_MS: u64 = 100;

async fn sixteen(grace_ms: u64) -> Option<(Fleet, Vec<Member>)> {
    let fleet = Fleet::new(LIFE, grace_ms).await?;
    fleet.provider.behave(&json!({ "slow_ms": SLOW_MS })).await.unwrap();
    let members = fleet.members(SIDECARS).await;
    Some((fleet, members))
}

#[tokio::test]
async fn sixteen_sidecars_share_one_refresh_token_and_lose_no_call_whoever_dies() {
    let Some((fleet, mut members)) = sixteen(GRACE_MS).await else { return };
    let rotations = std::env::var(ROTATIONS_VARIABLE).ok().and_then(|n| n.parse().ok()).unwrap_or(ROTATIONS);
    let begun = Instant::now();
    let enough = async || {
        let fewer = if begun.elapsed() < LONG { rotations } else { rotations.min(ROTATIONS_WHEN_LONG) };
        fleet.rotations().await >= fewer
    };
    let deeds = Fate::new(7).rages(&fleet, &mut members, enough).await;
    let mut served = 0;
    for agent in join_all(members.into_iter().map(Member::end)).await {
        let Agent::Served(calls) = agent else { panic!("a credential was dead") };
        served += calls;
    }
    let seen = fleet.seen().await;
    eprintln!("{deeds} deeds in {:?}, {served} calls of the last sixteen; {seen}", begun.elapsed());
    assert_eq!((&seen["refused"], &seen["revoked"]), (&json!([]), &json!(0)), "{seen}");
}

/// Kills sidecars until it was the one whose refresh token is spent and whose answer the provider holds back.
async fn kill_the_one_that_refreshes(fleet: &Fleet, members: &mut Vec<Member>) {
    fleet.provider.behave(&json!({ "hold": true })).await.unwrap();
    let held = async || (fleet.held().await == 1).then_some(());
    wait::until("a grant that is held back", held).await.unwrap();
    while fleet.held().await == 1 {
        fleet.believes(members.pop().unwrap().kill().await);
    }
    fleet.provider.behave(&json!({})).await.unwrap();
}

#[tokio::test]
async fn where_no_grace_is_granted_a_kill_may_end_the_family_and_then_all_sidecars_say_so() {
    let Some((fleet, mut members)) = sixteen(0).await else { return };
    let enough = async || fleet.has_ended().await || fleet.rotations().await >= ROTATIONS_AT_RISK;
    let deeds = Fate::new(11).rages(&fleet, &mut members, enough).await;
    eprintln!("{deeds} deeds; {}", fleet.seen().await);
    if !fleet.has_ended().await {
        kill_the_one_that_refreshes(&fleet, &mut members).await;
    }
    members.extend(fleet.members(1).await);
    join_all(members.iter().map(|member| is_dead_aloud(&member.ferrata))).await;
    let seen = fleet.seen().await;
    // One that was killed may have heard it, and could tell nobody.
    let refused = seen["refused"].as_array().unwrap().len();
    assert!((1..=2).contains(&refused) && seen["revoked"] == 1, "{seen}");
    // What the operator does about it.
    fleet.consent().await;
    join_all(members.iter().map(|member| revives(&member.ferrata))).await;
    assert_eq!(fleet.seen().await["refused"].as_array().unwrap().len(), refused, "it was asked for again");
}

async fn is_dead_aloud(ferrata: &Ferrata) {
    let dead = async || (credential(ferrata).await["state"] == "dead").then_some(());
    wait::until("its death", dead).await.unwrap();
    let told = async || {
        let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
        let alarm = metrics.contains(r#"alarm="dead""#) && ferrata.log().contains("the credential is dead");
        alarm.then_some(())
    };
    wait::until("the alarm", told).await.unwrap();
    let called = async || {
        let outcome = ferrata.mcp().call("id_whoami", json!({})).await.unwrap();
        // What was won last serves to its end.
        (outcome.kind() != "ok").then_some(outcome)
    };
    fault(wait::until("a fault", called).await.unwrap(), "credential_dead");
}

async fn revives(ferrata: &Ferrata) {
    let called = async || {
        let outcome = ferrata.mcp().call("id_whoami", json!({})).await.unwrap();
        (outcome.kind() != "credential_dead").then_some(outcome)
    };
    done(wait::until("the new family", called).await.unwrap());
}

/// Life of an access token while the Redis forgets, in seconds, and how often it does.
const FORGOTTEN_LIFE: u64 = 2;
const FORGETS: u64 = 3;

#[tokio::test]
async fn what_a_redis_forgets_it_is_told_again_and_no_refresh_token_is_spent_twice() {
    let Some(fleet) = Fleet::new(FORGOTTEN_LIFE, 0).await else { return };
    let mut members = fleet.members(4).await;
    for round in 1..=FORGETS {
        let more = async || (fleet.rotations().await >= 3 * round).then_some(());
        wait::until("refreshes", more).await.unwrap();
        fleet.redis.told("FLUSHALL").await.unwrap();
        // It comes with what the operator's file holds, which was spent long ago.
        members.extend(fleet.members(1).await);
    }
    let told = async || {
        let says = |member: &Member| member.ferrata.log().contains(r#""alarm":"record_lost""#);
        members.iter().any(says).then_some(())
    };
    wait::until("that it is said", told).await.unwrap();
    let done = fleet.rotations().await + 3;
    let more = async || (fleet.rotations().await >= done).then_some(());
    wait::until("refreshes", more).await.unwrap();
    for agent in join_all(members.into_iter().map(Member::end)).await {
        assert!(matches!(agent, Agent::Served(_)), "a credential was dead");
    }
    let seen = fleet.seen().await;
    let nothing = (&json!([]), &json!(0), &json!(0));
    assert_eq!((&seen["refused"], &seen["again"], &seen["revoked"]), nothing, "{seen}");
}

/// A sidecar is killed when its refresh was granted, and before it could write that down. Then another one comes.
async fn after_a_kill_between_answer_and_record(grace_ms: u64) -> Option<(Fleet, Ferrata)> {
    let fleet = Fleet::new(60, grace_ms).await?;
    fleet.provider.behave(&json!({ "hold": true })).await.unwrap();
    let first = fleet.sidecar().await;
    let held = async || (fleet.held().await == 1).then_some(());
    wait::until("a grant that is held back", held).await.unwrap();
    drop(first);
    fleet.provider.behave(&json!({})).await.unwrap();
    let second = fleet.sidecar().await;
    Some((fleet, second))
}

async fn credential(ferrata: &Ferrata) -> Value {
    let status = ferrata.control().get("/status").await.unwrap().json();
    status["connectors"]["id"]["credentials"]["account"].clone()
}

#[tokio::test]
async fn a_kill_between_answer_and_record_is_survived_where_the_provider_grants_a_grace() {
    let Some((fleet, ferrata)) = after_a_kill_between_answer_and_record(GRACE_MS).await else { return };
    done(ferrata.mcp().call("id_whoami", json!({})).await.unwrap());
    let seen = fleet.seen().await;
    assert_eq!((&seen["again"], &seen["revoked"], &seen["refused"]), (&json!(1), &json!(0), &json!([])));
}

#[tokio::test]
async fn without_a_grace_it_ends_at_once_aloud_and_not_in_a_loop() {
    let Some((fleet, ferrata)) = after_a_kill_between_answer_and_record(0).await else { return };
    is_dead_aloud(&ferrata).await;
    for _ in 0..3 {
        fault(ferrata.mcp().call("id_whoami", json!({})).await.unwrap(), "credential_dead");
    }
    // Who comes later learns it from the record, and does not ask the provider again.
    let third = fleet.sidecar().await;
    fault(third.mcp().call("id_whoami", json!({})).await.unwrap(), "credential_dead");
    let seen = fleet.seen().await;
    assert_eq!((seen["refused"].as_array().unwrap().len(), &seen["revoked"]), (1, &json!(1)), "{seen}");
    is_dead_aloud(&third).await;
}
