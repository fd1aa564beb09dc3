//! One line and two metrics for each call, and for whatever else a connector is asked, however it ends: an agent that goes away leaves a
//! trace too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Tool;
use crate::call::{Answered, Ask, PromptResult, ToolCall, ToolResult};
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

/// What is asked of a connector.
enum Subject<'a> {
    Tool(&'a Tool),
    /// Of few kinds: as the connector lists it.
    Other {
        method: &'static str,
        name: &'a str,
        connector: &'a Arc<str>,
    },
}

/// What a call that did not fail came to.
pub trait Ended {
    fn outcome(&self) -> &'static str {
        OK
    }
}

impl Ended for Box<RawValue> {}

impl Ended for PromptResult {
    fn outcome(&self) -> &'static str {
        if matches!(self, Self::Question(_)) { ASKED } else { OK }
    }
}

impl Ended for Answered {
    fn outcome(&self) -> &'static str {
        match (&self.instead, &self.result) {
            (Some(instead), _) => instead.label(),
            (None, ToolResult::Question(_)) => ASKED,
            (None, ToolResult::Object(_) | ToolResult::Content(_)) => OK,
        }
    }
}

/// A call under way. Dropping it writes what became of it.
pub struct CallRecord<'a> {
    subject: Subject<'a>,
    agent: Arc<str>,
    trace: TraceContext,
    started: Instant,
    outcome: &'static str,
    /// Why, if it is a fault.
    why: Option<String>,
}

impl<'a> CallRecord<'a> {
    pub fn start(tool: &'a Tool, call: &ToolCall) -> Self {
        Self::new(Subject::Tool(tool), Arc::clone(&call.caller.agent), call.trace)
    }

    /// `method` is MCP's word; `name` is what metrics may call it, of which there are as many as a connector lists.
    pub fn of(method: &'static str, name: &'a str, connector: &'a Arc<str>, ask: &Ask) -> Self {
        Self::new(Subject::Other { method, name, connector }, Arc::clone(&ask.caller.agent), ask.trace)
    }

    fn new(subject: Subject<'a>, agent: Arc<str>, trace: TraceContext) -> Self {
        Self { subject, agent, trace, started: Instant::now(), outcome: CANCELLED, why: None }
    }

    /// Notes how the call ended, and completes a fault with whose it is.
    pub fn end<R: Ended>(mut self, result: Result<R, Fault>) -> Result<R, Fault> {
        result.inspect(|result| self.outcome = result.outcome()).map_err(|mut fault| {
            self.outcome = fault.kind.traits().label;
            self.why = Some(fault.message.clone());
            match self.subject {
                Subject::Tool(tool) => {
                    fault.system = Some(Arc::clone(tool.connector()));
                    fault.tool = Some(Arc::clone(&tool.name));
                }
                Subject::Other { connector, .. } => fault.system = Some(Arc::clone(connector)),
            }
            fault.trace_id = Some(self.trace.trace_id());
            fault
        })
    }
}

impl Drop for CallRecord<'_> {
    fn drop(&mut self) {
        let Self { agent, outcome, .. } = self;
        let (outcome, took, trace) = (*outcome, self.started.elapsed(), self.trace.trace_id());
        match &self.subject {
            Subject::Tool(tool) => {
                tool.meters.count(tool, outcome);
                tool.meters.time(tool, took);
                match &self.why {
                    None => tracing::info!(%trace, %agent, tool = %tool.name, outcome, ?took, "call"),
                    Some(why) => {
                        tracing::warn!(%trace, %agent, tool = %tool.name, outcome, ?took, %why, "call")
                    }
                }
            }
            Subject::Other { method, name, .. } => {
                let label = (*name).to_owned();
                metrics::counter!(metric::REQUESTS, "method" => *method, "name" => label.clone(), "outcome" => outcome)
                    .increment(1);
                metrics::histogram!(metric::REQUEST_SECONDS, "method" => *method, "name" => label)
                    .record(took);
                match &self.why {
                    None => tracing::info!(%trace, %agent, method, name, outcome, ?took, "request"),
                    Some(why) => {
                        tracing::warn!(%trace, %agent, method, name, outcome, ?took, %why, "request")
                    }
                }
            }
        }
    }
}
