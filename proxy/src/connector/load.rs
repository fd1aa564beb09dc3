//! Loading a connector: read, compile, describe, compare with the grants, list its tools.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::bindings::types;
use super::component::{self, Loaded};
use super::host::{GuestCache, Run, Runtime, Tickets};
use super::login::GuestLogin;
use super::sandbox::{Sandbox, Sandboxes};
use super::{Bounds, CompiledCache, Connector, Engine, Manifest, PromptSpec, Resources, ToolSpec};
use crate::call::{Caller, Deadline};
use crate::config;
use crate::credential::{Credentials, Keepings, Login};
use crate::egress::Egress;
use crate::egress::account::Accounts;
use crate::egress::account::registry::Seat;
use crate::egress::operation::Operations;
use crate::egress::scope::{Purpose, Scope};
use crate::egress::upstream::Upstreams;
use crate::fault::Fault;
use crate::telemetry::TraceContext;

/// How long `describe` may take: it only builds a text.
const DESCRIBE_TIME: Duration = Duration::from_secs(5);

/// How long `list-tools`, `list-resources` and `list-prompts` may take, each; they may ask their system.
const LIST_TIME: Duration = Duration::from_secs(15);

/// The agent in whose name a connector is loaded.
const LOADER: &str = "ferrata";

/// The next generation's number.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Compiles a component into the cache, ahead of its use; the error is a sentence for the operator.
pub fn compile(engine: &Engine, cache: &CompiledCache, path: &Path) -> Result<(), String> {
    component::load(engine, cache, &component::read(path)?).map(|_| ())
}

/// Loads a connector; the error is a sentence for the operator. What belongs to its upstreams (connections, sessions) is taken
/// over from the `previous` generation if nothing about it changed; what was used of their walls stays with the `accounts`.
pub async fn load(
    engine: &Engine,
    cache: &CompiledCache,
    name: &str,
    config: &config::Connector,
    bounds: Bounds,
    (previous, accounts, keepings): (Option<&Arc<Connector>>, &Accounts, &Keepings),
) -> Result<Connector, String> {
    let bytes = component::read(&config.component)?;
    let loaded = compile_aside(engine, cache, bytes).await?;
    let name: Arc<str> = name.into();
    let (manifest, loaded) = describe(Arc::clone(&name), loaded, config, bounds).await?;
    manifest.check_grants(config, loaded.authenticator.is_some())?;

    let operations = manifest.operations(config)?;
    // Its walls hold from here on, and no longer than this if it does not load.
    let seats = seats(accounts, &name, &manifest, config)?;
    let (credentials, upstreams) = match previous.filter(|p| p.is_for_the_same(&manifest, config)) {
        Some(previous) => previous.hand_on(),
        None => {
            let credentials = Arc::new(manifest.credentials(&name, config, keepings)?);
            let upstreams = Arc::new(Upstreams::from_config(config, &credentials)?);
            (credentials, upstreams)
        }
    };
    let at = seats.iter().map(|(upstream, seat)| (upstream.clone(), Arc::clone(&seat.account))).collect();
    let egress = Egress::new(Arc::clone(&name), operations.clone(), upstreams, Arc::clone(&credentials), at);
    let sandboxes = Arc::new(Sandboxes::new(loaded, runtime(&name, config, bounds, egress)));
    let login: Arc<dyn Login> = Arc::new(GuestLogin::new(&sandboxes));
    credentials.add_login(&login);

    let tools = list_tools(&sandboxes).await?;
    let tools = ToolSpec::all(&name, tools, &operations)?;
    let resources = Resources::new(&name, list_resources(&sandboxes).await?)?;
    let prompts = PromptSpec::all(&name, list_prompts(&sandboxes).await?)?;
    seats.into_values().for_each(|seat| drop(seat.keep()));
    if keepings.eager {
        credentials.open();
    }
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
    Ok(Connector { name, generation, manifest, tools, resources, prompts, sandboxes, config: config.clone() })
}

/// Compiling takes up to seconds; the runtime's workers have other things to do.
async fn compile_aside(engine: &Engine, cache: &CompiledCache, bytes: Vec<u8>) -> Result<Loaded, String> {
    let (engine, cache) = (engine.clone(), cache.clone());
    let compiled = tokio::task::spawn_blocking(move || component::load(&engine, &cache, &bytes));
    compiled.await.map_err(|e| format!("compiling it failed: {e}"))?
}

