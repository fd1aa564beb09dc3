//! A connector that misbehaves on request: each tool does one thing that the host must withstand or refuse.
//!
//! Written against the bare interface, without the SDK, which would not let it do most of this.

#![deny(unsafe_code)]
#![allow(clippy::result_large_err, reason = "the interface's own fault, which every function here returns")]

mod answers;
mod batch;
mod misdeeds;
mod offers;

use serde_json::{Value, json};

use bindings::exports::ferrata::connector::manifest::Guest as Manifest;
use bindings::exports::ferrata::connector::tools::{Answer, Guest as Tools, Invocation, Tool};
use bindings::ferrata::connector::types::{Effect, Fault, FaultKind};

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "package ferrata:probe; world probe {
            include ferrata:connector/connector-with-resources@0.1.0;
            include ferrata:connector/connector-with-prompts@0.1.0;
        }",
        world: "ferrata:probe/probe",
        generate_all,
    });
    use super::Probe;
    export!(Probe);
}

struct Probe;

impl Manifest for Probe {
    fn describe() -> String {
        json!({
            "name": "probe",
            "version": "0.1.0",
            "description": "Misbehaves on request",
            "settings": {
                "type": "object",
                "properties": { "list": { "type": "string" } },
                "additionalProperties": false,
            },
            "upstreams": [{ "name": "api", "kind": "http" }, { "name": "other", "kind": "http" }],
            "credentials": [{ "name": "bot", "fields": [{ "name": "token" }], "upstreams": ["api"] }],
            "operations": [
                { "label": "read", "upstream": "api", "method": "GET", "path": "/read/{path...}", "effect": "read" },
                { "label": "write", "upstream": "api", "method": "POST", "path": "/write", "effect": "write" },
                { "label": "elsewhere", "upstream": "other", "method": "GET", "path": "/read/{path...}", "effect": "read" },
            ],
        })
        .to_string()
    }
}

impl Tools for Probe {
    fn list_tools() -> Result<Vec<Tool>, Fault> {
        let misdeeds = misdeeds::ALL.iter().map(|(name, description, _)| tool(name, description, true));
        let others = answers::ALL.iter().map(answers::Deed::tool).chain([batch::definition()]);
        Ok(misdeeds.chain(others).collect())
    }

    fn call(tool: String, invocations: Vec<Invocation>) -> Vec<Result<Answer, Fault>> {
        if tool == batch::NAME {
            return batch::collect(&invocations);
        }
        let misdeed = misdeeds::ALL.iter().find(|(name, ..)| *name == tool);
        let answer = answers::ALL.iter().find(|deed| deed.name == tool);
        let run = |invocation: &Invocation| match (misdeed, answer) {
            (Some((.., deed)), _) => deed(&invocation.arguments).map(Answer::Object),
            (None, Some(deed)) => (deed.run)(invocation),
            (None, None) => Err(fault(FaultKind::NotFound, "no such tool")),
        };
        invocations.iter().map(run).collect()
    }
}

fn tool(name: &str, description: &str, promises: bool) -> Tool {
    let output =
        json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    Tool {
        name: name.to_owned(),
        title: name.to_owned(),
        description: description.to_owned(),
        input_schema: input().to_string(),
        output_schema: promises.then(|| output.to_string()),
        effect: if name == "write" { Effect::Write } else { Effect::Read },
        first_operation: if name == "write" { "write" } else { "read" }.to_owned(),
        max_batch: 1,
    }
}

/// Any object, in which one member is a secret.
fn input() -> Value {
    let login =
        json!({ "type": "object", "properties": { "password": { "type": "string", "writeOnly": true } } });
    json!({ "type": "object", "properties": { "login": { "type": "array", "items": login } } })
}

fn fault(kind: FaultKind, message: &str) -> Fault {
    Fault {
        kind,
        message: message.to_owned(),
        code: None,
        path: None,
        retry_after_ms: None,
        ticket: None,
        details: None,
    }
}

/// A member of the arguments.
fn argument(arguments: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(arguments).map(|mut value| value[name].take()).unwrap_or_default()
}
