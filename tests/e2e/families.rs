//! A fleet that shares one refresh token, which each use replaces, against a real identity provider and a real Redis.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::identity::IdentityProvider;
use ferrata_tests::redis::Redis;
use ferrata_tests::setup::Setup;
use ferrata_tests::wait;
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::grants::{CLIENT, connector, provider};
use crate::{done, fault};

/// Sidecars of the fleet.
const SIDECARS: usize = 16;

/// Refreshes that the fleet must see, unless the environment says another number: as many as fit into a minute.
const ROTATIONS: u64 = 10;
const ROTATIONS_VARIABLE: &str = "FERRATA_ROTATIONS";

/// Life of an access token, in seconds.
const LIFE: u64 = 4;

/// How long one login may take. Twice that and five seconds is how long a lock stands whose holder was killed.
const LOGIN_TIMEOUT: &str = "1s";

/// How long a refresh token may be used again: longer than that lock.
const GRACE_MS: u64 = 15_000;

/// Time between two calls of one sidecar's agent, and between two deeds.
const CALLS_EVERY: Duration = Duration::from_millis(400);
const DEEDS_EVERY: Duration = Duration::from_millis(700);

/// What all sidecars have in common.
struct Fleet {
    provider: IdentityProvider,
    redis: Redis,
    secrets: TempDir,
}

impl Fleet {
    /// Unless something that it needs is not installed.
    async fn new(life: u64, grace_ms: u64) -> Option<Self> {
        let redis = Redis::start().await.unwrap()?;
        let client = json!({
            "client_id": CLIENT, "grant_types": ["refresh_token"], "token_endpoint_auth_method": "none",
        });
        let provider = provider(client, json!({ "access_life": life, "grace_ms": grace_ms })).await?;
        let secrets = TempDir::new().unwrap();
        let seed = provider.seed(CLIENT, "ada@acme.example").await.unwrap();
        std::fs::write(secrets.path().join("refresh"), seed).unwrap();
        std::fs::write(secrets.path().join("key"), "07".repeat(32)).unwrap();
        Some(Self { provider, redis, secrets })
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.secrets.path().join(name)
    }

    async fn sidecar(&self) -> Ferrata {
        let credential = json!({
            "kind": "refresh-token", "login_timeout": LOGIN_TIMEOUT, "client_auth": "none",
            "client_id": { "value": CLIENT }, "refresh_token": self.secret("refresh"),
        });
        let state = json!({ "redis": self.redis.url(), "key": self.secret("key") });
        let setup = Setup::new().unwrap().with(&["state"], state);
        Ferrata::start(setup.connector("id", connector(&self.provider, &credential))).await.unwrap()
    }

    async fn seen(&self) -> Value {
        self.provider.seen().await.unwrap()
    }

    async fn rotations(&self) -> u64 {
        self.seen().await["granted"]["refresh_token"].as_u64().unwrap_or(0)
    }
}

/// A sidecar and the agent that calls it. No call may fail while the process lives.
struct Member {
    ferrata: Ferrata,
    agent: JoinHandle<()>,
    over: Arc<AtomicBool>,
}

impl Member {
    fn new(ferrata: Ferrata) -> Self {
        let (mcp, over) = (ferrata.mcp(), Arc::<AtomicBool>::default());
        let goes_on = Arc::clone(&over);
        let agent = tokio::spawn(async move {
            let mut pace = tokio::time::interval(CALLS_EVERY);
            while !goes_on.load(Ordering::Relaxed) {
                pace.tick().await;
                done(mcp.call("id_whoami", json!({})).await.unwrap());
            }
        });
        Self { ferrata, agent, over }
    }

    /// As Kubernetes ends a pod: its calls are finished first.
    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.agent.await.unwrap();
        assert!(self.ferrata.stop().await.unwrap().success());
    }

    /// As a node that goes away.
    fn kill(self) {
        assert!(!self.agent.is_finished(), "a call failed:\n{}", self.ferrata.log());
        self.agent.abort();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.ferrata.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// What happens to a fleet, at random: a sidecar ends, is killed, or stands still for a while.
struct Fate(AtomicU64);

impl Fate {
    fn roll(&self, sides: usize) -> usize {
        let roll = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) >> 33;
        usize::try_from(roll).unwrap() % sides
    }
}

async fn befalls(fleet: &Fleet, members: &mut Vec<Member>, fate: &Fate) {
    let member = members.swap_remove(fate.roll(members.len()));
    match fate.roll(4) {
        0 => member.end().await,
        1 => {
            member.signal(Signal::STOP);
            tokio::time::interval_at(tokio::time::Instant::now() + DEEDS_EVERY, DEEDS_EVERY).tick().await;
            member.signal(Signal::CONT);
            return members.push(member);
        }
        _ => member.kill(),
    }
    members.push(Member::new(fleet.sidecar().await));
}

#[tokio::test]
async fn sixteen_sidecars_share_one_refresh_token_and_lose_no_call_whoever_dies() {
    let Some(fleet) = Fleet::new(LIFE, GRACE_MS).await else { return };
    let rotations = std::env::var(ROTATIONS_VARIABLE).ok().and_then(|n| n.parse().ok()).unwrap_or(ROTATIONS);
    let members = join_all((0..SIDECARS).map(|_| fleet.sidecar())).await;
    let mut members: Vec<_> = members.into_iter().map(Member::new).collect();
    let fate = Fate(AtomicU64::new(7));
    let mut pace = tokio::time::interval(DEEDS_EVERY);
    let mut deeds = 0;
    while fleet.rotations().await < rotations {
        pace.tick().await;
        befalls(&fleet, &mut members, &fate).await;
        deeds += 1;
    }
    join_all(members.into_iter().map(Member::end)).await;
    let seen = fleet.seen().await;
    eprintln!("{deeds} deeds; {seen}");
    assert_eq!((&seen["refused"], &seen["revoked"]), (&json!([]), &json!(0)), "{seen}");
}

/// A sidecar is killed when its refresh was granted, and before it could write that down. Then another one comes.
async fn after_a_kill_between_answer_and_record(grace_ms: u64) -> Option<(Fleet, Ferrata)> {
    let fleet = Fleet::new(60, grace_ms).await?;
    fleet.provider.behave(&json!({ "hold": true })).await.unwrap();
    let first = fleet.sidecar().await;
    let held = async || (fleet.seen().await["held"] == 1).then_some(());
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
    let dead = async || (credential(&ferrata).await["state"] == "dead").then_some(());
    wait::until("its death", dead).await.unwrap();
    for _ in 0..3 {
        fault(ferrata.mcp().call("id_whoami", json!({})).await.unwrap(), "credential_dead");
    }
    // Who comes later learns it from the record, and does not ask the provider again.
    let third = fleet.sidecar().await;
    fault(third.mcp().call("id_whoami", json!({})).await.unwrap(), "credential_dead");
    let seen = fleet.seen().await;
    assert_eq!((seen["refused"].as_array().unwrap().len(), &seen["revoked"]), (1, &json!(1)), "{seen}");
    for sidecar in [&ferrata, &third] {
        let metrics = sidecar.admin().get("/metrics").await.unwrap().text();
        assert!(metrics.contains(r#"alarm="dead""#), "{metrics}");
        assert!(sidecar.log().contains("the credential is dead"));
    }
}
