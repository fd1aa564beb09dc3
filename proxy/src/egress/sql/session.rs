//! The task that owns one connection: takes queries one at a time, gives up what nobody waits for any longer, and
//! resets the session before it goes back to the pool.
//!
//! The query runs here and not in its caller's future, so that a caller who leaves at any point leaves a session that
//! is either as good as new or gone.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use deadpool::managed::Object;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::{CancelToken, Client, Transaction};

use super::connect::Connected;
use super::fault::{End, Failure, Health, Trouble};
use super::line::Line;
use super::pool::{self, Manager};
use super::transaction::{Run, Unanswered};
use super::types::{Access, Query, Rows};
use crate::call::Deadline;
use crate::fault::{Fault, FaultKind, Outcome};

/// A session that somebody has, until it is dropped.
pub(super) type Lease = Object<Manager>;

/// How much earlier than our own the server's clock runs out, so that its report has time to come.
const REPLY_TIME: Duration = Duration::from_millis(50);

/// Longest reset. It takes a millisecond; a server that needs longer is in trouble.
const RESET_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest attempt to cancel, and then to close the connection in good order.
const PARTING_TIMEOUT: Duration = Duration::from_secs(2);

/// `DISCARD ALL` without `DEALLOCATE ALL` and `DISCARD PLANS`: the driver keeps prepared statements of its own. Those
/// that SQL made must not reach the next caller either; there is no way to drop them alone, so their presence is made
/// an error, which costs the session.
const RESET: &str = "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP; \
    SELECT 1 / (NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql))::pg_catalog.int4";

/// The pool's end of a session.
pub(super) struct Session {
    jobs: mpsc::Sender<Job>,
    end: End,
    pub(super) generation: u64,
    pub(super) born: Instant,
}

impl Session {
    pub(super) fn is_dead(&self) -> bool {
        self.end.get().is_some() || self.jobs.is_closed()
    }
}

/// One query for a session.
struct Job {
    /// Given back to the pool when the session is fit for the next one.
    lease: Lease,
    query: Arc<Query>,
    max_cost: Option<f64>,
    deadline: Deadline,
    answer: oneshot::Sender<Result<Rows, Failure>>,
}

/// Starts the task of a new connection, and waits until it is ready.
pub(super) async fn start(connected: Connected, generation: u64) -> Result<Session, Fault> {
    // A session is leased to one at a time.
    let (jobs, queue) = mpsc::channel(1);
    let (ready, is_ready) = oneshot::channel();
    let end = Arc::clone(&connected.line.end);
    let lost = connected
        .line
        .reporter
        .fault(FaultKind::Unavailable, "the connection was lost as soon as it was made.");
    tokio::spawn(serve(connected, queue, ready));
    is_ready.await.map_err(|_| lost)?;
    Ok(Session { jobs, end, generation, born: Instant::now() })
}

/// Has a query run by a leased session. Dropping the future gives the query up.
pub(super) async fn ask(
    lease: Lease,
    query: Arc<Query>,
    max_cost: Option<f64>,
    deadline: Deadline,
) -> Result<Rows, Failure> {
    let (answer, answered) = oneshot::channel();
    let jobs = lease.jobs.clone();
    let gone = || Fault::new(FaultKind::Unavailable, "The database session is gone.");
    if let Err(error) = jobs.try_send(Job { lease, query, max_cost, deadline, answer }) {
        drop(Object::take(error.into_inner().lease));
        return Err(Failure::Stale(gone()));
    }
    drop(jobs);
    answered
        .await
        .unwrap_or_else(|_| Err(Fault::internal("a database session ended without an answer").into()))
}

async fn serve(connected: Connected, mut queue: mpsc::Receiver<Job>, ready: oneshot::Sender<()>) {
    let Connected { mut client, mut driver, line } = connected;
    let spent = attend_all(&mut client, &line, &mut queue, ready).await;
    drop(client);
    let in_order = !matches!(&spent, Some(Spent { parting: Parting::AtOnce, .. }));
    if !in_order || timeout(PARTING_TIMEOUT, &mut driver).await.is_err() {
        driver.abort();
    }
    // Only now may a new connection take the place, so that there are never more than the pool's size.
    drop(spent.map(|spent| Object::take(spent.lease)));
}

/// The lease of a session that cannot be used again.
struct Spent {
    lease: Lease,
    parting: Parting,
}

/// How to part from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// Wait for its last answer, to a cancelled statement for instance.
    InOrder,
    /// It may have any amount to say that nobody wants to hear.
    AtOnce,
}

