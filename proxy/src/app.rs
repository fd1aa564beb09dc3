//! Puts the rooms together: from a configuration to something that serves, and back to nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::admin::{self, Readiness};
use crate::audit::{Audit, Console};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::connector::{CompiledCache, Engine};
use crate::credential::record::Sealer;
use crate::credential::store::Store as Records;
use crate::credential::store::disk::OnDisk;
use crate::credential::store::redis::Shared as InRedis;
use crate::credential::{Keeping, Keepings, Managers, Source};
use crate::egress::account::Accounts;
use crate::file::is_writable;
use crate::gate::{Authenticator, Gate};
use crate::policy::limit::Leases;
use crate::protocol::{Endpoint, Settings};
use crate::reload::{Connectors, Reloader};
use crate::server::{self, Drain, Limits};
use crate::state::Store;
use crate::state::disk::Disk;
use crate::state::shared::Shared;

/// How long the end of a process waits for refreshes that are under way: with the drain before it, less than the kubelet's patience.
const LAST_REFRESH: Duration = Duration::from_secs(4);

/// Why the process cannot go on; a sentence for the operator.
#[derive(Debug)]
pub enum AppError {
    /// The configuration cannot work here.
    Config(String),
    /// This machine or this program failed.
    Internal(String),
}

impl AppError {
    pub fn config(what: impl ToString) -> Self {
        Self::Config(what.to_string())
    }

    pub fn internal(what: impl ToString) -> Self {
        Self::Internal(what.to_string())
    }
}

/// The engine and where compiled components are kept. The cache is a convenience: without one, everything is compiled at start.
pub fn engine(cache: Option<&Path>) -> Result<(Engine, CompiledCache), AppError> {
    let engine =
        Engine::new().map_err(|e| AppError::internal(format!("the sandbox engine does not start: {e:#}")))?;
    let cache = match cache.map_or_else(default_cache_folder, |folder| Some(folder.to_owned())) {
        None => {
            let reason = "there is no --cache, and neither XDG_CACHE_HOME nor HOME is set";
            tracing::warn!(%reason, "compiled components are not kept");
            CompiledCache::none()
        }
        Some(folder) => CompiledCache::at(&folder).unwrap_or_else(|reason| {
            tracing::warn!(%reason, "compiled components are not kept");
            CompiledCache::none()
        }),
    };
    Ok((engine, cache))
}

/// `$XDG_CACHE_HOME/ferrata/components`, or the same below `~/.cache`.
fn default_cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    base.filter(|b| b.is_absolute()).map(|b| b.join("ferrata").join("components"))
}

/// Where it is kept how much of the walls is used.
pub fn store(config: &Config) -> Result<Store, AppError> {
    match &config.state {
        config::State::Memory(_) => Ok(Store::Memory),
        config::State::File(state) => Disk::open(&state.file).map(Store::Disk).map_err(AppError::config),
        config::State::Redis(state) => {
            let shared = Shared::new(
                &state.redis,
                state.ca.as_deref(),
                Leases::for_calls_of(config.defaults.longest()),
            );
            shared.map(|shared| Store::Shared(Arc::new(shared))).map_err(AppError::config)
        }
    }
}

/// Where credentials are kept that can be spent for good: beside the counts.
pub fn keepings(config: &Config, store: &Store) -> Result<Keepings, AppError> {
    let records: Arc<dyn Records> = match store {
        Store::Memory => {
            return Ok(Keepings::serving(Err("`state` is `memory`, which ends with the pod".into())));
        }
        Store::Disk(disk) => Arc::new(OnDisk::open(disk.clone()).map_err(AppError::config)?),
        Store::Shared(shared) => Arc::new(InRedis::new(Arc::clone(shared.wire()))),
    };
    let Some(sealer) = sealer(config).map_err(AppError::Config)? else {
        return Ok(Keepings::serving(Err("`state` has no `key` to seal it with".into())));
    };
    Ok(Keepings::serving(Ok(Keeping { store: records, sealer: Arc::new(sealer) })))
}

/// What credentials are sealed with in the store, if there is a key for it.
fn sealer(config: &Config) -> Result<Option<Sealer>, String> {
    let Some(key) = config.state.key() else { return Ok(None) };
    let at = |why: String| format!("state.key: {why}");
    let key = Source::File(key.clone()).read().map_err(at)?;
    Sealer::with_key(&key).map(Some).map_err(at)
}

/// Judges what is said of the store, which is neither opened nor asked: another process may have it. The error is a sentence for the operator.
pub fn judge_state(config: &Config) -> Result<(), String> {
    match &config.state {
        config::State::Memory(_) => {}
        config::State::File(state) => {
            is_writable(&state.file).map_err(|e| format!("state.file: {}: {e}", state.file.display()))?
        }
        config::State::Redis(_) => {
            store(config).map_err(|(AppError::Config(why) | AppError::Internal(why))| why)?;
        }
    }
    sealer(config).map(drop)
}

