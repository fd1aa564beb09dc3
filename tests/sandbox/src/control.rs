//! The powers of a [`Sandbox`](crate::Sandbox) over HTTP, for tests in other languages and for people with curl.
//!
//! `POST /_sandbox/ACTION` with a JSON object; the answer is JSON. Actions of every system:
//! `force` (`failure`, `times`, `at`), `advance` (`seconds`), `requests`; the rest are the system's own.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::sandbox::{Seen, Shared};
use crate::serve::plain;
use crate::system::{Answer, Request, System};

/// No vendor's path begins like this.
const PREFIX: &str = "/_sandbox/";

/// The answer, if the request is for the sandbox and not for the system that it stands for.
pub(crate) fn answer<S: System>(request: &Request, shared: &Shared<S>) -> Option<Answer> {
    let action = request.path.strip_prefix(PREFIX)?;
    let done = arguments(request).and_then(|arguments| act(action, arguments, shared));
    let (status, value) = match done {
        Some(value) => (StatusCode::OK, value),
        None => (StatusCode::BAD_REQUEST, json!({ "error": "unknown action, or wrong arguments" })),
    };
    Some(plain(status, "application/json", &value.to_string()))
}

fn arguments(request: &Request) -> Option<Map<String, Value>> {
    if request.body.is_empty() {
        return Some(Map::new());
    }
    serde_json::from_slice(&request.body).ok()
}

#[derive(Deserialize)]
struct Force {
    failure: Failure,
    #[serde(default = "once")]
    times: u32,
    /// End of the path of the requests that are meant; all when empty.
    #[serde(default)]
    at: String,
}

fn once() -> u32 {
    1
}

fn act<S: System>(action: &str, arguments: Map<String, Value>, shared: &Shared<S>) -> Option<Value> {
    match action {
        "force" => {
            let force: Force = serde_json::from_value(Value::Object(arguments)).ok()?;
            shared.force(force.failure, force.times, &force.at);
            Some(json!({}))
        }
        "advance" => {
            shared.system.clock().advance(Duration::from_secs(arguments.get("seconds")?.as_u64()?));
            Some(json!({}))
        }
        "requests" => Some(shared.requests().iter().map(shown).collect()),
        _ => shared.system.control(action, &arguments),
    }
}

fn shown(seen: &Seen) -> Value {
    json!({
        "at": seen.at.as_secs_f64(),
        "method": seen.request.method.as_str(),
        "path": seen.request.path,
        "query": seen.request.query,
        "body": String::from_utf8_lossy(&seen.request.body),
    })
}