/// Attends to one job after the other, until the pool lets go of the session or it cannot be used again.
async fn attend_all(
    client: &mut Client,
    line: &Line,
    queue: &mut mpsc::Receiver<Job>,
    ready: oneshot::Sender<()>,
) -> Option<Spent> {
    let cancel = client.cancel_token();
    // The driver has portals only behind its `Transaction`. This one is the door to them and nothing else: the
    // transactions that queries run in are begun and ended in our own words, together with what belongs to them.
    let door = client.transaction().await.ok()?;
    door.batch_execute("ROLLBACK").await.ok()?;
    ready.send(()).ok()?;
    while let Some(job) = queue.recv().await {
        if let Some(spent) = attend(&door, &cancel, line, job).await {
            return Some(spent);
        }
    }
    None
}

async fn attend(door: &Transaction<'_>, cancel: &CancelToken, line: &Line, job: Job) -> Option<Spent> {
    let Job { lease, query, max_cost, deadline, mut answer } = job;
    let committing = AtomicBool::new(false);
    let watched =
        watch(run(door, line, &query, max_cost, deadline, &committing), deadline, line, &mut answer).await;
    let committing = committing.into_inner();
    let Some(ran) = watched else {
        // The caller first: cancelling may have to wait for a server that does not answer.
        let _ = answer.send(Err(Failure::Final(too_late(line, query.access, committing))));
        line.cancel(cancel, PARTING_TIMEOUT).await;
        return Some(Spent { lease, parting: Parting::InOrder });
    };
    let (result, health) = settle(ran);
    if health == Health::Moved {
        pool::evict(&lease);
    }
    // The answer is the caller's from here on; what follows costs it no time. A caller who left does not mind.
    let _ = answer.send(result);
    let is_fit = health == Health::Good && reset(door, committing).await;
    if is_fit { None } else { Some(Spent { lease, parting: Parting::AtOnce }) }
}

/// What the caller is told, and what the session is good for.
fn settle(ran: Ran) -> (Result<Rows, Failure>, Health) {
    match ran {
        Ok((rows, health)) => (Ok(rows), health),
        Err(Unanswered::Stale(Trouble { fault, health })) => (Err(Failure::Stale(fault)), health),
        Err(Unanswered::Trouble(Trouble { fault, health })) => (Err(Failure::Final(fault)), health),
    }
}

type Ran = Result<(Rows, Health), Unanswered>;

async fn run(
    door: &Transaction<'_>,
    line: &Line,
    query: &Query,
    max_cost: Option<f64>,
    deadline: Deadline,
    committing: &AtomicBool,
) -> Ran {
    let time = deadline.remaining().min(line.settings.statement_timeout);
    let time = time - REPLY_TIME.min(time / 2);
    let (settings, reporter, end) = (&*line.settings, &*line.reporter, &line.end);
    Run { door, settings, reporter, end, query, max_cost, time, committing }.run().await
}

/// Waits for a run; `None` when there is no time left, or nobody who waits for the answer.
async fn watch(
    run: impl Future<Output = Ran>,
    deadline: Deadline,
    line: &Line,
    answer: &mut oneshot::Sender<Result<Rows, Failure>>,
) -> Option<Ran> {
    let limit = deadline.instant().min(Instant::now() + line.settings.statement_timeout + REPLY_TIME);
    tokio::select! {
        biased;
        ran = run => Some(ran),
        () = answer.closed() => None,
        () = sleep_until(limit) => None,
    }
}

/// Without a `COMMIT` that was sent, a transaction that is given up is known to be undone.
fn too_late(line: &Line, access: Access, committing: bool) -> Fault {
    let (kind, outcome, message) = match (access, committing) {
        (_, true) => {
            (FaultKind::OutcomeUnknown, Outcome::Unknown, "the database did not confirm the change in time.")
        }
        (Access::Write, false) => (
            FaultKind::DeadlineExceeded,
            Outcome::Rejected,
            "the statement took too long and was stopped; nothing was changed.",
        ),
        (Access::Read, false) => {
            (FaultKind::DeadlineExceeded, Outcome::Unknown, "the statement took too long and was stopped.")
        }
    };
    line.reporter.fault(kind, message).with_outcome(outcome)
}

/// Whether the session is as good as new.
async fn reset(door: &Transaction<'_>, committed: bool) -> bool {
    // Without a transaction, `ROLLBACK` would fill the server's log with warnings.
    let text = if committed { RESET.to_owned() } else { format!("ROLLBACK; {RESET}") };
    matches!(timeout(RESET_TIMEOUT, door.batch_execute(&text)).await, Ok(Ok(())))
}
