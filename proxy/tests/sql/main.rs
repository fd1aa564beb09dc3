//! PostgreSQL upstreams against a real PostgreSQL: types, bounds, what statements may not do, and what failures look like.

mod bounds;
mod cancel;
mod cost;
mod escapes;
mod failover;
mod login;
mod sessions;
mod support;
mod types;
mod writes;
