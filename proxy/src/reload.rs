//! Keeps what is in force in step with the files: the configuration, the connectors' components and their secrets.
//!
//! A change is tried aside and takes effect as a whole, or not at all: what cannot be loaded leaves the old in force and says so. Calls in
//! flight finish on the generation that they started on.

mod ages;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::config::{self, Config, ConfigError};
use crate::connector::{self, Bounds, CompiledCache, Connector, Engine};
use crate::credential::Keepings;
use crate::egress::account::Accounts;
use crate::file::Stamp;
use crate::file::watch::Watch;
use crate::gate::{AccessRules, Catalog, Gate, Slot};
use crate::memory;
use crate::server::Drain;

/// How long a connector that could not be loaded rests before it is tried again: what it needs at start may come back.
const RETRY_BROKEN: Duration = Duration::from_secs(30);

/// All connectors, and from what they were loaded.
pub struct Connectors {
    engine: Engine,
    cache: CompiledCache,
    accounts: Arc<Accounts>,
    keepings: Keepings,
    loaded: BTreeMap<String, Entry>,
    /// Whether something was loaded since the last [`Connectors::settle`].
    is_unsettled: bool,
}

/// One connector: what is in force, and what was tried last.
struct Entry {
    slot: Slot,
    config: config::Connector,
    bounds: Bounds,
    stamp: Option<Stamp>,
    tried: Instant,
}

impl Connectors {
    pub fn new(engine: Engine, cache: CompiledCache, accounts: Arc<Accounts>, keepings: Keepings) -> Self {
        Self { engine, cache, accounts, keepings, loaded: BTreeMap::new(), is_unsettled: false }
    }

    /// Loads what is new or has changed, each on its own: one that does not load never stops the others. Returns whether anything was tried.
    pub async fn follow(&mut self, config: &Config) -> bool {
        let before = self.loaded.len();
        self.loaded.retain(|name, _| config.connectors.contains_key(name));
        let removed = self.loaded.len() != before;
        let due: Vec<_> = config.connectors.iter().filter(|(name, c)| self.is_due(config, name, c)).collect();
        let entries = join_all(due.iter().map(|(name, connector)| self.load(config, name, connector))).await;
        let tried = !entries.is_empty();
        for ((name, _), entry) in due.into_iter().zip(entries) {
            self.loaded.insert(name.clone(), entry);
        }
        self.accounts.follow(&config.connectors);
        self.is_unsettled |= tried;
        tried || removed
    }

    /// Gives back the memory that loading took. For when things have calmed down.
    fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled) {
            self.engine.settle();
        }
    }

    /// The walls in front of the upstreams.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// The catalogue of what is in force.
    pub fn catalog(&self, config: &Config) -> Result<Catalog, String> {
        memory::PROCESS.set_limit(memory::limit(config.defaults.memory.map(|bytes| bytes.0)));
        let access = AccessRules::new(config.access.as_ref())?;
        let slots = self.loaded.iter().map(|(name, entry)| (name.clone(), entry.slot.clone())).collect();
        let catalog = Catalog::new(slots, Arc::new(access), config.defaults.clone());
        let mut problems = catalog.problems.clone();
        match catalog.unknown_in_rules() {
            unknown if unknown.is_empty() => {}
            unknown => problems
                .push(format!("nothing fits these rules, so they would do nothing: {}", unknown.join(", "))),
        }
        if problems.is_empty() { Ok(catalog) } else { Err(problems.join("; ")) }
    }

    fn is_due(&self, config: &Config, name: &str, connector: &config::Connector) -> bool {
        let Some(entry) = self.loaded.get(name) else { return true };
        entry.config != *connector
            || entry.bounds != bounds(config, connector)
            || entry.stamp != Stamp::of(&connector.component)
            || (entry.slot.problem().is_some() && entry.tried.elapsed() >= RETRY_BROKEN)
    }

    async fn load(&self, config: &Config, name: &str, connector: &config::Connector) -> Entry {
        // Before the file is read: a change in between is seen by the next look.
        let stamp = Stamp::of(&connector.component);
        let bounds = bounds(config, connector);
        let entry = self.loaded.get(name);
        let previous = entry.and_then(|e| e.slot.connector());
        let shared = (previous, &*self.accounts, &self.keepings);
        let loaded = connector::load(&self.engine, &self.cache, name, connector, bounds, shared).await;
        // The old one goes on only under the configuration that it was granted: what the operator took away is gone.
        let fallback = previous.filter(|_| entry.is_some_and(|e| e.config == *connector));
        let slot = slot(name, loaded, fallback);
        Entry { slot, config: connector.clone(), bounds, stamp, tried: Instant::now() }
    }
}