/// The connector's place at the account of each of its upstreams.
fn seats(
    accounts: &Accounts,
    name: &Arc<str>,
    manifest: &Manifest,
    config: &config::Connector,
) -> Result<BTreeMap<String, Seat>, String> {
    let seat = |upstream: &String| {
        let seat = accounts.join(name, upstream, config, manifest.walls(upstream));
        seat.map(|seat| (upstream.clone(), seat)).map_err(|e| format!("limits of `{upstream}`: {e}"))
    };
    config.upstreams.keys().map(seat).collect()
}

fn runtime(name: &Arc<str>, config: &config::Connector, bounds: Bounds, egress: Egress) -> Arc<Runtime> {
    Arc::new(Runtime {
        connector: Arc::clone(name),
        settings: serde_json::Value::Object(config.settings.clone()).to_string(),
        egress,
        cache: Arc::new(GuestCache::default()),
        parked: Semaphore::new(bounds.parked),
        bounds,
    })
}

/// Asks the component what it is, in a sandbox that can reach nothing.
async fn describe(
    name: Arc<str>,
    loaded: Loaded,
    config: &config::Connector,
    bounds: Bounds,
) -> Result<(Manifest, Loaded), String> {
    let nothing = Egress::new(
        Arc::clone(&name),
        Operations::default(),
        Arc::new(Upstreams::default()),
        Arc::new(Credentials::new([])),
        BTreeMap::new(),
    );
    let sandboxes = Arc::new(Sandboxes::new(loaded.clone(), runtime(&name, config, bounds, nothing)));
    let indices = &loaded.manifest;
    let described = sandboxes.run(scope(Purpose::Describe, DESCRIBE_TIME), async |sandbox| {
        let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
        guest.call_describe(&mut sandbox.store).await
    });
    let json = described.await.map_err(|fault| format!("it could not describe itself: {fault}"))?;
    Ok((Manifest::parse(&json)?, loaded))
}

async fn list_tools(sandboxes: &Arc<Sandboxes>) -> Result<Vec<super::bindings::tools::Tool>, String> {
    let indices = &sandboxes.loaded.tools;
    let listed = list(sandboxes, async |sandbox| {
        let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
        guest.call_list_tools(&mut sandbox.store).await
    });
    listed.await.map_err(|fault| format!("it could not list its tools: {fault}"))
}

/// None, if the component has no such interface.
async fn list_resources(
    sandboxes: &Arc<Sandboxes>,
) -> Result<Vec<super::bindings::resources::Entry>, String> {
    let Some(indices) = &sandboxes.loaded.resources else { return Ok(Vec::new()) };
    let listed = list(sandboxes, async |sandbox| {
        let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
        guest.call_list_resources(&mut sandbox.store).await
    });
    listed.await.map_err(|fault| format!("it could not list its resources: {fault}"))
}

/// None, if the component has no such interface.
async fn list_prompts(sandboxes: &Arc<Sandboxes>) -> Result<Vec<super::bindings::prompts::Prompt>, String> {
    let Some(indices) = &sandboxes.loaded.prompts else { return Ok(Vec::new()) };
    let listed = list(sandboxes, async |sandbox| {
        let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
        guest.call_list_prompts(&mut sandbox.store).await
    });
    listed.await.map_err(|fault| format!("it could not list its prompts: {fault}"))
}

async fn list<R>(
    sandboxes: &Arc<Sandboxes>,
    ask: impl AsyncFnOnce(&mut Sandbox) -> wasmtime::Result<Result<Vec<R>, types::Fault>>,
) -> Result<Vec<R>, Fault> {
    let listed = sandboxes.run(scope(Purpose::List, LIST_TIME), async |sandbox| {
        let listed = ask(sandbox).await?;
        let run: &Run = &sandbox.store.data().run;
        Ok(listed.map_err(|fault| run.host_view(fault)))
    });
    listed.await.and_then(|listed| listed)
}

fn scope(purpose: Purpose, time: Duration) -> Arc<Scope> {
    Arc::new(Scope::new(purpose, Caller::agent(LOADER), Deadline::after(time), TraceContext::fresh()))
}
