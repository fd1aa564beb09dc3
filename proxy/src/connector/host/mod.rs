//! What a guest can do: one file per interface that it imports.
//!
//! Owns the state behind a sandbox. Everything that leaves the machine goes through `egress`; nothing here decides a policy.

mod agent;
mod cache;
mod context;
mod fault;
mod http;
mod log;
mod secrets;
mod sql;
mod stderr;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::bindings;
use super::bounds::{Bounds, MemoryLimit};
use crate::call::Client;
use crate::egress::Egress;
use crate::egress::scope::{Purpose, Scope};
use crate::fault::{Fault, FaultKind};
pub use cache::GuestCache;
pub use fault::{FaultTickets, Tickets};
use log::LogBudget;
use stderr::Stderr;

/// Most resources that a guest may hold at once: two batches of parallel exchanges, with room.
const MAX_HANDLES: usize = 256;

/// What a call is told to wait when too many wait already; nobody knows how long those will.
const RETRY_WHEN_PARKED: Duration = Duration::from_secs(1);

/// What all sandboxes of one connector share.
pub struct Runtime {
    pub connector: Arc<str>,
    /// The operator's settings, as JSON.
    pub settings: String,
    pub egress: Egress,
    pub cache: Arc<GuestCache>,
    pub bounds: Bounds,
    /// Guests that may wait in an import at once.
    pub parked: Semaphore,
}

/// One run of a guest.
pub struct Run {
    pub runtime: Arc<Runtime>,
    pub scope: Arc<Scope>,
    /// Of the call that is under way; one that can do nothing outside of calls.
    pub client: Client,
    tickets: FaultTickets,
    log_budget: LogBudget,
}

impl Run {
    pub fn new(runtime: Arc<Runtime>, scope: Arc<Scope>) -> Self {
        let log_budget = LogBudget::new(runtime.bounds.log);
        Self { runtime, scope, client: Client::default(), tickets: FaultTickets::default(), log_budget }
    }

    /// A place among the guests that wait; a full house refuses, so that waiting guests never take every sandbox. A login needs none: the
    /// calls that wait for it have them.
    fn park(&self) -> Result<Option<SemaphorePermit<'_>>, Fault> {
        if matches!(self.scope.purpose, Purpose::Login { .. }) {
            return Ok(None);
        }
        self.runtime.parked.try_acquire().map(Some).map_err(|_| {
            let message =
                format!("Too many calls of `{}` are waiting for its system.", self.runtime.connector);
            Fault::new(FaultKind::Overloaded, message).with_retry_after(RETRY_WHEN_PARKED)
        })
    }
}

/// The state behind one sandbox.
pub struct Guest {
    pub run: Run,
    pub table: ResourceTable,
    pub memory: MemoryLimit,
    /// Epochs that the guest may still use; 0 is a trap.
    pub epochs_left: u64,
    stderr: Stderr,
    /// Made when it is first asked for: most runs do without.
    wasi: Option<WasiCtx>,
}

impl Guest {
    pub fn new(run: Run) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let bounds = run.runtime.bounds;
        Self {
            memory: MemoryLimit::new(bounds.memory),
            epochs_left: bounds.cpu_epochs(),
            run,
            table,
            stderr: Stderr::default(),
            wasi: None,
        }
    }

    /// Prepares the sandbox for its next run, which is judged by its own doings only.
    pub fn begin(&mut self, run: Run) {
        self.stderr.clear();
        self.memory.refused = false;
        self.epochs_left = run.runtime.bounds.cpu_epochs();
        self.run = run;
    }

    /// The end of what this run wrote to standard error.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| wasi(&self.stderr));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// Clocks and random numbers; no files, no sockets, no environment, no arguments.
fn wasi(stderr: &Stderr) -> WasiCtx {
    WasiCtxBuilder::new().stderr(stderr.clone()).allow_tcp(false).allow_udp(false).build()
}

/// Everything that a component may import.
pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::types::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::context::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::agent::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::http::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::secrets::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::sql::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::cache::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)?;
    bindings::log::add_to_linker::<_, HasSelf<Guest>>(linker, |g| g)
}
