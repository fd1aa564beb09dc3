//! What a line says: who, for whom, what, with which arguments, what became of it, what was sent for it and what that cost.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::call::{Exchanged, Trail, millis};
use crate::fault::Outcome;
use crate::telemetry::TraceContext;

/// What is known of a call when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub agent: &'a str,
    /// For whom, by a verified token, and whose token it was.
    pub subject: Option<&'a str>,
    pub issuer: Option<&'a str>,
    /// MCP's word.
    pub method: &'static str,
    /// Of the tool or the prompt, or the URI.
    pub name: &'a str,
    pub connector: &'a str,
    pub effect: Option<&'static str>,
    pub arguments: Arguments<'a>,
    pub workflow: Option<&'a str>,
    pub trace: TraceContext,
    /// `ok`, or the kind of a fault, or one of the few words beside.
    pub outcome: &'static str,
    /// What became of its requests, if it is a fault.
    pub sent: Option<Outcome>,
    pub confirmed: bool,
    pub took: std::time::Duration,
}

/// As they may be read afterwards.
#[derive(Clone, Copy, Debug)]
pub enum Arguments<'a> {
    /// JSON on one line.
    Shown(&'a str),
    /// There are some, and where something to hide may stand in them nobody knows.
    LeftOut,
    None,
}

#[derive(Serialize)]
struct Line<'a> {
    time: jiff::Timestamp,
    trace: String,
    span: String,
    agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    method: &'static str,
    name: &'a str,
    connector: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "is_false")]
    arguments_left_out: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<Outcome>,
    #[serde(skip_serializing_if = "is_false")]
    confirmed: bool,
    #[serde(skip_serializing_if = "is_false")]
    coalesced: bool,
    /// How many calls made these exchanges together.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_together: Option<usize>,
    exchanges: Vec<Exchanged>,
    #[serde(skip_serializing_if = "is_zero")]
    exchanges_left_out: usize,
    ms: f64,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The line, with its line break.
pub fn render(entry: &Entry<'_>, trail: &Trail) -> Vec<u8> {
    let (noted, calls_together) = trail.noted().unwrap_or_default();
    let shown = match entry.arguments {
        Arguments::Shown(text) => serde_json::from_str::<&RawValue>(text).ok(),
        Arguments::LeftOut | Arguments::None => None,
    };
    let line = Line {
        time: jiff::Timestamp::now(),
        trace: entry.trace.trace_id(),
        span: entry.trace.span_id(),
        agent: entry.agent,
        subject: entry.subject,
        issuer: entry.issuer,
        method: entry.method,
        name: entry.name,
        connector: entry.connector,
        effect: entry.effect,
        arguments: shown,
        arguments_left_out: matches!(entry.arguments, Arguments::LeftOut),
        workflow: entry.workflow,
        outcome: entry.outcome,
        sent: entry.sent,
        confirmed: entry.confirmed,
        coalesced: noted.coalesced,
        calls_together,
        exchanges: noted.exchanges,
        exchanges_left_out: noted.left_out,
        ms: millis(entry.took),
    };
    let mut text = Vec::with_capacity(1 << 10);
    // Nothing in it can fail to be JSON; a line that is cut would be worse than one that says so.
    if serde_json::to_writer(&mut text, &line).is_err() {
        text = br#"{"outcome":"internal"}"#.to_vec();
    }
    text.push(b'\n');
    text
}
