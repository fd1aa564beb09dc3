//! A tool whose calls travel together: one request for all of them.

use serde_json::json;

use super::bindings::exports::ferrata::connector::tools::{Answer, Invocation, Tool};
use super::bindings::ferrata::connector::http::{self, Request, Verdict};
use super::bindings::ferrata::connector::types::{Effect, Fault, FaultKind};
use super::{argument, fault, tool};

pub const NAME: &str = "collect";

/// Largest batch.
const MOST: u32 = 10;

pub fn definition() -> Tool {
    let description = "Reads what `id` names, together with what other calls name.";
    Tool { max_batch: MOST, ..tool(NAME, description, true) }
}

/// Each is told its id and how many there were. Status 400 refuses all of them, and nothing is found under `missing`.
pub fn collect(invocations: &[Invocation]) -> Vec<Result<Answer, Fault>> {
    let ids: Vec<_> = invocations.iter().map(|invocation| id(&invocation.arguments)).collect();
    let request = Request {
        upstream: "api".to_owned(),
        operation: "read".to_owned(),
        effect: Effect::Read,
        method: "GET".to_owned(),
        path: format!("/read/{}", ids.join("+")),
        headers: Vec::new(),
        body: Vec::new(),
        options: None,
    };
    match ask(&request) {
        Err(refused) => ids.iter().map(|_| Err(refused.clone())).collect(),
        Ok(()) => ids.iter().map(|id| answer(id, ids.len())).collect(),
    }
}

fn ask(request: &Request) -> Result<(), Fault> {
    let exchange = http::send(request)?;
    let verdict = if exchange.status() == 400 { Verdict::Rejected } else { Verdict::Ok };
    let refused = matches!(verdict, Verdict::Rejected);
    exchange.settle(&verdict)?;
    if refused { Err(fault(FaultKind::Rejected, "the batch was refused")) } else { Ok(()) }
}

fn answer(id: &str, of: usize) -> Result<Answer, Fault> {
    match id {
        "missing" => Err(fault(FaultKind::NotFound, "nothing is there")),
        _ => Ok(Answer::Object(json!({ "text": format!("{id} of {of}") }).to_string())),
    }
}

fn id(arguments: &str) -> String {
    argument(arguments, "id").as_str().unwrap_or_default().to_owned()
}
