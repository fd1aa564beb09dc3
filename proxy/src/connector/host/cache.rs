//! `cache`: a small memory that outlives a sandbox, apart for each connector and caller.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::Guest;
use super::fault::Tickets;
use crate::call::Caller;
use crate::connector::bindings::{cache, types};
use crate::fault::{Fault, FaultKind};

/// What one connector may keep, in bytes: some ten thousand name→id pairs.
const MAX_TOTAL_BYTES: u64 = 4 << 20;

/// Largest single value, in bytes.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 1 << 10;

/// Longest time to live: a name that moved must not be wrong for longer than a day.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The cache of one connector.
pub struct GuestCache(Cache<Key, Kept, ByBytes>);

type Key = (Caller, String);

#[derive(Clone)]
struct Kept {
    value: Arc<[u8]>,
    until: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, (_, key): &Key, kept: &Kept) -> u64 {
        // The entry itself costs about as much as a short key.
        (key.len() + kept.value.len() + 128) as u64
    }
}

impl Default for GuestCache {
    fn default() -> Self {
        Self(Cache::with_weighter(1024, MAX_TOTAL_BYTES, ByBytes))
    }
}

impl GuestCache {
    fn get(&self, caller: &Caller, key: String) -> Option<Vec<u8>> {
        let key = (caller.clone(), key);
        let kept = self.0.get(&key)?;
        if kept.until <= Instant::now() {
            self.0.remove(&key);
            return None;
        }
        Some(kept.value.to_vec())
    }

    fn put(&self, caller: &Caller, key: String, value: Vec<u8>, ttl: Duration) -> Result<(), Fault> {
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            let bound = format!("a key has at most {MAX_KEY_BYTES} bytes and a value {MAX_VALUE_BYTES}");
            return Err(Fault::new(
                FaultKind::ConnectorFailed,
                format!("The connector cannot cache that: {bound}."),
            ));
        }
        let until = Instant::now() + ttl.min(MAX_TTL);
        self.0.insert((caller.clone(), key), Kept { value: value.into(), until });
        Ok(())
    }
}

impl cache::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.run.runtime.cache.get(&self.run.scope.caller, key))
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> wasmtime::Result<Result<(), types::Fault>> {
        let ttl = Duration::from_millis(ttl_ms);
        let put = self.run.runtime.cache.put(&self.run.scope.caller, key, value, ttl);
        Ok(put.map_err(|fault| self.run.guest_view(fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_for_its_caller_and_its_time() {
        let cache = GuestCache::default();
        let (ann, bob) = (Caller::agent("ann"), Caller::agent("bob"));
        cache.put(&ann, "k".into(), b"v".to_vec(), Duration::from_secs(10)).unwrap();
        assert_eq!(cache.get(&ann, "k".into()), Some(b"v".to_vec()));
        assert_eq!(cache.get(&bob, "k".into()), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cache.get(&ann, "k".into()), None);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let (cache, ann) = (GuestCache::default(), Caller::agent("ann"));
        assert!(cache.put(&ann, "k".into(), vec![0; MAX_VALUE_BYTES + 1], MAX_TTL).is_err());
        assert!(cache.put(&ann, "k".repeat(MAX_KEY_BYTES + 1), vec![], MAX_TTL).is_err());
    }
}
