//! One exchange's way through the policies, without the exchange: asked for, sent, answered, judged.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferrata::clock::Clock;
use ferrata::egress::account::core::Request;
use ferrata::egress::account::{Account, Accounts};
use ferrata::policy::Priority;
use ferrata::policy::breaker::{Kind, Outcome};
use ferrata::policy::limit::{Asked, Leases, Limits, Source, Wall, WallSet};
use ferrata::state::Store;
use ferrata::state::disk::Disk;
use ferrata::state::shared::Shared;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;

/// As configured if nothing is said.
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// A day's quota, of which half is used by what is measured.
pub const QUOTA: &str = "100000/24h";

/// How long a call may take: nothing here waits for so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// What stands before the upstream; breaker, queue, bulkhead and retry budget stand there in any case.
#[derive(Clone, Copy, Debug)]
pub enum Walls {
    None,
    /// One, kept by a store.
    Quota,
    /// Of every kind, and none of them met.
    Many,
}

impl Walls {
    fn limits(self) -> Value {
        match self {
            Self::None => json!([]),
            Self::Quota => json!([QUOTA]),
            Self::Many => json!([
                "10000000/24h",
                "50000000/day Europe/Berlin",
                "1000 concurrent",
                { "wall": "1000000/min", "operation": "records.find" },
                { "wall": "1000000/s", "operation": "records.find", "per": "id" },
            ]),
        }
    }
}

pub fn memory() -> Store {
    Store::Memory
}

/// Kept in a file below that folder.
pub fn disk(folder: &Path) -> Result<Store> {
    Ok(Store::Disk(Disk::open(&folder.join("state.redb"))?))
}

/// Kept by a Redis.
pub fn shared(url: &str) -> Result<Store> {
    Ok(Store::Shared(Arc::new(Shared::new(url, None, Leases::for_calls_of(LONGEST_CALL))?)))
}

/// The account of that name with these walls; all that are made with one store share its quota.
pub fn account(name: &str, walls: Walls, store: Store) -> Result<(Accounts, Arc<Account>)> {
    let accounts = Accounts::new(Clock::start(), 1, store);
    let upstreams = json!({ "api": { "url": "https://api.example", "account": name } });
    let config =
        json!({ "component": "crm.wasm", "upstreams": upstreams, "limits": { "api": walls.limits() } });
    let account =
        accounts.join(&Arc::from("crm"), "api", &serde_json::from_value(config)?, Vec::new())?.keep();
    Ok((accounts, account))
}

/// A read that somebody waits for.
pub fn request(account: &Account) -> Request {
    Request {
        agent: "agent".into(),
        operation: "records.find".into(),
        resource: Some("0031t00000abcde".into()),
        cost: 1,
        priority: Priority::Interactive,
        kind: Kind::Read,
        deadline: account.clock().now().mono + DEADLINE,
        bytes: 300,
        workflow: Some("close-the-quarter".into()),
    }
}

/// Asks, sends, is answered and judged; false if it was refused.
pub async fn pass(account: &Arc<Account>, asks: &Request) -> bool {
    let Ok(mut leave) = account.enter(asks, false).await else { return false };
    leave.sent(&asks.agent, asks.workflow.as_ref());
    let pending = leave.answered(|took| Outcome::Success { took });
    let took = pending.took;
    pending.judge(Outcome::Success { took });
    true
}

/// How long so many calls take, one after the other.
pub async fn stack(walls: Walls, store: Store, calls: u32) -> Result<Duration> {
    let (accounts, account) = account("one", walls, store)?;
    let asks = request(&account);
    // The first waits until the store has been heard; a new Redis gives nothing away for two seconds.
    let is_open = pass(&account, &asks).await;
    let began = Instant::now();
    for _ in 0..calls {
        let asks = Request { deadline: account.clock().now().mono + DEADLINE, ..asks.clone() };
        if !is_open || !black_box(pass(&account, &asks).await) {
            return Err("a call was refused before any wall was reached".into());
        }
    }
    let took = began.elapsed();
    accounts.finish().await;
    Ok(took)
}

/// How long so many decisions of the limiter alone take.
pub fn decision(calls: u32) -> Result<Duration> {
    let wall = Wall::new(QUOTA.parse()?, Source::Operator);
    let (mut limits, clock) = (Limits::new(&WallSet::new([wall])?), Clock::start());
    let (operation, priority) = ("records.find", Priority::Interactive);
    let asked = Asked { operation, resource: None, cost: 1, priority, owner: None };
    let began = Instant::now();
    for _ in 0..calls {
        let now = clock.now();
        let mut charge = limits.try_acquire(&asked, now).map_err(|refused| format!("{refused:?}"))?;
        limits.sent(&mut charge);
        limits.answered(black_box(charge), now);
    }
    Ok(began.elapsed())
}
