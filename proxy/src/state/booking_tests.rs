//! What workflows reserve, and logins wait for, where sidecars share their counts, against a real `redis-server`.

use std::sync::Arc;
use std::time::Duration;

use ferrata_test_redis::RedisServer;
use serde_json::json;

use super::Store;
use super::shared::Shared;
use crate::call::Deadline;
use crate::clock::Clock;
use crate::egress::account::booking::Reserving;
use crate::egress::account::core::Request;
use crate::egress::account::{Account, Accounts};
use crate::policy::Priority;
use crate::policy::breaker::{Kind, Outcome};
use crate::policy::limit::{Leases, Owner, Wanted};

/// The quota that two sidecars share, and what a workflow in one of them reserves of it.
const QUOTA: u64 = 20;
const RESERVED: u64 = 8;

/// Longer than a store takes to grant something, also a new one.
const PATIENCE: Duration = Duration::from_secs(20);

fn sidecar(redis: &RedisServer) -> (Accounts, Arc<Account>) {
    let store = Shared::new(&redis.url(), None, Leases::for_calls_of(PATIENCE)).unwrap();
    let accounts = Accounts::new(Clock::start(), 1, Store::Shared(Arc::new(store)));
    let api = json!({ "url": "https://api.example", "account": "acme" });
    let limits = json!({ "api": [format!("{QUOTA}/h")] });
    let config = json!({ "component": "c.wasm", "upstreams": { "api": api }, "limits": limits });
    let config = serde_json::from_value(config).unwrap();
    let account = accounts.join(&"crm".into(), "api", &config, Vec::new()).unwrap().keep();
    (accounts, account)
}

fn request(account: &Account, workflow: Option<&str>) -> Request {
    Request {
        agent: "agent".into(),
        operation: "find".into(),
        resource: None,
        cost: 1,
        priority: Priority::Interactive,
        kind: Kind::Read,
        deadline: account.clock().now().mono + PATIENCE / 4,
        bytes: 0,
        workflow: workflow.map(Arc::from),
    }
}

/// Whether one exchange was let out, which is then answered.
async fn passes(account: &Arc<Account>, workflow: Option<&str>) -> bool {
    let asks = request(account, workflow);
    let Ok(mut leave) = account.enter(&asks, false).await else { return false };
    leave.sent(&asks.agent, asks.workflow.as_ref());
    leave.answered(|took| Outcome::Success { took });
    true
}

#[tokio::test]
async fn what_one_sidecar_has_reserved_no_other_spends() {
    let Some(redis) = RedisServer::start() else { return };
    let ((one, reserver), (other, spender)) = (sidecar(&redis), sidecar(&redis));
    let owner = Owner { agent: "agent", workflow: "w" };
    let deadline = Deadline::after(PATIENCE);
    let reserving = Reserving { owner, priority: Priority::Interactive, life: PATIENCE * 10, deadline };
    let wanted = [Wanted { operation: "find".into(), cost: 1, calls: RESERVED }];
    // A new store gives nothing away at first: an exchange waits for that, a reservation is told until when.
    assert!(passes(&reserver, None).await);
    reserver.book(&reserving, &wanted).await.unwrap().keep();

    let mut spent = 0;
    while passes(&spender, None).await {
        spent += 1;
    }
    assert!((1..QUOTA - RESERVED).contains(&spent), "{spent}");
    for step in 0..RESERVED {
        assert!(passes(&reserver, Some("w")).await, "step {step} after {spent} of the other's calls");
    }
    one.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn a_login_waits_for_what_the_store_grants() {
    let Some(redis) = RedisServer::start() else { return };
    let (accounts, account) = sidecar(&redis);
    // Nothing else goes through the wall, so that nothing of it was granted before.
    let leave = account.enter_for_login(&request(&account, None), false).await;
    assert!(leave.is_ok(), "{leave:?}");
    drop(leave);
    accounts.finish().await;
}
