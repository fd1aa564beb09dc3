//! Stand-ins for systems that have no installable counterpart: their shapes, walls, disguises and token lives.
//!
//! | file | owns |
//! |---|---|
//! | `sandbox` | one stand-in on a port of its own: what a test holds, and looks at |
//! | `serve` | connections and requests: bodies in, answers, broken connections and silence out |
//! | `failure` | failures on demand, and which request they hit |
//! | `control` | the same powers over HTTP, for tests in other languages and for people with curl |
//! | `clock` | time that a test moves by hand |
//! | `system` | what a stand-in implements |
//! | `accounts` | an identity provider: tokens that live for seconds, refresh tokens good for one use |
//! | `salesforce/` | Salesforce's logins, and where they lead |
//! | `slack/` | Slack's Web API |
//!
//! State lives in memory and ends with the [`Sandbox`]. Nothing here is part of the product.

#![deny(unsafe_code)]

pub mod accounts;
mod clock;
mod control;
mod failure;
pub mod salesforce;
mod sandbox;
mod serve;
pub mod slack;
mod system;

pub use clock::Clock;
pub use failure::Failure;
pub use sandbox::{Sandbox, Seen};
pub use system::{Answer, Request, System};
