//! The policies: when something may go out, wait, be tried again, or is better not tried at all.
//!
//! Pure state machines, one each: they know no runtime, no protocol and no other policy, they are told the time and given
//! randomness, and they own their state. Waiting, waking and counting the rest is `egress`'s.

pub mod breaker;
pub mod bulkhead;
pub mod limit;
pub mod queue;
pub mod retry;
pub mod time;

use schemars::JsonSchema;
use serde::Deserialize;

/// Whether a policy acts. `enforce` or `observe` where an operator writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Enforce,
    /// Says what it would have done, and does nothing.
    Observe,
}

/// Who goes first when not all can go. `interactive` or `background` where an operator or an agent writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody is waiting for the answer.
    #[default]
    Interactive,
    /// Nobody is: it takes what is left, and never nothing.
    Background,
}
