//! One line and two metrics for each call, however it ends: an agent that goes away leaves a trace too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};
use tokio::time::Instant;

use super::Tool;
use crate::call::{Answered, ToolCall, ToolResult};
use crate::fault::Fault;
use crate::telemetry::{TraceContext, metric};

/// What a call that succeeded is called, beside the labels of substitutes and those of faults.
const OK: &str = "ok";

/// What a call that was given up is called.
const CANCELLED: &str = "cancelled";

/// What a call that was answered with a question is called.
const ASKED: &str = "input_required";

/// What is counted of every call of a tool that succeeds, looked up once: by name and labels it takes as long as validating the arguments.
#[derive(Debug, Default)]
pub struct Meters {
    succeeded: OnceLock<Counter>,
    seconds: OnceLock<Histogram>,
}

impl Meters {
    fn count(&self, tool: &Tool, outcome: &'static str) {
        let counter =
            || metrics::counter!(metric::CALLS, "tool" => tool.metric_label(), "outcome" => outcome);
        match outcome {
            OK => self.succeeded.get_or_init(counter).increment(1),
            _ => counter().increment(1),
        }
    }

    fn time(&self, tool: &Tool, took: Duration) {
        let histogram = || metrics::histogram!(metric::CALL_SECONDS, "tool" => tool.metric_label());
        self.seconds.get_or_init(histogram).record(took);
    }
}

/// A call under way. Dropping it writes what became of it.
pub struct CallRecord<'a> {
    tool: &'a Tool,
    agent: Arc<str>,
    trace: TraceContext,
    started: Instant,
    outcome: &'static str,
    /// Why, if it is a fault.
    why: Option<String>,
}

impl<'a> CallRecord<'a> {
    pub fn start(tool: &'a Tool, call: &ToolCall) -> Self {
        let (agent, trace) = (Arc::clone(&call.caller.agent), call.trace);
        Self { tool, agent, trace, started: Instant::now(), outcome: CANCELLED, why: None }
    }

    /// Notes how the call ended, and completes a fault with whose it is.
    pub fn end(mut self, result: Result<Answered, Fault>) -> Result<Answered, Fault> {
        result.inspect(|answer| self.outcome = label(answer)).map_err(|mut fault| {
            self.outcome = fault.kind.traits().label;
            self.why = Some(fault.message.clone());
            fault.system = Some(Arc::clone(self.tool.connector()));
            fault.tool = Some(Arc::clone(&self.tool.name));
            fault.trace_id = Some(self.trace.trace_id());
            fault
        })
    }
}

fn label(answer: &Answered) -> &'static str {
    match (&answer.instead, &answer.result) {
        (Some(instead), _) => instead.label(),
        (None, ToolResult::Question(_)) => ASKED,
        (None, ToolResult::Object(_) | ToolResult::Content(_)) => OK,
    }
}

impl Drop for CallRecord<'_> {
    fn drop(&mut self) {
        let Self { tool, agent, outcome, .. } = self;
        let (outcome, took) = (*outcome, self.started.elapsed());
        tool.meters.count(tool, outcome);
        tool.meters.time(tool, took);
        let trace = self.trace.trace_id();
        match &self.why {
            None => tracing::info!(%trace, %agent, tool = %tool.name, outcome, ?took, "call"),
            Some(why) => tracing::warn!(%trace, %agent, tool = %tool.name, outcome, ?took, %why, "call"),
        }
    }
}