fn bounds(config: &Config, connector: &config::Connector) -> Bounds {
    config.sandboxes(connector).into()
}

fn slot(name: &str, loaded: Result<Connector, String>, previous: Option<&Arc<Connector>>) -> Slot {
    match (loaded, previous) {
        (Ok(connector), _) => {
            let (component, version) = (&connector.manifest.name, &connector.manifest.version);
            let tools = connector.tools.len();
            tracing::info!(connector = %name, %component, %version, tools, "connector loaded");
            Slot::Ready { connector: Arc::new(connector), problem: None }
        }
        (Err(reason), Some(previous)) => {
            tracing::error!(connector = %name, %reason, "the new connector cannot be loaded; the old one goes on");
            Slot::Ready { connector: Arc::clone(previous), problem: Some(reason) }
        }
        (Err(reason), None) => {
            tracing::error!(connector = %name, %reason, "connector not loaded; its tools are unavailable");
            Slot::Broken(reason)
        }
    }
}

/// Follows the files for as long as the process serves.
pub struct Reloader {
    path: PathBuf,
    stamp: Option<Stamp>,
    config: Config,
    /// Why the file as it stands there is not in force.
    refused: Option<String>,
    connectors: Connectors,
    gate: Arc<Gate>,
}

impl Reloader {
    /// Over what was loaded from the file at `path`.
    pub fn new(path: PathBuf, config: Config, connectors: Connectors, gate: Arc<Gate>) -> Self {
        // As of now: a change since the file was read is a reload too many, not one too few.
        Self { stamp: None, path, config, refused: None, connectors, gate }
    }

    /// Looks whenever something around the files changes, until the drain begins.
    pub async fn run(self, drain: Drain) {
        // Beside each other: a secret does not wait for a component that compiles, and neither for a store.
        let secrets = secrets::follow(Arc::clone(&self.gate), drain.clone());
        let sightings = Arc::clone(&self.connectors.keepings.sightings);
        let ages = ages::follow(Arc::clone(&self.gate), sightings, drain.clone());
        tokio::join!(secrets, ages, self.follow(drain));
    }

    async fn follow(mut self, mut drain: Drain) {
        let mut watch = Watch::new();
        loop {
            watch.follow(self.files());
            self.look().await;
            tokio::select! {
                () = drain.begun() => return,
                changed = watch.changed() => if !changed {
                    self.connectors.settle();
                }
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.config.connectors.values().map(|c| &c.component).chain([&self.path])
    }

    /// One look at all files.
    async fn look(&mut self) {
        let reconfigured = self.look_at_config();
        if !self.connectors.follow(&self.config).await && !reconfigured {
            return;
        }
        match self.connectors.catalog(&self.config) {
            Ok(catalog) => {
                self.gate.replace(catalog);
                self.gate.say_problem(self.refused.clone());
            }
            Err(reason) => {
                tracing::error!(%reason, "what is configured does not fit the connectors; what was in force goes on");
                self.gate.say_problem(Some(self.refused.clone().unwrap_or(reason)));
            }
        }
    }

    /// Whether another configuration is in force now, or the one that is may be the remedy of what was wrong.
    fn look_at_config(&mut self) -> bool {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match config::load(&self.path).and_then(|new| self.admit(new)) {
            Ok(new) => {
                self.refused = None;
                let changed = new != self.config;
                self.config = new;
                changed || self.gate.problem().is_some()
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration is not valid; the old one stays in force");
                self.refused = Some(error.to_string());
                self.gate.say_problem(self.refused.clone());
                false
            }
        }
    }

    /// Listeners and identities are made once.
    fn admit(&self, new: Config) -> Result<Config, ConfigError> {
        let made_once =
            |c: &Config| (c.agent.clone(), c.admin.clone(), c.state.clone(), c.replicas, c.audit.clone());
        if made_once(&new) == made_once(&self.config) {
            return Ok(new);
        }
        let reason =
            "`agent`, `admin`, `state`, `replicas` and `audit` take effect only with a restart".to_owned();
        Err(ConfigError::Unreadable { path: self.path.clone(), reason })
    }
}
