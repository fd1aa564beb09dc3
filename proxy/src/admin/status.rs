//! What goes on, as JSON and as a page.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::egress::account::Account;
use crate::gate::{Gate, Slot};
use crate::memory;

/// The state of every connector, and of the walls in front of its upstreams.
pub fn status(gate: Option<&Arc<Gate>>, accounts: &[Arc<Account>], draining: bool) -> Value {
    let connectors: serde_json::Map<_, _> = gate
        .map(|gate| {
            gate.catalog().slots().iter().map(|(name, slot)| (name.clone(), connector(slot))).collect()
        })
        .unwrap_or_default();
    let (held, limit) = memory::PROCESS.usage();
    json!({
        "ferrata": env!("CARGO_PKG_VERSION"),
        "state": match (gate, draining) { (_, true) => "draining", (None, _) => "loading", _ => "ready" },
        "configuration_problem": gate.and_then(|g| g.problem()).map(|p| p.to_string()),
        "memory": { "held_bytes": held, "limit_bytes": limit },
        "audit": gate.map(|gate| gate.audit().status()),
        "connectors": connectors,
        "accounts": accounts.iter().map(|account| account.status()).collect::<Vec<_>>(),
    })
}

/// Brings the gauges of all credentials up to date.
pub fn measure(gate: &Gate) {
    for (name, slot) in gate.catalog().slots() {
        if let Some(connector) = slot.connector() {
            connector.credentials().measure(name);
        }
    }
}

fn connector(slot: &Slot) -> Value {
    match slot {
        Slot::Ready { connector, problem } => json!({
            "state": "ready",
            "generation": connector.generation,
            "newer_refused": problem,
            "component": connector.manifest.name,
            "version": connector.manifest.version,
            "tools": connector.tools.iter().map(|t| format!("{}_{}", connector.name, t.name)).collect::<Vec<_>>(),
            "resources": connector.resources.iter().map(|r| &r.uri).collect::<Vec<_>>(),
            "prompts": connector.prompts.iter().map(|p| &p.full_name).collect::<Vec<_>>(),
            "sandboxes_in_use": connector.sandboxes_in_use(),
            "credentials": connector.credentials().status(),
            "credential_problems": connector.credential_problems(),
        }),
        Slot::Broken(reason) => json!({ "state": "unavailable", "reason": reason }),
    }
}

/// The same for a person.
pub fn page(status: &Value) -> String {
    let mut rows = String::new();
    for (name, connector) in status["connectors"].as_object().into_iter().flatten() {
        let state = connector["state"].as_str().unwrap_or_default();
        let what = match connector["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => {
                let tools = connector["tools"].as_array().map_or(0, Vec::len);
                let (component, version) = (&connector["component"], &connector["version"]);
                format!(
                    "{} {}, {tools} tools",
                    component.as_str().unwrap_or(""),
                    version.as_str().unwrap_or("")
                )
            }
        };
        let _ = write!(rows, "<tr class={state}><th>{}<td>{state}<td>{}", escape(name), escape(&what));
    }
    let walls: String = status["accounts"].as_array().into_iter().flatten().map(account).collect();
    let state = status["state"].as_str().unwrap_or_default();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Ferrata</title><style>{STYLE}</style>\
         <h1>Ferrata <small>{state}</small></h1><table><tr><th>connector<th>state<th>{rows}</table>\
         <table><tr><th>account<th>wall<th>used<th>until{walls}</table><pre>{}</pre>",
        escape(&format!("{status:#}"))
    )
}

/// The walls of one account, its breakers that are not closed, and who waits: a row each.
fn account(account: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => escape(text),
        other => escape(&other.to_string()),
    };
    let name = format!("{} {}", text(&account["account"]), text(&account["upstream"]));
    let mut rows = String::new();
    for wall in account["walls"].as_array().into_iter().flatten() {
        let about = [&wall["operation"], &wall["resource"], &wall["wall"]].map(text).join(" ");
        let until = match (&wall["closed_until"], &wall["exhausted_at"]) {
            (Value::Null, Value::Null) => String::new(),
            (Value::Null, at) => format!("exhausted at {}", text(at)),
            (at, _) => format!("closed until {}", text(at)),
        };
        let (used, limit) = (text(&wall["used"]), text(&wall["limit"]));
        let _ = write!(rows, "<tr><th>{name}<td>{about}<td>{used} of {limit}<td>{until}");
    }
    let breakers = account["breakers"].as_array().into_iter().flatten();
    for breaker in breakers.filter(|breaker| breaker["state"] != "closed") {
        let [operation, state, reason, next] =
            ["operation", "state", "reason", "next_probe_at"].map(|member| text(&breaker[member]));
        let _ = write!(
            rows,
            "<tr class=unavailable><th>{name}<td>{operation}<td>breaker {state}: {reason}<td>next probe at {next}"
        );
    }
    let waiting = text(&account["waiting"]["calls"]);
    let _ = write!(rows, "<tr><th>{name}<td>waiting<td>{waiting}<td>");
    rows
}

const STYLE: &str = "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    th,td{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top}small{color:#666}\
    .unavailable td{color:#b00}pre{background:#f5f5f5;padding:1rem;overflow:auto}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_says_is_escaped_on_the_page() {
        let status =
            json!({"state": "ready", "connectors": {"crm": {"state": "unavailable", "reason": "<script>"}}});
        assert!(!page(&status).contains("<script>"));
    }
}
