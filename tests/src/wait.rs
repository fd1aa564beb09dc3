//! Waiting for a condition without guessing how long it takes.

use std::time::Duration;

use crate::Result;

/// Longest wait for anything. Far more than any condition takes on a busy machine: reaching it means that it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks: short beside what is waited for, long beside a look.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` returns something, and returns that.
///
/// # Errors
/// When [`PATIENCE`] is over; the text names what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let looking = async {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.map_err(|_| format!("waited {} s in vain for {what}", PATIENCE.as_secs()).into())
}
