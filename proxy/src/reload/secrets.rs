//! Has secrets read as soon as their files change, whether or not somebody uses them: a replaced one serves the next call, and one that
//! cannot be used is said at once.

use std::sync::Arc;

use crate::connector::Connector;
use crate::file::watch::Watch;
use crate::gate::{Gate, Slot};
use crate::server::Drain;

/// Follows the secrets of whatever connectors are in force, until the drain begins.
pub async fn follow(gate: Arc<Gate>, mut drain: Drain) {
    let mut watch = Watch::new();
    loop {
        look(&gate, &mut watch);
        tokio::select! {
            () = drain.begun() => return,
            _ = watch.changed() => {}
        }
    }
}

/// Watches first: what changes in between is reported.
fn look(gate: &Gate, watch: &mut Watch) {
    let catalog = gate.catalog();
    let connectors: Vec<&Arc<Connector>> = catalog.slots().values().filter_map(Slot::connector).collect();
    watch.follow(connectors.iter().flat_map(|connector| connector.credentials().files()));
    connectors.iter().for_each(|connector| connector.credentials().look());
}
