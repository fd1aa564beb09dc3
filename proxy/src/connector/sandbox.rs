//! Sandboxes of one connector: made, bounded in number and time, thrown away or kept.
//!
//! A sandbox whose run was dropped, trapped or came too late is never used again; its slot returns when its store is dropped. One that did its
//! work is wiped when the answer is on its way, and the next is made then: nobody waits for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Instance;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

use super::component::Loaded;
use super::host::{Guest, Run, Runtime};
use super::idle::Idle;
use crate::call::{Caller, Deadline};
use crate::egress::scope::{Purpose, Scope};
use crate::fault::{Fault, FaultKind};
use crate::telemetry::{TraceContext, metric};
use crate::{after, memory};

/// What a refused call is told to wait, when nobody knows how long sandboxes stay taken.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);

/// How long after its deadline a run is stopped from outside. What a guest waits for ends at the deadline itself, with a fault that says
/// more than "too late": this is the guest's time to pass it on.
const GRACE: Duration = Duration::from_millis(100);

/// Ticks of the clock in which a sandbox that is made ahead must have started: the first may come at once.
const TICKS_AHEAD: u64 = 2;

/// The agent in whose name a sandbox starts.
const NOBODY: &str = "nobody";

/// Most logins at once, of one connector and of all: a replaced client secret makes every user's session log in anew, and neither may they take
/// what other connectors need, nor all that is reserved for what calls cannot take (64 sandboxes).
const MAX_LOGINS: usize = 16;
const MAX_LOGINS_OF_ALL: usize = 48;

static LOGINS: Semaphore = Semaphore::const_new(MAX_LOGINS_OF_ALL);

/// An instance and the state behind it.
pub struct Sandbox {
    pub store: Store<Guest>,
    pub instance: Instance,
}

/// All sandboxes of one generation of a connector.
pub struct Sandboxes {
    pub loaded: Loaded,
    pub runtime: Arc<Runtime>,
    /// As whom and what for a sandbox starts: it may have been made before it is known who comes, so it can never depend on that.
    nobody: Arc<Scope>,
    running: Arc<Semaphore>,
    logins: Semaphore,
    logins_of_all: &'static Semaphore,
    waiting: AtomicUsize,
    /// Made ahead, or kept for the caller's next run if the operator allows it. Together with the running ones never more than may run.
    idle: Arc<Idle<Sandbox>>,
    /// Whether a sandbox could not be made at once: others are not made ahead then.
    starts_late: AtomicBool,
}

impl Sandboxes {
    pub fn new(loaded: Loaded, runtime: Arc<Runtime>) -> Self {
        let no_time = Deadline::after(Duration::ZERO);
        let nobody = Scope::new(Purpose::Describe, Caller::agent(NOBODY), no_time, TraceContext::fresh());
        Self {
            nobody: Arc::new(nobody),
            running: Arc::new(Semaphore::new(runtime.bounds.concurrent)),
            logins: Semaphore::new(MAX_LOGINS),
            logins_of_all: &LOGINS,
            waiting: AtomicUsize::new(0),
            idle: Idle::new(),
            starts_late: AtomicBool::new(false),
            loaded,
            runtime,
        }
    }

    /// Runs `work` in a sandbox, within the scope's deadline and the bounds.
    pub async fn run<R>(
        self: &Arc<Self>,
        scope: Arc<Scope>,
        work: impl AsyncFnOnce(&mut Sandbox) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let permit = self.permit(&scope).await?;
        let ran = async {
            let mut sandbox = self.sandbox(&scope).await?;
            let result = self.work(&mut sandbox, work).await?;
            self.leave(&scope, sandbox, permit);
            Ok(result)
        };
        self.in_time(&scope, ran).await
    }

    /// Runs a login: on a lane of its own, because the calls that wait for it hold the other places. One too many waits, within its own time.
    pub async fn run_login<R>(
        &self,
        scope: Arc<Scope>,
        work: impl AsyncFnOnce(&mut Sandbox) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let ran = async {
            let _of_connector = self.logins.acquire().await.map_err(Fault::internal)?;
            let _of_all = self.logins_of_all.acquire().await.map_err(Fault::internal)?;
            let mut sandbox = self.fresh(Run::new(Arc::clone(&self.runtime), Arc::clone(&scope))).await?;
            self.work(&mut sandbox, work).await
        };
        self.in_time(&scope, ran).await
    }

    /// Bounds everything that a guest does: to be instantiated is to run, if the component wants it.
    async fn in_time<R>(
        &self,
        scope: &Scope,
        run: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        let _ticking = self.loaded.engine.ticking();
        tokio::time::timeout_at(scope.deadline.instant() + GRACE, run).await.unwrap_or_else(|_| {
            let message = format!("The call of `{}` did not end in time.", self.runtime.connector);
            Err(Fault::new(FaultKind::DeadlineExceeded, message))
        })
    }

    async fn work<R>(
        &self,
        sandbox: &mut Sandbox,
        work: impl AsyncFnOnce(&mut Sandbox) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        work(sandbox).await.map_err(|error| self.explain(&sandbox.store, &error))
    }

    /// Sandboxes that are in use now.
    pub fn in_use(&self) -> usize {
        self.runtime.bounds.concurrent - self.running.available_permits()
    }

