//! Puts the rooms together: from a configuration to something that serves, and back to nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::admin::{self, Readiness};
use crate::config::{Auth, Config};
use crate::connector::{self, Bounds, CompiledCache, Engine};
use crate::gate::{AccessRules, Authenticator, Catalog, Gate, Slot};
use crate::protocol::{Endpoint, Settings};
use crate::server::{self, Drain, Limits};

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
        None => CompiledCache::none(),
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

/// Loads every connector, each on its own: one that does not load never stops the others.
pub async fn load_connectors(
    config: &Config,
    engine: &Engine,
    cache: &CompiledCache,
) -> BTreeMap<String, Slot> {
    let load = config.connectors.iter().map(|(name, connector)| async move {
        let bounds = Bounds::from(connector.sandbox.as_ref().unwrap_or(&config.sandbox));
        let slot = match connector::load(engine, cache, name, connector, bounds).await {
            Ok(loaded) => {
                let (version, tools) = (&loaded.manifest.version, loaded.tools.len());
                tracing::info!(connector = %name, component = %loaded.manifest.name, %version, tools, "connector loaded");
                Slot::Ready(Arc::new(loaded))
            }
            Err(reason) => {
                tracing::error!(connector = %name, %reason, "connector not loaded; its tools are unavailable");
                Slot::Broken(reason)
            }
        };
        (name.clone(), slot)
    });
    join_all(load).await.into_iter().collect()
}

/// The gate over loaded connectors.
pub fn gate(config: &Config, auth: &Auth, slots: BTreeMap<String, Slot>) -> Result<Arc<Gate>, AppError> {
    let auth = Authenticator::new(auth).map_err(AppError::Config)?;
    let access = AccessRules::new(config.access.as_ref()).map_err(AppError::Config)?;
    let catalog = Catalog::new(slots, Arc::new(access));
    Ok(Arc::new(Gate::new(auth, catalog, config.defaults.deadline.0)))
}

/// Serves until the drain begins and everything in flight has ended. `ready_file`, if given, is written once agents can connect: a JSON object
/// with the addresses that were bound.
pub async fn run(
    config: Config,
    cache: Option<&Path>,
    ready_file: Option<&Path>,
    drain: Drain,
) -> Result<(), AppError> {
    let metrics = admin::install_metrics().map_err(AppError::internal)?;
    let readiness = Readiness::default();
    let agent = bind(config.agent.listen).await?;
    let agent_address = agent.local_addr().map_err(AppError::internal)?;
    let admin = admin::start(&config.admin, metrics, readiness.clone(), drain.clone()).await?;

    let (engine, cache) = engine(cache)?;
    let gate = gate(&config, &config.agent.auth, load_connectors(&config, &engine, &cache).await)?;
    readiness.ready(Arc::clone(&gate));
    if let Some(path) = ready_file {
        announce(path, agent_address, &admin)?;
    }
    tracing::info!(agent = %agent_address, "ready");

    let settings = Settings {
        body_bytes: config.agent.max_body.0,
        hosts: config.agent.hosts.clone(),
        origins: config.agent.origins.clone(),
        ..Settings::default()
    };
    let endpoint = Arc::new(Endpoint::new(gate, settings, agent_address, drain.clone()));
    let handler = move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.handle(request).await }
    };
    let limits = Limits { connections: config.agent.max_connections, drain: config.agent.drain.0 };
    let drained = server::serve(agent, handler, limits, drain).await;
    readiness.gone();
    admin.stop().await;
    tracing::info!(cut = drained.cut, "drained");
    Ok(())
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
