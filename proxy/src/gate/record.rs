//! One line and two metrics for each call, and for whatever else a connector is asked, however it ends: an agent that goes away leaves a
//! trace too. If there is an audit, one line there as well.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Target, Tool};
use crate::audit::line::{self, Arguments, Entry};
use crate::audit::{Audit, Pledge};
use crate::call::{Answered, Ask, Caller, PromptResult, Subject as User, ToolCall, ToolResult, Trail};
use crate::connector::Redaction;
use crate::fault::{Fault, FaultKind, Outcome, quotable};
use crate::telemetry::{TraceContext, metric};

/// What a call that succeeded is called, beside the labels of substitutes and those of faults.
const OK: &str = "ok";

/// What a call that was given up is called.
const CANCELLED: &str = "cancelled";

/// What a call that was answered with a question is called.
const ASKED: &str = "input_required";

/// MCP's word for a call.
const TOOLS_CALL: &str = "tools/call";

/// What a call is called that was turned away: its agent may not call the tool; the state that it brought, a consent among others, is forged,
/// too old or used up.
pub const NOT_ALLOWED: &str = "not_allowed";
pub const UNUSABLE_STATE: &str = "unusable_state";

/// What is called that names itself a call, and cannot be read as one.
pub const MALFORMED: &str = "malformed";

/// What metrics call what nobody has, whose names are the agents' to choose.
const UNKNOWN: &str = "unknown";

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
    caller: Caller,
    trace: TraceContext,
    started: Instant,
    outcome: &'static str,
    /// Why, if it is a fault, and what became of its requests.
    why: Option<(String, Outcome)>,
    /// Boxed, because most have none.
    audited: Option<Box<Audited>>,
}

/// What the audit is told beside what everybody is told.
struct Audited {
    pledge: Pledge,
    trail: Trail,
    /// What was asked for, where the listed name does not say it.
    asked: Option<String>,
    /// As they may be read, and whether they are known to be what the schema says.
    arguments: Option<String>,
    arguments_fit: bool,
    workflow: Option<String>,
    /// Whether somebody agreed to it.
    confirmed: bool,
}

impl<'a> CallRecord<'a> {
    /// Of a call. The fault is that it cannot be written down, and so is not made.
    pub fn start(audit: &Audit, tool: &'a Tool, call: &ToolCall) -> Result<Self, Fault> {
        let record = Self::new(Subject::Tool(tool), call.caller.clone(), call.trace);
        record.audited(audit, call.arguments.get().len(), |pledge| {
            let unmarked = Redaction::default();
            let redaction = match &tool.target {
                Target::Ready { route, .. } => &route.spec().redaction,
                Target::Broken { .. } | Target::Reserve { .. } => &unmarked,
            };
            let arguments = Some(redaction.apply(&call.arguments));
            // Of a connector that is not loaded, nobody knows what is to be hidden.
            let known = !matches!(tool.target, Target::Broken { .. });
            Audited {
                arguments_fit: known && redaction.is_empty(),
                workflow: call.workflow.clone(),
                ..Audited::new(pledge, None, arguments)
            }
        })
    }

    /// `method` is MCP's word; `name` is what metrics may call it, of which there are as many as a connector lists. The fault as with [`Self::start`].
    pub fn of(
        audit: &Audit,
        (method, name): (&'static str, &'a str),
        connector: &'a Arc<str>,
        ask: &Ask,
        details: Details<'_>,
    ) -> Result<Self, Fault> {
        let record = Self::new(Subject::Other { method, name, connector }, ask.caller.clone(), ask.trace);
        let bytes = details.arguments.map_or(0, |arguments| arguments.get().len());
        record.audited(audit, bytes, |pledge| {
            let arguments = details.arguments.map(|arguments| Redaction::default().apply(arguments));
            let asked = details.asked.map(str::to_owned);
            Audited { arguments_fit: true, ..Audited::new(pledge, asked, arguments) }
        })
    }

    fn new(subject: Subject<'a>, caller: Caller, trace: TraceContext) -> Self {
        let (started, outcome) = (Instant::now(), CANCELLED);
        Self { subject, caller, trace, started, outcome, why: None, audited: None }
    }

