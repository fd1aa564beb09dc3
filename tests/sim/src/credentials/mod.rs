//! The life of credentials on a simulated clock: a fleet that shares a refresh token, a provider in trouble, a store that is cut off, processes that die.

mod alarms;
mod fleet;
mod judge;
mod plan;
mod provider;
mod sidecar;
mod store;

pub use fleet::run;
pub use judge::INVARIANTS;

use crate::agenda::Ms;

/// How long a sidecar waits for a token endpoint.
const LOGIN_TIME: Ms = 15_000;
