//! The sessions of one database: made when needed, up to a number, reused while they are good.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use tokio::time::timeout_at;

use super::connect;
use super::fault::Reporter;
use super::session::{self, Lease, Session};
use super::settings::SqlSettings;
use crate::call::Deadline;
use crate::fault::{Fault, FaultKind};

/// Oldest session that is used again: addresses and roles change, and a session must not outlive that for long.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Makes sessions and judges whether one can be used again.
pub(super) struct Manager {
    settings: Arc<SqlSettings>,
    reporter: Arc<Reporter>,
    /// Raised when the servers changed: sessions of an earlier generation are not used again.
    generation: AtomicU64,
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = Fault;

    async fn create(&self) -> Result<Session, Fault> {
        // Read first: what changes while connecting makes the new session old.
        let generation = self.generation.load(Ordering::Acquire);
        let connected = connect::connect(&self.settings, &self.reporter).await?;
        session::start(connected, generation).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Fault> {
        let old =
            session.generation != self.generation.load(Ordering::Acquire) || session.born.elapsed() > MAX_AGE;
        if old || session.is_dead() { Err(RecycleError::message("not fit for use")) } else { Ok(()) }
    }
}

/// Drops every session made before now: idle ones at once, those in use when they come back.
pub(super) fn evict(lease: &Lease) {
    let Some(pool) = Object::pool(lease) else { return };
    let manager = pool.manager();
    let generation = manager.generation.fetch_add(1, Ordering::AcqRel) + 1;
    let evicted = pool.retain(|session, _| session.generation >= generation).removed.len();
    tracing::warn!(database = %manager.reporter.name, evicted, "the database went away or changed roles; connecting anew");
}

/// The pool.
pub(super) struct Sessions {
    pool: Pool<Manager>,
}

impl Sessions {
    pub(super) fn new(name: Arc<str>, settings: Arc<SqlSettings>) -> Result<Self, Fault> {
        let size = settings.pool_size;
        let manager =
            Manager { settings, reporter: Arc::new(Reporter::new(name)), generation: AtomicU64::new(0) };
        let pool = Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).build();
        Ok(Self { pool: pool.map_err(Fault::internal)? })
    }

    /// A session of one's own: an idle one, a new one, or the next one that becomes free within a short wait.
    pub(super) async fn lease(&self, deadline: Deadline) -> Result<Lease, Fault> {
        let Manager { settings, reporter, .. } = self.pool.manager();
        let too_late = || {
            reporter.fault(FaultKind::DeadlineExceeded, "no session could be had in time; nothing was sent.")
        };
        if deadline.has_passed() {
            return Err(too_late());
        }
        let wait = settings.pool_wait.min(deadline.remaining());
        let timeouts = Timeouts { wait: Some(wait), create: None, recycle: None };
        match timeout_at(deadline.instant(), self.pool.timeout_get(&timeouts)).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(PoolError::Backend(fault))) => Err(fault),
            Ok(Err(PoolError::Timeout(_))) => {
                let message = format!("all {} sessions are busy; nothing was sent.", settings.pool_size);
                Err(reporter.fault(FaultKind::Overloaded, message))
            }
            Ok(Err(error)) => Err(Fault::internal(format!("a database session cannot be had: {error}"))),
            Err(_) => Err(reporter
                .fault(FaultKind::DeadlineExceeded, "no session could be had in time; nothing was sent.")),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.pool.status();
        f.debug_struct("Sessions")
            .field("open", &status.size)
            .field("idle", &status.available)
            .finish_non_exhaustive()
    }
}