/// The connectors of a configuration, loaded, and the gate over them.
pub async fn gate(
    config: &Config,
    auth: Authenticator,
    cache: Option<&Path>,
    (store, keepings): (Store, Keepings),
    audit: Audit,
) -> Result<(Arc<Gate>, Connectors), AppError> {
    let (engine, cache) = engine(cache)?;
    let accounts = Arc::new(Accounts::new(Clock::start(), config.replicas, store));
    let mut connectors = Connectors::new(engine.clone(), cache, accounts, keepings);
    connectors.follow(config).await;
    engine.give_way();
    let catalog = connectors.catalog(config).map_err(AppError::Config)?;
    Ok((Arc::new(Gate::new(auth, catalog, audit)), connectors))
}

/// Serves what the file at `path` says until the drain begins and everything in flight has ended. `ready_file`, if given, is written once agents can connect: a JSON object
/// with the addresses that were bound.
pub async fn run(
    path: &Path,
    cache: Option<&Path>,
    ready_file: Option<&Path>,
    mut drain: Drain,
) -> Result<(), AppError> {
    let config = config::load(path).map_err(AppError::config)?;
    let metrics = admin::install_metrics().map_err(AppError::internal)?;
    let (audit, writing) = Audit::start(config.audit.as_ref(), Console::Stdout).map_err(AppError::Config)?;
    let auth = Authenticator::new(&config.agent).map_err(AppError::Config)?;
    let readiness = Readiness::default();
    let agent = bind(config.agent.listen).await?;
    let agent_address = agent.local_addr().map_err(AppError::internal)?;
    let admin = admin::start(&config.admin, metrics, readiness.clone(), drain.clone()).await?;

    let store = store(&config)?;
    let keepings = keepings(&config, &store)?;
    let managers = Arc::clone(&keepings.managers);
    let loaded = tokio::select! {
        loaded = gate(&config, auth, cache, (store, keepings), audit) => loaded.map(Some),
        () = drain.begun() => Ok(None),
    };
    let Ok(Some((gate, connectors))) = loaded else {
        tracing::info!("ended before the connectors were loaded");
        finish_refreshes(&managers).await;
        admin.stop().await;
        return loaded.map(drop);
    };
    let accounts = Arc::clone(connectors.accounts());
    readiness.ready(Arc::clone(&gate), Arc::clone(&accounts));
    if let Some(path) = ready_file
        && let Err(error) = announce(path, agent_address, &admin)
    {
        finish_refreshes(&managers).await;
        return Err(error);
    }
    tracing::info!(agent = %agent_address, "ready");

    let settings = Settings {
        body_bytes: config.agent.max_body.0,
        hosts: config.agent.hosts.clone(),
        origins: config.agent.origins.clone(),
        ..Settings::default()
    };
    let endpoint = Arc::new(Endpoint::new(Arc::clone(&gate), settings, agent_address, drain.clone()));
    let handler = move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.handle(request).await }
    };
    let reloader = Reloader::new(path.to_owned(), config.clone(), connectors, gate);
    let reloading = tokio::spawn(reloader.run(drain.clone()));
    let limits = Limits { connections: config.agent.max_connections, drain: config.agent.drain.0 };
    let drained = server::serve(agent, handler, limits, drain).await;
    readiness.gone();
    reloading.abort();
    finish(&managers, &accounts).await;
    writing.finish().await;
    admin.stop().await;
    tracing::info!(cut = drained.cut, "drained");
    Ok(())
}

/// The last of a process whose calls have ended: refreshes that are under way, and what was counted.
pub async fn finish(managers: &Managers, accounts: &Accounts) {
    finish_refreshes(managers).await;
    accounts.finish().await;
}

/// A refresh begins as soon as its connector is loaded: it may be under way though nothing was served yet.
async fn finish_refreshes(managers: &Managers) {
    if tokio::time::timeout(LAST_REFRESH, managers.finish()).await.is_err() {
        tracing::warn!("ended in the middle of a refresh; the next start takes it up");
    }
}

/// A listener; the error names the address.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|e| AppError::Config(format!("cannot listen on {address}: {e}")))
}

/// Written aside and renamed, so that whoever waits for it never reads half.
fn announce(path: &Path, agent: SocketAddr, admin: &admin::Running) -> Result<(), AppError> {
    let text = serde_json::json!({
        "agent": format!("http://{agent}"),
        "admin": admin.address.map(|a| format!("http://{a}")),
        "control": admin.control,
    });
    let aside = path.with_extension("tmp");
    std::fs::write(&aside, text.to_string())
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|e| AppError::Internal(format!("{} cannot be written: {e}", path.display())))
}
