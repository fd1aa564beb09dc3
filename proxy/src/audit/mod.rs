//! The audit: one JSON line for each call, however it ends.
//!
//! | file | owns |
//! |---|---|
//! | [`line`] | what a line says |
//! | `queue` | lines on their way to the sink: bounded in items and bytes |
//! | `writer` | the task that takes them there, and goes on trying |
//! | `sink` | file, console, HTTP service |
//!
//! A call takes its place in the queue before it begins (`on_failure: stop`: without a place, or while the sink fails, it does not begin) or when
//! it has ended (`drop`: without a place its line is dropped, and counted). Writing never holds up a call.

pub mod line;
mod queue;
mod sink;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::config::{self, OnAuditFailure};
use crate::fault::{Fault, FaultKind};
use crate::telemetry::metric;
use queue::{Place, Queue};
pub use sink::Console;
use sink::Sink;

/// What a line takes beside the arguments, in bytes, as it is reckoned before the call begins: one with few exchanges.
const LINE_BYTES: usize = 1 << 10;

/// What a refused call is told to wait: as long as the writer rests before it tries again.
const RETRY_REFUSED: Duration = writer::REST;

/// How long the end of the process waits for what is queued.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Where calls leave their lines. Without a configuration, nothing is written.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    queue: Queue,
    on_failure: OnAuditFailure,
    /// Where the lines go, for people.
    to: String,
}

/// That a call will be written down.
#[derive(Debug)]
pub struct Pledge {
    audit: Audit,
    /// Its place in the queue, if it has one already.
    place: Option<Place>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Audit({})", self.0.as_ref().map_or("none", |inner| &inner.to))
    }
}

/// The task that writes. Ended by [`Writing::finish`].
#[derive(Debug, Default)]
pub struct Writing(Option<(Audit, JoinHandle<()>)>);

impl Audit {
    /// Whether it can be started, as far as can be told without writing or asking anybody. The error is a sentence for the operator.
    pub fn judge(config: Option<&config::Audit>) -> Result<(), String> {
        config.map_or(Ok(()), |config| Sink::judge(&config.to))
    }

    /// Starts writing. The error is a sentence for the operator: a file that cannot be opened, an address that is none.
    pub fn start(config: Option<&config::Audit>, console: Console) -> Result<(Self, Writing), String> {
        let Some(config) = config else { return Ok((Self::default(), Writing::default())) };
        let sink = Sink::open(&config.to, console)?;
        let (queue, lines) = Queue::new(config.queue.items, config.queue.bytes.0);
        let inner = Inner { queue, on_failure: config.on_failure, to: sink.to_string() };
        let audit = Self(Some(Arc::new(inner)));
        let task = tokio::spawn(writer::run(sink, lines));
        Ok((audit.clone(), Writing(Some((audit, task)))))
    }

    /// Promises a line to a call that is about to begin, or refuses the call; none if nothing is written down. `bytes`: of its arguments.
    pub fn pledge(&self, bytes: usize) -> Result<Option<Pledge>, Fault> {
        let Some(inner) = &self.0 else { return Ok(None) };
        let place = match inner.on_failure {
            OnAuditFailure::Drop => None,
            OnAuditFailure::Stop => Some(inner.admit(bytes.saturating_add(LINE_BYTES))?),
        };
        Ok(Some(Pledge { audit: self.clone(), place }))
    }

    /// For `/status`; null if nothing is written down.
    pub fn status(&self) -> Value {
        let Some(inner) = &self.0 else { return Value::Null };
        let seen = inner.queue.seen();
        json!({
            "to": inner.to,
            "failing": inner.queue.problem(),
            "queued": { "lines": seen.items, "bytes": seen.bytes },
            "written": seen.written,
            "dropped": seen.dropped,
        })
    }
}

impl Inner {
    fn admit(&self, bytes: usize) -> Result<Place, Fault> {
        let place = if self.queue.is_failing() { None } else { self.queue.place(bytes) };
        place.ok_or_else(|| {
            metrics::counter!(metric::AUDIT_REFUSALS).increment(1);
            let message =
                "What calls do must be written down, and cannot be at the moment; so nothing is called.";
            Fault::new(FaultKind::Unavailable, message).with_retry_after(RETRY_REFUSED)
        })
    }
}

impl Pledge {
    /// Leaves the line, which ends with its line break.
    pub fn fulfil(self, line: Vec<u8>) {
        let Some(inner) = &self.audit.0 else { return };
        match self.place.or_else(|| inner.queue.place(line.len())) {
            Some(place) => inner.queue.push(line, place),
            None => inner.queue.note_dropped(1),
        }
    }
}

impl Writing {
    /// Waits until everything is written, or too long. After the last call.
    pub async fn finish(self) {
        let Some((audit, task)) = self.0 else { return };
        let Some(inner) = &audit.0 else { return };
        inner.queue.close();
        let abort = task.abort_handle();
        if tokio::time::timeout(FINISH_WITHIN, task).await.is_err() {
            abort.abort();
            let left = inner.queue.seen().items;
            inner.queue.note_dropped(left as u64);
            tracing::error!(lines = left, to = %inner.to, "the audit's last lines could not be written");
        }
    }
}

#[cfg(test)]
mod tests;
