//! PostgreSQL upstreams: one statement in, rows as JSON text out, under the operator's bounds.
//!
//! Owns sessions, transactions, bounds and the translation of values and errors. Which connector may use which
//! upstream, and for what, is decided before a query comes here; what the rows mean is the connector's.
//!
//! What happens to a query, in order:
//! 1. `statement`: is it one that may run here at all?
//! 2. `pool`: a session, within a short wait; `connect` makes one when there is none to reuse.
//! 3. `session`: the task that owns the connection takes the query over, and gives it up when the caller does.
//! 4. `transaction`: begin, prepare, `cost`, `encode` the parameters, `fetch` row by row through `decode`, commit or roll back.
//! 5. `session` again: the answer is handed over, then the session is reset for whoever comes next.

mod connect;
mod cost;
mod decode;
mod encode;
mod fault;
mod fetch;
mod guard;
mod line;
mod pool;
mod session;
mod settings;
mod sqlstate;
mod statement;
mod transaction;
mod types;

use std::sync::Arc;

use crate::call::Deadline;
use crate::fault::{Fault, FaultKind};
use fault::Failure;
use pool::Sessions;
pub use settings::{Login, LoginSource, Resolver, SqlSettings, system_resolver};
pub use types::{Access, Column, Query, Rows, StoppedBy, Value};

/// Largest statement, in bytes: far beyond what is written by hand or by a model, far below what makes a parser slow.
pub const MAX_STATEMENT_BYTES: usize = 256 << 10;

/// Largest sum of a query's parameters, in bytes.
pub const MAX_PARAMETER_BYTES: usize = 4 << 20;

/// A PostgreSQL database that connectors may use. Cheap to ask, and safe to ask from many tasks.
pub struct SqlUpstream {
    sessions: Sessions,
    settings: Arc<SqlSettings>,
}

impl SqlUpstream {
    /// Prepares an upstream; the first query connects. `name` is what faults and log lines call it.
    ///
    /// # Errors
    /// When the settings contradict themselves.
    pub fn new(name: impl Into<Arc<str>>, settings: SqlSettings) -> Result<Self, Fault> {
        settings.check()?;
        let settings = Arc::new(settings);
        Ok(Self { sessions: Sessions::new(name.into(), Arc::clone(&settings))?, settings })
    }

    /// Runs one statement in a transaction of its own. Dropping the future cancels it on the server.
    ///
    /// # Errors
    /// A fault for everything but an answer that is complete or says that it is not.
    pub async fn query(&self, query: Query, deadline: Deadline) -> Result<Rows, Fault> {
        if query.access == Access::Write && self.settings.read_only {
            let message = "This database is configured as read-only: nothing was sent.";
            return Err(Fault::new(FaultKind::PermissionDenied, message));
        }
        let max_cost = self.settings.max_cost.filter(|_| query.access == Access::Read);
        statement::check(&query.statement, query.access, max_cost.is_some())?;
        let max_cost = max_cost.filter(|_| statement::can_be_explained(&query.statement));
        self.run(query, max_cost, deadline).await
    }

    /// The planner's view of a statement as `EXPLAIN (FORMAT JSON)` gives it. The statement does not run.
    ///
    /// # Errors
    /// As for [`SqlUpstream::query`].
    pub async fn explain(&self, query: Query, deadline: Deadline) -> Result<String, Fault> {
        statement::check_explainable(&query.statement)?;
        let query =
            Query { access: Access::Read, max_rows: 1, statement: cost::explain(&query.statement), ..query };
        let rows = self.run(query, None, deadline).await.map_err(cost::shift_position)?;
        cost::plan_of(rows)
    }

    /// One attempt, and a second one when the session turned out to have died in the pool: nothing of the caller's
    /// had been executed then.
    async fn run(&self, query: Query, max_cost: Option<f64>, deadline: Deadline) -> Result<Rows, Fault> {
        encode::check_size(&query.parameters)?;
        let query = Arc::new(query);
        let result = match self.attempt(Arc::clone(&query), max_cost, deadline).await {
            Err(Failure::Stale(_)) => self.attempt(query, max_cost, deadline).await,
            result => result,
        };
        result.map_err(Failure::into_fault)
    }

    async fn attempt(
        &self,
        query: Arc<Query>,
        max_cost: Option<f64>,
        deadline: Deadline,
    ) -> Result<Rows, Failure> {
        let lease = self.sessions.lease(deadline).await?;
        session::ask(lease, query, max_cost, deadline).await
    }
}

impl std::fmt::Debug for SqlUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlUpstream").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
