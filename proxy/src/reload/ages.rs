//! Has it said in time what is to be said of credentials though nobody asks: whose secrets should have been replaced, what somebody must look after.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::connector::Connector;
use crate::credential::Sightings;
use crate::gate::Gate;
use crate::server::Drain;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Follows the credentials of whatever connectors are in force, until the drain begins.
pub async fn follow(gate: Arc<Gate>, sightings: Arc<Sightings>, mut drain: Drain) {
    loop {
        tokio::select! {
            () = drain.begun() => return,
            () = look(&gate, &sightings) => {}
        }
        tokio::select! {
            () = drain.begun() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(gate: &Gate, sightings: &Sightings) {
    // First: nothing of it waits for a store but ages, and those come with the next look.
    connectors(gate).for_each(|(name, connector)| connector.credentials().look_at_ages(&name));
    // A generation that is replaced meanwhile is not held.
    let in_use: Vec<_> =
        connectors(gate).flat_map(|(name, connector)| connector.credentials().in_use(&name)).collect();
    sightings.look(&in_use, Timestamp::now()).await;
}

fn connectors(gate: &Gate) -> impl Iterator<Item = (String, Arc<Connector>)> + use<> {
    let catalog = gate.catalog();
    let connectors = catalog.slots().iter();
    let connectors =
        connectors.filter_map(|(name, slot)| Some((name.clone(), Arc::clone(slot.connector()?))));
    connectors.collect::<Vec<_>>().into_iter()
}
