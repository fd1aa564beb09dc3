//! Ferrata: the iron path between an agent's tool call and the system it is meant for.
//!
//! The path of one call, file by file:
//!
//! | step | room | what happens |
//! |---|---|---|
//! | 1 | [`server`] | connections, bounds, drain |
//! | 2 | [`protocol`] | bytes ⇄ [`call::ToolCall`], [`call::ToolResult`], [`fault::Fault`]; MCP, plain HTTP, stdio |
//! | 3 | [`gate`] | who may call what, with which arguments, for how long |
//! | 4 | [`flow`] | what calls have to do with each other: one for all that are the same, what stands in for a failed one |
//! | 5 | [`connector`] | the guest runs in a sandbox; it asks through host imports |
//! | 6 | [`egress`] | the only door out: judging, policies, secrets, TLS, scrubbing |
//! | 7 | [`credential`] | where secrets come from |
//!
//! [`audit`] writes down what became of every call. [`policy`] holds the pure state machines that `egress` asks: limits, queue, retry, breaker, bulkhead; [`state`] keeps the limits' counts.
//!
//! [`app`] puts the rooms together from a [`config`], [`reload`] keeps them in step with the files, [`admin`] shows what goes on in them.
//! Calls go down that list. Every room may use the common words: [`call`], [`clock`], [`fault`], [`config`], [`telemetry`], [`file`], [`memory`], `after`.
//! `proxy/copy`, a crate by itself, is how the static binary copies memory.
//!
//! What must stay true:
//! - Only `connector` names wasmtime; only `server`, `protocol`, `admin` and `egress` name hyper.
//! - No credential enters a guest's memory: a guest names a secret, and `egress` writes it.
//! - Whatever waits, is kept or is read has a bound with a name.
//! - A failure is a [`fault::Fault`], never an empty success.
//! - Policies take time and randomness as arguments, and never import each other.

#![deny(unsafe_code)]

pub mod admin;
mod after;
pub mod app;
pub mod audit;
pub mod call;
pub mod clock;
pub mod config;
pub mod connector;
pub mod credential;
pub mod egress;
pub mod fault;
pub mod file;
pub mod flow;
pub mod gate;
pub mod memory;
pub mod policy;
pub mod protocol;
pub mod reload;
pub mod server;
pub mod state;
pub mod telemetry;
