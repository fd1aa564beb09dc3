//! The bytes that this process holds for others: requests, answers, sandboxes.
//!
//! One budget for all of it, because each bound on its own is harmless and all of them together are not. It is asked when a call comes in: beyond the
//! budget a new call is refused, and what is under way goes on and may even grow.

pub mod trim;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::fault::{Fault, FaultKind};

/// The budget when neither the operator nor the container sets one, in bytes: some hundred sandboxes of ordinary connectors at work.
pub const DEFAULT_BYTES: usize = 1 << 30;

/// Part of a container's memory that may be held for others; the rest is code, connections and what allocators waste.
const SHARE_OF_CONTAINER: (usize, usize) = (3, 4);

/// Where a container's bound stands (cgroup v2).
const CONTAINER_BOUND: &str = "/sys/fs/cgroup/memory.max";

/// What a refused call is told to wait: most calls end within that.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);

/// The budget of this process.
pub static PROCESS: Budget = Budget::new(DEFAULT_BYTES);

/// Bytes held, and how many may be.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    pub const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }
    }

    /// Changes the bound; what is held already may be more.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes held, and how many may be.
    pub fn usage(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed))
    }

    /// Whether less than half is held: room for what is only convenient to keep.
    pub fn is_roomy(&self) -> bool {
        let (used, limit) = self.usage();
        used < limit / 2
    }

    /// Lets something new begin that holds `bytes` at first, if there is room.
    pub fn admit(&'static self, bytes: usize) -> Result<Held, Fault> {
        let (used, limit) = self.usage();
        if used.saturating_add(bytes) > limit {
            let message = "Ferrata holds as much as it may in memory.";
            return Err(Fault::new(FaultKind::Overloaded, message).with_retry_after(RETRY_WHEN_FULL));
        }
        Ok(self.hold(bytes))
    }

    /// Counts what something holds that has begun, whether there is room or not.
    pub fn hold(&'static self, bytes: usize) -> Held {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Held { budget: self, bytes }
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: &'static Budget,
    bytes: usize,
}

impl Held {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// It holds so many now.
    pub fn resize(&mut self, bytes: usize) {
        let used = &self.budget.used;
        match bytes.checked_sub(self.bytes) {
            Some(more) => used.fetch_add(more, Ordering::Relaxed),
            None => used.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The operator's bound, or a share of the container's, or [`DEFAULT_BYTES`].
pub fn limit(configured: Option<usize>) -> usize {
    let container = || container_bound(&std::fs::read_to_string(CONTAINER_BOUND).ok()?);
    configured.or_else(container).unwrap_or(DEFAULT_BYTES)
}

fn container_bound(text: &str) -> Option<usize> {
    let (part, whole) = SHARE_OF_CONTAINER;
    // "max" is none.
    text.trim().parse::<usize>().ok().map(|bytes| bytes / whole * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_refused_beyond_the_bound_and_what_is_held_may_grow() {
        static BUDGET: Budget = Budget::new(100);
        let mut first = BUDGET.admit(60).unwrap();
        assert_eq!(BUDGET.admit(41).unwrap_err().kind, FaultKind::Overloaded);
        let second = BUDGET.admit(40).unwrap();
        first.resize(200);
        assert_eq!((BUDGET.usage(), BUDGET.is_roomy()), ((240, 100), false));
        assert!(BUDGET.admit(0).is_err());
        first.resize(10);
        drop(second);
        assert_eq!((BUDGET.usage(), BUDGET.is_roomy()), ((10, 100), true));
        drop(first);
        assert_eq!(BUDGET.usage().0, 0);
    }

    #[test]
    fn a_container_leaves_room_for_the_process_itself() {
        assert_eq!(container_bound("268435456\n"), Some(201_326_592));
        assert_eq!(container_bound("max\n"), None);
        assert_eq!(limit(Some(7)), 7);
    }
}
