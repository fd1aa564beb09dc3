//! The WebAssembly engine: one per process, set up so that a fresh sandbox per call is cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;

use rayon::ThreadPool;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bounds::{EPOCH, MAX_TABLE_ELEMENTS};
use super::host::{self, Guest};
use crate::config::{MAX_CALL_SANDBOXES, MAX_MEMORY_BYTES};
use crate::memory::trim;

/// Sandboxes that calls cannot take: for logins, for connectors that are being loaded, and for calls that finish on a generation
/// that has been replaced.
const RESERVED_SANDBOXES: u32 = 64;

/// Sandboxes in the process at once, over all connectors. Each reserves addresses, not memory: 4 GiB of the 128 TiB that a process has.
const MAX_SANDBOXES: u32 = MAX_CALL_SANDBOXES as u32 + RESERVED_SANDBOXES;

/// Core instances, memories and tables that the components of all sandboxes may have together. A Rust component has few;
/// one of Python has about a dozen.
const MAX_CORE_INSTANCES: u32 = 4 * MAX_SANDBOXES;
const MAX_MEMORIES: u32 = MAX_SANDBOXES;
const MAX_TABLES: u32 = 2 * MAX_SANDBOXES;

/// Memory and stack of a used slot that stay resident and are wiped rather than unmapped. Measured to halve the cost of a
/// fresh sandbox.
const MEMORY_KEEP_RESIDENT: usize = 1 << 20;
const TABLE_KEEP_RESIDENT: usize = 64 << 10;
const STACK_KEEP_RESIDENT: usize = 64 << 10;

/// Used slots beyond those in use that keep what their last guest had: a guest of the same code starts faster there, and each is some
/// dozens of kilobytes. As many as calls of one agent that come together, by far.
const MAX_UNUSED_WARM: u32 = 32;

/// For how many ticks no guest may have run before the clock rests, so that calls one after the other wake no thread.
const TICKS_BEFORE_REST: u32 = 20;

/// How much compiling threads give way, on the scale of `nice`.
const NICENESS: i32 = 15;

/// Stack of a guest, and of the fiber that it runs on with the host functions that it calls.
const WASM_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 2 << 20;

/// The engine, its linker, and the thread that advances its clock.
#[derive(Clone)]
pub struct Engine {
    pub inner: wasmtime::Engine,
    pub linker: Arc<Linker<Guest>>,
    compilers: Arc<ThreadPool>,
    ticker: Arc<Ticker>,
}

impl Engine {
    pub fn new() -> wasmtime::Result<Self> {
        let inner = wasmtime::Engine::new(&config())?;
        let mut linker = Linker::new(&inner);
        host::add_to_linker(&mut linker)?;
        let ticker = Arc::new(Ticker::start(inner.clone())?);
        let compilers = Arc::new(compilers()?);
        Ok(Self { inner, linker: Arc::new(linker), compilers, ticker })
    }

    /// Lets the clock tick; without it no guest yields or ends in time.
    pub fn ticking(&self) -> Ticking<'_> {
        self.ticker.ticking()
    }

    /// Lets what compiles from now on give way to what serves calls. Until there are calls, all wait for it.
    pub fn give_way(&self) {
        self.compilers.broadcast(|_| {
            // Without the right to do so it competes, and still works.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
        });
    }

    /// Gives back the memory that loading components took.
    pub fn settle(&self) {
        self.compilers.spawn_broadcast(|_| trim::thread());
        trim::program();
    }

    /// Runs `work` where compiling is done: on threads of their own.
    pub fn aside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.compilers.install(work)
    }
}

fn compilers() -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().thread_name(|i| format!("compile-{i}")).build()
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(MAX_SANDBOXES)
        .total_core_instances(MAX_CORE_INSTANCES)
        .total_memories(MAX_MEMORIES)
        .total_tables(MAX_TABLES)
        .total_stacks(MAX_SANDBOXES)
        .max_memory_size(MAX_MEMORY_BYTES)
        .max_unused_warm_slots(MAX_UNUSED_WARM)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_component_model(true);
    config
}

/// The clock of the sandboxes, on a thread of its own, because a busy runtime must not stop what stops its guests. It rests while no
/// guest runs: an idle sidecar wakes no processor.
struct Ticker {
    clock: Arc<Clock>,
    thread: Thread,
}

#[derive(Default)]
struct Clock {
    /// Guests that run now.
    running: AtomicUsize,
    /// Whether the thread waits to be woken.
    resting: AtomicBool,
    stopped: AtomicBool,
}

/// While it exists, the clock ticks.
pub struct Ticking<'a>(&'a Clock);

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let clock = Arc::<Clock>::default();
        let own = Arc::clone(&clock);
        let spawned = std::thread::Builder::new().name("epochs".into()).spawn(move || own.run(&engine))?;
        Ok(Self { clock, thread: spawned.thread().clone() })
    }

    fn ticking(&self) -> Ticking<'_> {
        self.clock.running.fetch_add(1, Ordering::SeqCst);
        if self.clock.resting.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(&self.clock)
    }
}

impl Clock {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut unused = 0;
        while !self.stopped.load(Ordering::Relaxed) {
            #[allow(clippy::disallowed_methods)] // the one thread whose work is to wait
            std::thread::sleep(EPOCH);
            engine.increment_epoch();
            unused = if self.running.load(Ordering::Relaxed) == 0 { unused + 1 } else { 0 };
            if unused >= TICKS_BEFORE_REST {
                self.rest();
            }
        }
    }

    /// Waits until a guest runs. Whoever starts one counts it first and looks for a rest then, and here it is the other way round: one
    /// of both sees the other.
    fn rest(&self) {
        self.resting.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) > 0 || self.stopped.load(Ordering::SeqCst) {
            self.resting.store(false, Ordering::SeqCst);
        }
        while self.resting.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.stopped.store(true, Ordering::SeqCst);
        self.clock.resting.store(false, Ordering::SeqCst);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_until(reached: impl Fn() -> bool) {
        while !reached() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn compiling_gives_way_once_calls_are_served() {
        let engine = Engine::new().unwrap();
        let niceness =
            || engine.aside(|| rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap());
        let at_first = niceness();
        engine.give_way();
        assert_eq!((at_first < NICENESS, niceness()), (true, NICENESS));
    }

    #[test]
    fn the_clock_rests_when_no_guest_runs_and_ticks_when_one_does() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine).unwrap();
        let rests = || ticker.clock.resting.load(Ordering::SeqCst);
        for _ in 0..2 {
            wait_until(rests);
            let first = ticker.ticking();
            assert!(!rests());
            drop((ticker.ticking(), first));
        }
        // The thread has the other share.
        let clock = Arc::downgrade(&ticker.clock);
        drop(ticker);
        wait_until(|| clock.strong_count() == 0);
    }
}
