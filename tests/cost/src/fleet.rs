//! How much of a quota sidecars use up that share it: each wants more than there is, until nothing is left.

use std::sync::Arc;
use std::time::Duration;

use ferrata::egress::account::Account;
use ferrata::egress::account::core::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Result;
use crate::stack::{self, Walls};

const SIDECARS: usize = 16;

/// Calls that each sidecar has under way at once.
const AT_ONCE: usize = 8;

/// The wall's number.
const LIMIT: u64 = 100_000;

/// How long a call waits for a lease: whoever gets none in that time has found the quota used up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Spends all there is; how much that was.
pub async fn spend(url: &str) -> Result<Value> {
    // A store of its own for each, as in processes of their own.
    let mut fleet = Vec::new();
    for _ in 0..SIDECARS {
        fleet.push(stack::account("fleet", Walls::Quota, stack::shared(url)?)?);
    }
    let mut working = JoinSet::new();
    for (_, account) in &fleet {
        for _ in 0..AT_ONCE {
            working.spawn(work(Arc::clone(account)));
        }
    }
    let mut spent = 0;
    while let Some(calls) = working.join_next().await {
        spent += calls?;
    }
    let used = spent as f64 / LIMIT as f64;
    Ok(json!({ "sidecars": SIDECARS, "limit": LIMIT, "spent": spent, "utilisation": used }))
}

async fn work(account: Arc<Account>) -> u64 {
    let asks = stack::request(&account);
    let mut calls = 0;
    loop {
        let asks = Request { deadline: account.clock().now().mono + PATIENCE, ..asks.clone() };
        if !stack::pass(&account, &asks).await {
            return calls;
        }
        calls += 1;
        // The others of this process have their turn.
        tokio::task::yield_now().await;
    }
}
