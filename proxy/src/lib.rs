//! Ferrata: the iron path between an agent's tool call and the system it is meant for.

#![deny(unsafe_code)]

pub mod call;
pub mod fault;
pub mod gate;
pub mod telemetry;
