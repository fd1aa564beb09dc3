//! Counts that all sidecars share: a Redis, and one script that does all there is to do in one go.
//!
//! The connection is [`wire`](super::wire)'s, what is said over it [`exchange`](super::exchange)'s; what that means is `exchange.lua`'s on one side and
//! [`policy::limit`](crate::policy::limit)'s on the other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use redis::Script;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::exchange::{Call, SCRIPT, Value};
use super::lease::Lease;
use super::wire::Wire;
use crate::policy::limit::Leases;

/// The store that many sidecars share.
pub struct Shared {
    wire: Arc<Wire>,
    script: Script,
    /// This process, among all that ever were.
    member: Arc<str>,
    /// By account.
    begun: std::sync::Mutex<HashMap<String, Arc<Mutex<Lease>>>>,
    pub leases: Leases,
}

impl Shared {
    /// `url` is `redis://…`, `rediss://…` or `redis+unix://…`; `roots` are PEM certificates to trust instead of the public ones. Does not
    /// connect yet: a store that is away when a sidecar starts must not keep it from starting. The error is a sentence for the operator.
    pub fn new(url: &str, roots: Option<&Path>, leases: Leases) -> Result<Self, String> {
        Ok(Self {
            wire: Arc::new(Wire::new(url, roots)?),
            script: Script::new(SCRIPT),
            begun: std::sync::Mutex::default(),
            member: Uuid::new_v4().simple().to_string().into(),
            leases,
        })
    }

    /// The connection, for what else is kept there.
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// How one account stands with the store. Whoever has it talks; a task that is dropped leaves it to the next.
    pub async fn lease(&self, account: &str) -> OwnedMutexGuard<Lease> {
        let new = || Arc::new(Mutex::new(Lease::new(account, Arc::clone(&self.member), self.leases)));
        let lease = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(begun.entry(account.to_owned()).or_insert_with(new))
        };
        lease.lock_owned().await
    }

    /// Carries a call to the store. Whatever fails, the same may be carried there again, and is done once.
    pub async fn ask(&self, call: &Call) -> Result<Vec<Value>, String> {
        let mut invocation = self.script.prepare_invoke();
        for key in &call.keys {
            invocation.key(key);
        }
        for argument in &call.arguments {
            invocation.arg(argument);
        }
        read(self.wire.invoke(&invocation).await?)
    }
}

fn read(answer: Vec<redis::Value>) -> Result<Vec<Value>, String> {
    let value = |value| match value {
        redis::Value::Int(number) => Ok(Value::Number(number)),
        other => redis::from_redis_value(other).map(Value::Text),
    };
    let values = answer.into_iter().map(value).collect::<Result<_, _>>();
    values.map_err(|e| format!("the shared state answered what cannot be read: {e}"))
}
