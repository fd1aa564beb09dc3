//! Sidecars with one refresh token in one Redis, the agents that call them, and what befalls them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::identity::IdentityProvider;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::redis::Redis;
use ferrata_tests::setup::Setup;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::grants::{CLIENT, connector, provider};

/// How long one login may take. Twice that and five seconds is how long a lock stands whose holder was killed.
const LOGIN_TIMEOUT: &str = "1s";

/// Time between two calls of one sidecar's agent, and between two deeds.
const CALLS_EVERY: Duration = Duration::from_millis(400);
const DEEDS_EVERY: Duration = Duration::from_millis(700);

/// What all sidecars have in common.
pub struct Fleet {
    pub provider: IdentityProvider,
    pub redis: Redis,
    secrets: TempDir,
    /// Whether the provider takes a refresh token once more that was just spent: then no sidecar may ever say that it is dead.
    grants_grace: bool,
}

impl Fleet {
    /// Unless something that it needs is not installed. `life` is an access token's, in seconds.
    pub async fn new(life: u64, grace_ms: u64) -> Option<Self> {
        let redis = Redis::start().await.unwrap()?;
        let client = json!({
            "client_id": CLIENT, "grant_types": ["refresh_token"], "token_endpoint_auth_method": "none",
        });
        let provider = provider(client, json!({ "access_life": life, "grace_ms": grace_ms })).await?;
        let (secrets, grants_grace) = (TempDir::new().unwrap(), grace_ms > 0);
        let fleet = Self { provider, redis, secrets, grants_grace };
        std::fs::write(fleet.secret("key"), "07".repeat(32)).unwrap();
        fleet.consent().await;
        Some(fleet)
    }

    /// Somebody consents, and the operator puts the refresh token where all sidecars read it.
    pub async fn consent(&self) {
        let seed = self.provider.seed(CLIENT, "ada@acme.example").await.unwrap();
        std::fs::write(self.secret("refresh"), seed).unwrap();
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.secrets.path().join(name)
    }

    pub async fn sidecar(&self) -> Ferrata {
        let credential = json!({
            "kind": "refresh-token", "login_timeout": LOGIN_TIMEOUT, "client_auth": "none",
            "client_id": { "value": CLIENT }, "refresh_token": self.secret("refresh"),
        });
        let state = json!({ "redis": self.redis.url(), "key": self.secret("key") });
        let setup = Setup::new().unwrap().with(&["state"], state);
        Ferrata::start(setup.connector("id", connector(&self.provider, &credential))).await.unwrap()
    }

    pub async fn members(&self, count: usize) -> Vec<Member> {
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(Member::new(self.sidecar().await));
        }
        members
    }

    pub async fn seen(&self) -> Value {
        self.provider.seen().await.unwrap()
    }

    pub async fn rotations(&self) -> u64 {
        self.seen().await["granted"]["refresh_token"].as_u64().unwrap_or(0)
    }

    /// Answers that the provider holds back.
    pub async fn held(&self) -> u64 {
        self.seen().await["held"].as_u64().unwrap_or(0)
    }

    /// What an agent that ended had seen: where there is a grace, no death.
    pub fn believes(&self, agent: Option<Agent>) {
        assert!(!self.grants_grace || !matches!(agent, Some(Agent::Dead)), "a credential was dead");
    }

    /// Whether the provider has ended the family.
    pub async fn has_ended(&self) -> bool {
        self.seen().await["revoked"] != 0
    }
}

/// How many calls of an agent were served, until its credential was dead or it was told to end.
pub enum Agent {
    Served(u64),
    Dead,
}

/// A sidecar and the agent that calls it.
pub struct Member {
    pub ferrata: Ferrata,
    agent: JoinHandle<Agent>,
    over: Arc<AtomicBool>,
}

impl Member {
    fn new(ferrata: Ferrata) -> Self {
        let over = Arc::<AtomicBool>::default();
        let agent = tokio::spawn(calls(ferrata.mcp(), Arc::clone(&over)));
        Self { ferrata, agent, over }
    }

    /// Ends as Kubernetes ends a pod: its calls are finished first.
    pub async fn end(self) -> Agent {
        self.over.store(true, Ordering::Relaxed);
        let agent = self.agent.await.unwrap();
        assert!(self.ferrata.stop().await.unwrap().success());
        agent
    }

    /// Ends as a node that goes away. A call that failed before is a failure still, and an agent that had ended says how.
    pub async fn kill(self) -> Option<Agent> {
        let ended = self.agent.is_finished();
        if !ended {
            self.agent.abort();
        }
        self.ferrata.kill().await.unwrap();
        if ended { Some(self.agent.await.unwrap()) } else { None }
    }

    /// Stands still for a while.
    async fn freeze(&self) {
        self.signal(Signal::STOP);
        tokio::time::interval_at(Instant::now() + DEEDS_EVERY, DEEDS_EVERY).tick().await;
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.ferrata.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// No call may fail while the process lives, unless a person must consent again.
async fn calls(mcp: Mcp, over: Arc<AtomicBool>) -> Agent {
    let (mut pace, mut served) = (tokio::time::interval(CALLS_EVERY), 0);
    while !over.load(Ordering::Relaxed) {
        pace.tick().await;
        match mcp.call("id_whoami", json!({})).await.unwrap() {
            Outcome::Done(_) => served += 1,
            Outcome::Fault(fault) if fault.kind() == "credential_dead" => return Agent::Dead,
            Outcome::Fault(fault) => panic!("{}: {}", fault.kind(), fault.sentence),
        }
    }
    Agent::Served(served)
}

/// What happens to a fleet, at random: a sidecar ends, is killed, or stands still for a while. One that is gone is replaced.
pub struct Fate(AtomicU64);

impl Fate {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn roll(&self, sides: usize) -> usize {
        let roll = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) >> 33;
        usize::try_from(roll).unwrap() % sides
    }

    async fn befalls(&self, fleet: &Fleet, members: &mut Vec<Member>) {
        let member = members.swap_remove(self.roll(members.len()));
        let agent = match self.roll(4) {
            0 => Some(member.end().await),
            1 => {
                member.freeze().await;
                return members.push(member);
            }
            _ => member.kill().await,
        };
        fleet.believes(agent);
        members.extend(fleet.members(1).await);
    }

    /// Goes on until `enough`. How many deeds there were.
    pub async fn rages(
        &self,
        fleet: &Fleet,
        members: &mut Vec<Member>,
        mut enough: impl AsyncFnMut() -> bool,
    ) -> u64 {
        let (mut pace, mut deeds) = (tokio::time::interval(DEEDS_EVERY), 0);
        while !enough().await {
            pace.tick().await;
            self.befalls(fleet, members).await;
            deeds += 1;
        }
        deeds
    }
}
