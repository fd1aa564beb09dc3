//! The life of one credential: when it is refreshed, until when it serves, what a failure means, and when somebody must be told.
//!
//! Pure: no runtime, no I/O, no secrets. It is told the time and given randomness, and knows a token by its version alone. Whoever
//! drives it (the manager in the sidecar, a scheduler in the simulation) holds the secrets and does what it says:
//!
//! ```text
//! start ─▶ Load ─loaded─▶ Begin ─began─▶ Exchange ─exchanged─▶ Commit ─committed─▶ Rest
//!                            │               ▲  │ unknown, once      └ store away: Rest, and Commit again later
//!                            │               └──┘
//!                            │               └─ invalid_grant ─▶ Load ─loaded─▶ Bury ─buried─▶ Rest
//!                            └ somebody newer, somebody else at it: Rest       └ a newer one: Release
//! ```
//!
//! - [`Lifecycle::start`] says whether anything is due, and the first [`Step`]. Each step is answered with the method of its name, which
//!   returns the next one, until it is [`Step::Release`] or [`Step::Rest`]. There is one such run at a time. One that breaks off is [abandoned](Lifecycle::abandon).
//! - [`Lifecycle::wake`] says when to call `start` and [`Lifecycle::events`] again, and it is never a moment at which there is nothing to do.
//! - [`Lifecycle::serve`] is asked before each request, [`Lifecycle::refused`] after a 401.
//!
//! What holds, whatever the driver, the store and the provider do:
//! - The old token serves while the new one is won, and never when it may have expired: life counts from before it was asked for.
//! - A new token serves only when its record is durable.
//! - A refresh token is sent once more at once when nobody knows what became of it, and after that only as `wait`s allow; never again
//!   when the provider has said `invalid_grant` of it, until the operator replaces it ([`Lifecycle::reseeded`]).
//! - A 401 forces one refresh per version, and what came of one no other within a minute.
//! - A dead refresh token is told of at once, and the access token that it won last serves to its end.
//!
//! A *family* is what one consent began: each refresh token comes of the one before. Its record in the store is its own, so that a new
//! seed begins a new one, and a sidecar that still has the old seed goes on with the old.

mod alarm;
pub mod lock;
mod machine;
mod plan;
#[cfg(test)]
mod property_tests;
mod run;
#[cfg(test)]
mod tests;
mod wait;
mod words;

pub use alarm::{Event, Threshold};
pub use machine::Lifecycle;
pub use plan::ASSUMED_LIFE;
pub use words::*;