    /// A place among the running ones; the queue is bounded, and so is the wait in it.
    async fn permit(&self, scope: &Scope) -> Result<OwnedSemaphorePermit, Fault> {
        let running = || Arc::clone(&self.running);
        if let Ok(permit) = running().try_acquire_owned() {
            return Ok(permit);
        }
        // Whoever runs may need the permit that this call has brought along, before there is a place for it.
        drop(scope.take_first());
        let Some(_place) = Place::take(&self.waiting, self.runtime.bounds.waiting) else {
            return Err(self.full());
        };
        match tokio::time::timeout_at(scope.deadline.instant(), running().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(Fault::internal(closed)),
            Err(_) => Err(self.full()),
        }
    }

    fn full(&self) -> Fault {
        let message = format!("Too many calls of `{}` are under way.", self.runtime.connector);
        Fault::new(FaultKind::Overloaded, message).with_retry_after(RETRY_WHEN_FULL)
    }

    async fn sandbox(&self, scope: &Arc<Scope>) -> Result<Sandbox, Fault> {
        let run = Run::new(Arc::clone(&self.runtime), Arc::clone(scope));
        match self.idle.take(&scope.caller) {
            Some(mut sandbox) => {
                sandbox.store.data_mut().begin(run);
                // The last run's has passed: it would have this one yield at its first step.
                sandbox.store.set_epoch_deadline(1);
                Ok(sandbox)
            }
            None => {
                self.make_room();
                self.fresh(run).await
            }
        }
    }

    async fn fresh(&self, run: Run) -> Result<Sandbox, Fault> {
        let mut store = self.store();
        let made = self.loaded.pre.instantiate_async(&mut store).await;
        store.data_mut().run = run;
        match made {
            Ok(instance) => Ok(Sandbox { store, instance }),
            Err(error) => Err(self.explain(&store, &error)),
        }
    }

    /// What a sandbox starts with.
    fn store(&self) -> Store<Guest> {
        let nobody = Run::new(Arc::clone(&self.runtime), Arc::clone(&self.nobody));
        let mut store = Store::new(self.loaded.pre.engine(), Guest::new(nobody));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(self.runtime.bounds.hostcall());
        store.set_epoch_deadline(1);
        // A guest that waited in an import finds its deadline passed: it yields, and pays one tick.
        store.epoch_deadline_callback(|mut context| {
            let guest = context.data_mut();
            guest.epochs_left = guest.epochs_left.saturating_sub(1);
            match guest.epochs_left {
                0 => Err(wasmtime::Error::msg("out of processor time")),
                _ => Ok(UpdateDeadline::Yield(1)),
            }
        });
        store
    }

    /// Gives a sandbox and its place back when the answer is on its way.
    fn leave(self: &Arc<Self>, scope: &Scope, sandbox: Sandbox, permit: OwnedSemaphorePermit) {
        let (all, caller) = (Arc::clone(self), scope.caller.clone());
        let others_come = matches!(scope.purpose, Purpose::Call { .. });
        after::the_answer(move || {
            all.keep(caller, sandbox);
            if others_come {
                all.make_ahead();
            }
            drop(permit);
        });
    }

    /// Keeps a sandbox that left nothing behind, unless memory is scarce; another is wiped.
    fn keep(&self, caller: Caller, sandbox: Sandbox) {
        if self.runtime.bounds.reuse && memory::PROCESS.is_roomy() && sandbox.store.data().table.is_empty() {
            self.idle.keep(Some(caller), sandbox);
        }
    }

    /// Makes the next sandbox, if there is none, there is room for it, and it starts at once.
    fn make_ahead(&self) {
        let wanted = self.idle.is_empty() && memory::PROCESS.is_roomy();
        if !wanted || self.starts_late.load(Ordering::Relaxed) {
            return;
        }
        let _ticking = self.loaded.engine.ticking();
        let mut store = self.store();
        store.set_epoch_deadline(TICKS_AHEAD);
        match self.loaded.pre.instantiate_async(&mut store).now_or_never() {
            // It holds memory now that it did not hold before.
            Some(Ok(instance)) if memory::PROCESS.is_roomy() && store.data().table.is_empty() => {
                self.idle.keep(None, Sandbox { store, instance });
            }
            // If it fails for good, the next call says so.
            Some(_) => {}
            None => self.starts_late.store(true, Ordering::Relaxed),
        }
    }

    /// Ends idle sandboxes whose places the running ones need.
    fn make_room(&self) {
        self.idle.shrink(self.running.available_permits());
    }

    /// Why a guest ended without an answer, as a fault; the details are for the operator's log.
    fn explain(&self, store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
        if error.is::<PoolConcurrencyLimitError>() {
            return self.full();
        }
        let (guest, name) = (store.data(), &self.runtime.connector);
        let why = if guest.epochs_left == 0 {
            format!("it used more than {:?} of processor time", self.runtime.bounds.cpu)
        } else if guest.memory.refused {
            format!("it needed more than {} MiB of memory", self.runtime.bounds.memory >> 20)
        } else {
            "it stopped by itself".to_owned()
        };
        let (trace, stderr) = (guest.run.scope.trace.trace_id(), guest.run.scrub(&guest.stderr()));
        tracing::error!(connector = %name, %trace, %why, error = format!("{error:#}"), %stderr, "a guest trapped");
        metrics::counter!(metric::GUEST_TRAPS, "connector" => name.to_string()).increment(1);
        Fault::new(FaultKind::ConnectorFailed, format!("The connector `{name}` failed: {why}."))
    }
}

/// A place in the queue for a sandbox, given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        // Taken first and given back by `drop` if it was one too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
