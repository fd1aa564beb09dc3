//! One query's transaction, from `BEGIN` to `COMMIT`, in as few round trips as the driver allows.
//!
//! 1. `BEGIN` with the settings of this transaction; prepare the statement, and its explanation if its cost matters.
//! 2. The planner's estimate; bind the parameters.
//! 3. Fetch, a chunk at a time.
//! 4. `COMMIT`, for a write. What a read leaves open, and what a failure leaves, `session` rolls back.
//!
//! Statements are sent together where none needs another's answer; the server stops at the first that fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{TryStreamExt, future};
use tokio_postgres::{Portal, Statement, Transaction};

use super::decode::Raw;
use super::encode::{self, Parameter};
use super::fault::{End, Health, Reporter, Trouble};
use super::fetch::{self, Caps, Ended};
use super::settings::SqlSettings;
use super::types::{Access, Query, Rows};
use super::{cost, statement};
use crate::fault::{Fault, FaultKind, Outcome};

/// How long the server waits for our next message inside a transaction before it gives the transaction up: longer than
/// any pause of a healthy process, short enough that a lost one holds no lock for long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// Everything about one run.
pub(super) struct Run<'a> {
    pub(super) door: &'a Transaction<'a>,
    pub(super) settings: &'a SqlSettings,
    pub(super) reporter: &'a Reporter,
    pub(super) end: &'a End,
    pub(super) query: &'a Query,
    pub(super) max_cost: Option<f64>,
    /// What the server is given for the statement.
    pub(super) time: Duration,
    /// Set right before `COMMIT` is sent.
    pub(super) committing: &'a AtomicBool,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The session was no good: nothing of the caller's was executed.
    Stale(Trouble),
    Trouble(Trouble),
}

impl From<Trouble> for Unanswered {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self::Trouble(Trouble::plain(fault))
    }
}

