//! Time that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock of one stand-in, shared by whoever holds a clone. Walls, expiries and message times follow it.
#[derive(Clone, Debug)]
pub struct Clock {
    /// `None` follows the machine's clock.
    frozen_at: Option<Duration>,
    skipped_micros: Arc<AtomicU64>,
}

impl Clock {
    /// The machine's time, plus what was skipped with [`Clock::advance`].
    pub fn real() -> Self {
        Self { frozen_at: None, skipped_micros: Arc::default() }
    }

    /// Stands still at this time since the Unix epoch until it is advanced.
    pub fn frozen(since_epoch: Duration) -> Self {
        Self { frozen_at: Some(since_epoch), skipped_micros: Arc::default() }
    }

    /// Time since the Unix epoch.
    pub fn now(&self) -> Duration {
        let base = self.frozen_at.unwrap_or_else(machine_time);
        base + Duration::from_micros(self.skipped_micros.load(Ordering::SeqCst))
    }

    /// Moves this clock forward; counted in microseconds, and no further than a `u64` of them.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let add = |skipped: u64| Some(skipped.saturating_add(micros));
        // The closure never refuses, so there is no error to look at.
        let _ = self.skipped_micros.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }
}

fn machine_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
