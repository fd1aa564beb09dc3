//! The walls in front of one account of one upstream, shared by all connectors that use it; they outlive swaps and reloads.

pub mod core;