    /// Has it written down, if anything is.
    fn audited(
        mut self,
        audit: &Audit,
        bytes: usize,
        details: impl FnOnce(Pledge) -> Audited,
    ) -> Result<Self, Fault> {
        match audit.pledge(bytes) {
            Ok(None) => Ok(self),
            Ok(Some(pledge)) => {
                self.audited = Some(Box::new(details(pledge)));
                Ok(self)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Where what is sent is noted.
    pub fn trail(&self) -> Trail {
        self.audited.as_ref().map(|audited| audited.trail.clone()).unwrap_or_default()
    }

    /// Each argument is where the schema says, so that everything to hide is hidden.
    pub fn note_arguments_fit(&mut self) {
        if let Some(audited) = &mut self.audited {
            audited.arguments_fit = true;
        }
    }

    /// Somebody was asked, and agreed.
    pub fn note_confirmed(&mut self) {
        if let Some(audited) = &mut self.audited {
            audited.confirmed = true;
        }
    }

    /// Notes how the call ended, and completes a fault with whose it is.
    pub fn end<R: Ended>(mut self, result: Result<R, Fault>) -> Result<R, Fault> {
        match result {
            Ok(result) => {
                self.outcome = result.outcome();
                Ok(result)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    fn fail(mut self, mut fault: Fault) -> Fault {
        self.outcome = fault.kind.traits().label;
        self.why = Some((fault.message.clone(), fault.outcome));
        match self.subject {
            Subject::Tool(tool) => {
                fault.system = Some(Arc::clone(tool.connector()));
                fault.tool = Some(Arc::clone(&tool.name));
            }
            Subject::Other { connector, .. } => fault.system = Some(Arc::clone(connector)),
        }
        fault.trace_id = Some(self.trace.trace_id());
        fault
    }
}

/// Writes down a call that is turned away before it begins. Where the audit has no room that is counted: nothing was done.
pub fn refused(audit: &Audit, tool: &Tool, call: &ToolCall, outcome: &'static str) {
    if let Ok(mut record) = CallRecord::start(audit, tool, call) {
        record.outcome = outcome;
    }
}

/// The same of a call of a tool that does not exist.
pub fn no_such_tool(audit: &Audit, name: &str, call: &ToolCall) {
    let ask = Ask { caller: call.caller.clone(), timeout: None, trace: call.trace };
    unknown(audit, TOOLS_CALL, name, &ask);
}

/// The same of what names itself a call, of that tool or of none that there is, and does not become one. What it brought nobody has read.
pub fn turned_away(audit: &Audit, tool: Option<&Tool>, name: Option<&str>, ask: &Ask, outcome: &'static str) {
    let name = name.map(quotable);
    let system = super::reserve::SYSTEM.into();
    let record = match tool {
        Some(tool) => {
            CallRecord::new(Subject::Tool(tool), ask.caller.clone(), ask.trace)
                .audited(audit, 0, |pledge| Audited::new(pledge, None, None))
        }
        None => {
            let details = Details { asked: name.as_deref(), ..Details::default() };
            CallRecord::of(audit, (TOOLS_CALL, UNKNOWN), &system, ask, details)
        }
    };
    if let Ok(mut record) = record {
        record.outcome = outcome;
    }
}

/// The same of a request for anything that does not exist, or that its caller may not see. Nobody knows what is to be hidden of what it brought.
pub fn unknown(audit: &Audit, method: &'static str, name: &str, ask: &Ask) {
    let name = quotable(name);
    let details = Details { asked: Some(&name), ..Details::default() };
    let system = super::reserve::SYSTEM.into();
    if let Ok(mut record) = CallRecord::of(audit, (method, UNKNOWN), &system, ask, details) {
        record.outcome = FaultKind::NotFound.traits().label;
    }
}

impl Drop for CallRecord<'_> {
    fn drop(&mut self) {
        let (outcome, took, trace) = (self.outcome, self.started.elapsed(), self.trace.trace_id());
        let agent = &self.caller.agent;
        if let Some(audited) = self.audited.take() {
            audited.write(self, took);
        }
        match &self.subject {
            Subject::Tool(tool) => {
                tool.meters.count(tool, outcome);
                tool.meters.time(tool, took);
                match &self.why {
                    None => tracing::info!(%trace, %agent, tool = %tool.name, outcome, ?took, "call"),
                    Some((why, _)) => {
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
                    Some((why, _)) => {
                        tracing::warn!(%trace, %agent, method, name, outcome, ?took, %why, "request")
                    }
                }
            }
        }
    }
}

/// What the audit is told of a request for anything but a tool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// What was asked for, where the listed name does not say it.
    pub asked: Option<&'a str>,
    pub arguments: Option<&'a RawValue>,
}

impl Audited {
    fn new(pledge: Pledge, asked: Option<String>, arguments: Option<String>) -> Self {
        Self {
            pledge,
            trail: Trail::kept(),
            asked,
            arguments,
            arguments_fit: false,
            workflow: None,
            confirmed: false,
        }
    }

    fn write(self, record: &CallRecord<'_>, took: Duration) {
        let (method, name, connector, effect) = match &record.subject {
            Subject::Tool(tool) => (TOOLS_CALL, &*tool.name, tool.connector(), tool.effect()),
            Subject::Other { method, name, connector } => (*method, *name, *connector, None),
        };
        let arguments = match &self.arguments {
            None => Arguments::None,
            Some(_) if !self.arguments_fit => Arguments::LeftOut,
            Some(text) => Arguments::Shown(text),
        };
        let entry = Entry {
            agent: &record.caller.agent,
            subject: record.caller.subject.as_ref().map(User::name),
            issuer: record.caller.subject.as_ref().map(User::issuer),
            method,
            name: self.asked.as_deref().unwrap_or(name),
            connector,
            effect: effect.map(|effect| effect.name()),
            arguments,
            workflow: self.workflow.as_deref(),
            trace: record.trace,
            outcome: record.outcome,
            sent: record.why.as_ref().map(|(_, outcome)| *outcome),
            confirmed: self.confirmed,
            took,
        };
        let line = line::render(&entry, &self.trail);
        self.pledge.fulfil(line);
    }
}
