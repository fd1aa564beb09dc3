//! Where records go: chosen once for the process, and for each credential by what it is.

use std::sync::Arc;

use super::manager::Managers;
use super::record::Sealer;
use super::sightings::Sightings;
use super::store::Store;
use super::store::closed::Closed;
use super::store::memory::Memory;

/// A store, and what its records are sealed with.
#[derive(Clone)]
pub struct Keeping {
    pub store: Arc<dyn Store>,
    pub sealer: Arc<Sealer>,
}

impl Keeping {
    /// In memory, for this credential alone: what ends with the process can be won anew.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(Memory::default()), sealer: Arc::new(Sealer::of_this_process()) }
    }
}

/// Where this process keeps what must outlive it.
#[derive(Clone)]
pub struct Keepings {
    durable: Result<Keeping, Arc<str>>,
    /// Since when secrets are in use.
    pub sightings: Arc<Sightings>,
    /// Whoever works with what is kept, of every generation.
    pub managers: Arc<Managers>,
    /// Whether credentials are kept alive before anybody asks.
    pub eager: bool,
}

impl Keepings {
    /// For a process that serves.
    pub fn serving(durable: Result<Keeping, String>) -> Self {
        let durable = durable.map_err(Arc::from);
        let sightings = Arc::new(Sightings::new(durable.clone()));
        Self { durable, sightings, managers: Arc::default(), eager: true }
    }

    /// For a command that works once, beside a process that may be serving: what is kept is not its to spend.
    pub fn of_a_command() -> Self {
        let why = "a refresh token is the running sidecar's to spend, and not a command's";
        let keeping = Keeping { store: Arc::new(Closed(why.into())), ..Keeping::in_memory() };
        let sightings = Arc::new(Sightings::new(Err(why.into())));
        Self { durable: Ok(keeping), sightings, managers: Arc::default(), eager: false }
    }

    /// Where what can be spent for good is kept. The error is a sentence's end.
    pub fn durable(&self) -> Result<Keeping, Arc<str>> {
        self.durable.clone()
    }
}