impl Run<'_> {
    /// Runs the query; leaves the transaction open unless it was a write that was committed.
    pub(super) async fn run(&self) -> Result<(Rows, Health), Unanswered> {
        let (statement, explaining) = self.begin_and_prepare().await?;
        self.check(&statement)?;
        let parameters = encode::encode(&self.query.parameters, statement.params())?;
        let (estimated_cost, portal) =
            self.estimate_and_bind(&statement, explaining.as_ref(), &parameters).await?;
        let caps = Caps::new(self.query, self.settings.max_rows, self.settings.max_bytes);
        let fetched = fetch::fetch(self.door, &portal, &statement, caps).await;
        let (mut rows, health) = fetched.map_err(|ended| self.ended(ended))?;
        rows.estimated_cost = estimated_cost;
        if self.query.access == Access::Write {
            self.commit(health).await?;
        }
        Ok((rows, health))
    }

    async fn begin_and_prepare(&self) -> Result<(Statement, Option<Statement>), Unanswered> {
        let begin = self.begin();
        let explaining = self.max_cost.map(|_| cost::explain(&self.query.statement));
        let prepare_explaining = async {
            match &explaining {
                Some(text) => self.door.prepare(text).await.map(Some),
                None => Ok(None),
            }
        };
        // Polled, and so sent, in this order.
        let (begun, statement, explaining) = future::join3(
            self.door.batch_execute(&begin),
            self.door.prepare(&self.query.statement),
            prepare_explaining,
        )
        .await;
        begun.map_err(|error| self.not_begun(&error))?;
        let statement = statement.map_err(|error| self.trouble(&error))?;
        let explaining = explaining.map_err(|error| self.trouble(&error))?;
        Ok((statement, explaining))
    }

    /// Only our own words and the operator's role: a guest's text is never part of a simple query.
    fn begin(&self) -> String {
        let mode = match self.query.access {
            Access::Read => " READ ONLY",
            // Not `READ WRITE`, which would override a server that was told to take no writes.
            Access::Write => "",
        };
        let mut text = format!(
            "BEGIN{mode}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL TimeZone = 'UTC'; \
             SET LOCAL client_min_messages = error",
            milliseconds(self.time),
            milliseconds(self.settings.lock_timeout),
            milliseconds(IDLE_IN_TRANSACTION),
        );
        if let Some(role) = &self.settings.role {
            text.push_str(&format!("; SET LOCAL ROLE \"{}\"", role.replace('"', "\"\"")));
        }
        text
    }

    fn check(&self, statement: &Statement) -> Result<(), Fault> {
        if self.query.access == Access::Read && statement.columns().is_empty() {
            let message = "This statement returns no rows, so it is not a read: use a SELECT.";
            return Err(Fault::new(FaultKind::InvalidArguments, message).with_path(statement::PATH));
        }
        fetch::check_columns(statement.columns())
    }

    /// Binding plans the statement and does not run it, so it need not wait for the verdict on the cost.
    async fn estimate_and_bind(
        &self,
        statement: &Statement,
        explaining: Option<&Statement>,
        parameters: &[Parameter],
    ) -> Result<(Option<f64>, Portal), Unanswered> {
        let estimate = async {
            match explaining {
                Some(explaining) => self.plan(explaining, parameters).await.map(Some),
                None => Ok(None),
            }
        };
        let bind = self.door.bind_raw(statement, parameters);
        let (plan, portal) = future::join(estimate, bind).await;
        let plan = plan.map_err(|error| self.trouble(&error))?;
        let portal = portal.map_err(|error| self.trouble(&error))?;
        let estimated_cost = match (plan, self.max_cost) {
            (Some(plan), Some(max_cost)) => Some(cost::judge(&plan, max_cost)?),
            _ => None,
        };
        Ok((estimated_cost, portal))
    }

    async fn plan(
        &self,
        explaining: &Statement,
        parameters: &[Parameter],
    ) -> Result<String, tokio_postgres::Error> {
        let rows: Vec<_> = self.door.query_raw(explaining, parameters).await?.try_collect().await?;
        let plan = rows.first().map(|row| row.try_get::<_, Raw<'_>>(0)).transpose()?;
        Ok(plan.map_or_else(String::new, |Raw(text)| String::from_utf8_lossy(text).into_owned()))
    }

    /// An answer whose rest could not be thrown away within its bound leaves no way to send `COMMIT`.
    async fn commit(&self, health: Health) -> Result<(), Unanswered> {
        if health != Health::Good {
            let message =
                "the statement returns more than can be taken in, so it was undone: return fewer rows.";
            let fault = self.reporter.fault(FaultKind::Rejected, message).with_outcome(Outcome::Rejected);
            return Err(Trouble { fault, health }.into());
        }
        self.committing.store(true, Ordering::Relaxed);
        self.door.batch_execute("COMMIT").await.map_err(|error| self.not_committed(&error).into())
    }

    fn not_begun(&self, error: &tokio_postgres::Error) -> Unanswered {
        let mut trouble = self.reporter.trouble(error, self.end, self.query.access);
        trouble.fault.path = None;
        if trouble.health != Health::Good {
            return Unanswered::Stale(trouble);
        }
        trouble.fault.message.push_str(" That was while Ferrata began the transaction.");
        Unanswered::Trouble(trouble)
    }

    /// Something before `COMMIT` failed. Whatever became of it, the transaction was not committed.
    fn trouble(&self, error: &tokio_postgres::Error) -> Trouble {
        let mut trouble = self.reporter.trouble(error, self.end, self.query.access);
        if self.query.access == Access::Write && trouble.fault.outcome == Outcome::Unknown {
            trouble.fault.outcome = Outcome::Rejected;
            trouble.fault.message.push_str(" Nothing was changed.");
        }
        trouble
    }

    fn ended(&self, ended: Ended) -> Trouble {
        match ended {
            Ended::Driver(error) => self.trouble(&error),
            Ended::Fault(fault, health) => Trouble { fault, health },
        }
    }

    /// A server that answers `COMMIT` with an error has rolled back; one that does not answer has done nobody knows what.
    fn not_committed(&self, error: &tokio_postgres::Error) -> Trouble {
        let mut trouble = self.reporter.trouble(error, self.end, self.query.access);
        let answered = error.as_db_error().is_some() && trouble.health == Health::Good;
        if !answered {
            trouble.fault.kind = FaultKind::OutcomeUnknown;
            trouble.fault.outcome = Outcome::Unknown;
        }
        trouble
    }
}

/// At least one: zero would mean no limit.
fn milliseconds(time: Duration) -> u128 {
    time.as_millis().max(1)
}
