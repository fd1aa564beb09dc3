//! How much one sandbox may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::{config, memory};

/// How often the clock of the sandboxes ticks: the grain of the bound on processor time.
pub const EPOCH: Duration = Duration::from_millis(10);

/// Most elements of one table. A Python component needs some 12 000.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Room for what a result or request is wrapped in, in bytes.
const HOSTCALL_MARGIN: usize = 64 << 10;

/// Largest request that a guest may hand over in one call, in bytes: as `egress` bounds bodies, with their headers.
const MAX_REQUEST_BYTES: usize = 5 << 20;

/// The operator's bounds of one connector's sandboxes, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub memory: usize,
    pub cpu: Duration,
    pub concurrent: usize,
    pub parked: usize,
    pub waiting: usize,
    pub result: usize,
    pub log: usize,
    pub reuse: bool,
}

impl Bounds {
    /// Processor time in ticks of the epoch, rounded up.
    pub fn cpu_epochs(&self) -> u64 {
        u64::try_from(self.cpu.as_millis().div_ceil(EPOCH.as_millis())).unwrap_or(u64::MAX).max(1)
    }

    /// How many bytes one call between guest and host may carry.
    pub fn hostcall(&self) -> usize {
        self.result.max(MAX_REQUEST_BYTES) + HOSTCALL_MARGIN
    }
}

impl From<(config::Sandbox, usize)> for Bounds {
    fn from((s, concurrent): (config::Sandbox, usize)) -> Self {
        Self {
            memory: s.memory.0,
            cpu: s.cpu.0,
            concurrent,
            parked: s.parked.unwrap_or(concurrent).min(concurrent),
            waiting: s.waiting,
            result: s.result.0,
            log: s.log.0,
            reuse: s.reuse,
        }
    }
}

/// Counts the linear memory of all instances in one sandbox, against its own bound and as a part of what the process holds.
#[derive(Debug)]
pub struct MemoryLimit {
    limit: usize,
    used: usize,
    held: memory::Held,
    /// Whether growth was refused; explains the trap that commonly follows.
    pub refused: bool,
}

impl MemoryLimit {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, held: memory::PROCESS.hold(0), refused: false }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used + desired.saturating_sub(current);
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        self.held.resize(used);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}
