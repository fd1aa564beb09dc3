//! For how long a refresh is one sidecar's alone.

use std::time::Duration;

/// How long a store may take for one answer.
pub const STORE_TIME: Duration = Duration::from_secs(2);

/// What a lock lasts beyond two logins: the store's own time before each, and some.
const RESERVE: Duration = Duration::from_secs(5);

/// How long a refresh's lock stands whose holder is gone: what it holds may be sent twice.
pub fn stands(login_time: Duration) -> Duration {
    login_time.saturating_mul(2).saturating_add(RESERVE)
}

/// How much of it must be left right before something is sent: until the login ends, counted from when the store was asked.
pub fn needed(login_time: Duration) -> Duration {
    login_time.saturating_add(STORE_TIME)
}
