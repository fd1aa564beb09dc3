//! Tools that answer with something else than an object, or say something before they answer: whatever they are told to, well formed or not.

use serde_json::Value;

use super::argument;
use super::bindings::exports::ferrata::connector::tools::{Answer, Invocation, Tool};
use super::bindings::ferrata::connector::agent;
use super::bindings::ferrata::connector::types::{Content, Effect, Fault, Question};
use super::misdeeds::{get, header, plain, send, text, write};

pub struct Deed {
    pub name: &'static str,
    description: &'static str,
    /// Whether it has an output schema.
    promises: bool,
    effect: Effect,
    pub run: fn(&Invocation) -> Result<Answer, Fault>,
}

pub const ALL: [Deed; 8] = [
    deed("say", "Answers `blocks`, and `object` beside them.", say),
    Deed { promises: true, ..deed("say_promised", "The same, with an output schema.", say) },
    deed("bare", "Answers `object` as its object, without an output schema.", bare),
    deed("ask", "Asks `requests` and remembers `state`; then tells what came back.", ask),
    Deed { effect: Effect::Write, ..deed("write_then_ask", "Writes, and then asks.", write_then_ask) },
    Deed { promises: true, effect: Effect::Write, ..deed("keyed", "Writes with the call's own key.", keyed) },
    deed("advance", "Reports each of `reports`, and then reads /read/ and `path`.", advance),
    deed("flood", "Reports progress until it has said 100 MB.", flood),
];

const fn deed(
    name: &'static str,
    description: &'static str,
    run: fn(&Invocation) -> Result<Answer, Fault>,
) -> Deed {
    Deed { name, description, promises: false, effect: Effect::Read, run }
}

impl Deed {
    pub fn tool(&self) -> Tool {
        let first_operation = if self.effect == Effect::Write { "write" } else { "read" }.to_owned();
        let tool = super::tool(self.name, self.description, self.promises);
        Tool { effect: self.effect, first_operation, ..tool }
    }
}

/// A member as JSON; a string is taken as it is, so that it need not be JSON.
fn raw(arguments: &str, name: &str) -> Option<String> {
    match argument(arguments, name) {
        Value::Null => None,
        Value::String(text) => Some(text),
        json => Some(json.to_string()),
    }
}

fn say(invocation: &Invocation) -> Result<Answer, Fault> {
    let blocks = raw(&invocation.arguments, "blocks").unwrap_or_default();
    Ok(Answer::Content(Content { blocks, structured: raw(&invocation.arguments, "object") }))
}

fn bare(invocation: &Invocation) -> Result<Answer, Fault> {
    Ok(Answer::Object(raw(&invocation.arguments, "object").unwrap_or_default()))
}

fn ask(invocation: &Invocation) -> Result<Answer, Fault> {
    match &invocation.inputs {
        Some(inputs) => {
            let told = format!("{} {:?} {}", inputs.responses, inputs.state, invocation.idempotency_key);
            text(&told).map(Answer::Object)
        }
        None => Ok(question(invocation)),
    }
}

fn question(invocation: &Invocation) -> Answer {
    let requests = raw(&invocation.arguments, "requests").unwrap_or_else(agent::can_bring);
    Answer::InputRequired(Question { requests, state: raw(&invocation.arguments, "state") })
}

fn write_then_ask(invocation: &Invocation) -> Result<Answer, Fault> {
    send(&write(Vec::new()))?;
    Ok(question(invocation))
}

fn keyed(invocation: &Invocation) -> Result<Answer, Fault> {
    let key = header("idempotency-key", plain(&invocation.idempotency_key));
    send(&write(vec![key])).map(Answer::Object)
}

fn advance(invocation: &Invocation) -> Result<Answer, Fault> {
    for report in argument(&invocation.arguments, "reports").as_array().into_iter().flatten() {
        let (done, message) = (report["done"].as_f64(), report["message"].as_str());
        agent::report_progress(done.unwrap_or(f64::NAN), report["total"].as_f64(), message);
    }
    let path = raw(&invocation.arguments, "path").unwrap_or_default();
    send(&get("api", "read", &format!("/read/{path}"), Vec::new())).map(Answer::Object)
}

fn flood(_: &Invocation) -> Result<Answer, Fault> {
    let message = "x".repeat(100_000);
    for done in 0..1000 {
        agent::report_progress(f64::from(done), None, Some(&message));
    }
    text("said").map(Answer::Object)
}
