//! What a tool answered, checked as the host checks it.

use serde_json::{Value, json};

use super::check::{conforms, parse};
use crate::bindings::base::exports::ferrata::connector::tools as wire;
use crate::bindings::base::ferrata::connector::types;

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// An object that satisfies the tool's output schema.
    Object(Value),
    /// Content blocks, and the object beside them if there is one.
    Content {
        /// As MCP has them.
        blocks: Vec<Value>,
        /// Satisfies the tool's output schema, if it has one.
        object: Option<Value>,
    },
    /// A question.
    Question {
        /// MCP requests by their keys.
        requests: Value,
        /// What the connector wants to remember: pass it to [`Harness::inputs`].
        state: Option<String>,
    },
}

impl Answered {
    pub(super) fn question(question: types::Question) -> Self {
        let requests = parse("the question", &question.requests);
        conforms("the question", &requests_schema(), &requests);
        Self::Question { requests, state: question.state }
    }

    /// Panics if there is none.
    pub(super) fn into_object(self, tool: &str) -> Value {
        match self {
            Self::Object(object) | Self::Content { object: Some(object), .. } => object,
            other => panic!("{tool} returned no object: {other:?}"),
        }
    }
}

/// What the host lets pass.
pub(super) fn accept(output: Option<&Value>, answer: wire::Answer) -> Answered {
    let object = |json: &str| {
        let object = parse("the result", json);
        conforms("the result", output.unwrap_or(&json!({ "type": "object" })), &object);
        object
    };
    match answer {
        wire::Answer::Object(json) => Answered::Object(object(&json)),
        wire::Answer::Content(content) => {
            let structured = content.structured.as_deref().map(object);
            assert!(output.is_none() || structured.is_some(), "content without the object that was promised");
            let blocks = parse("the content", &content.blocks);
            conforms("the content", &blocks_schema(), &blocks);
            Answered::Content { blocks: blocks.as_array().cloned().unwrap_or_default(), object: structured }
        }
        wire::Answer::InputRequired(question) => Answered::question(question),
    }
}

/// Roughly what the host checks of content.
pub(super) fn blocks_schema() -> Value {
    let text = json!({ "type": "string" });
    let has = |members: &[&str]| {
        let properties: serde_json::Map<_, _> =
            members.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        json!({ "required": members, "properties": properties })
    };
    let kind = |kinds: Value, then: Value| json!({ "if": { "properties": { "type": { "enum": kinds } } }, "then": then });
    json!({ "type": "array", "minItems": 1, "maxItems": 256, "items": {
        "type": "object",
        "required": ["type"],
        "properties": { "type": { "enum": ["text", "image", "audio", "resource", "resource_link"] } },
        "allOf": [
            kind(json!(["text"]), has(&["text"])),
            kind(json!(["image", "audio"]), has(&["data", "mimeType"])),
            kind(json!(["resource_link"]), has(&["uri", "name"])),
            kind(json!(["resource"]), json!({
                "required": ["resource"],
                "properties": { "resource": { "allOf": [has(&["uri"])], "oneOf": [has(&["text"]), has(&["blob"])] } },
            })),
        ],
    } })
}

/// Roughly what the host checks of questions.
fn requests_schema() -> Value {
    let methods = ["elicitation/create", "sampling/createMessage", "roots/list"];
    let request =
        json!({ "type": "object", "required": ["method"], "properties": { "method": { "enum": methods } } });
    json!({ "type": "object", "maxProperties": 16, "additionalProperties": request })
}
