//! A tool as its connector declares it: judged once, at load. What it answers is `answer`'s to judge.

use jsonschema::Validator;
use serde_json::Value;
use serde_json::value::RawValue;

use super::bindings::tools;
use super::convert::effect;
use super::mirror::{self, Mirror};
use super::redact::Redaction;
use super::schema;
use crate::egress::operation::{Effect, Operations};

/// Longest name that every model vendor accepts, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Most tools of one connector.
const MAX_TOOLS: usize = 512;

/// Most calls that are handed to a connector at once: what the largest batches of the common systems take.
const MAX_BATCH: usize = 256;

/// Largest schema or description, in bytes.
const MAX_TEXT_BYTES: usize = 128 << 10;

/// One tool of one connector.
#[derive(Debug)]
pub struct ToolSpec {
    /// As the connector calls it.
    pub name: String,
    pub effect: Effect,
    /// The MCP definition, rendered: name, title, description, schemas, annotations.
    pub definition: Box<RawValue>,
    /// What its calls' first request is, by its label in the manifest.
    pub first_operation: String,
    /// How many of its calls the connector takes at once; 1 if it does not batch.
    pub max_batch: usize,
    pub input: Validator,
    /// What of the arguments is nobody's to read afterwards.
    pub redaction: Redaction,
    /// Arguments that clients repeat in headers.
    pub mirrors: Vec<Mirror>,
    /// None if the tool promises no object.
    pub(super) output: Option<Validator>,
}

impl ToolSpec {
    /// Judges everything that `list-tools` returned, under the connector's name.
    pub fn all(
        connector: &str,
        tools: Vec<tools::Tool>,
        operations: &Operations,
    ) -> Result<Vec<Self>, String> {
        if tools.len() > MAX_TOOLS {
            return Err(format!("it has {} tools; at most {MAX_TOOLS}", tools.len()));
        }
        let mut specs: Vec<Self> = Vec::with_capacity(tools.len());
        for tool in tools {
            let name = tool.name.clone();
            let spec =
                Self::new(connector, tool, operations).map_err(|e| format!("its tool `{name}`: {e}"))?;
            if specs.iter().any(|s| s.name == name) {
                return Err(format!("it has two tools `{name}`"));
            }
            specs.push(spec);
        }
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(specs)
    }

    fn new(connector: &str, tool: tools::Tool, operations: &Operations) -> Result<Self, String> {
        check_name(connector, &tool.name)?;
        let texts =
            [&tool.title, &tool.description, &tool.input_schema].into_iter().chain(&tool.output_schema);
        if texts.into_iter().any(|t| t.len() > MAX_TEXT_BYTES) {
            return Err(format!("a text of more than {MAX_TEXT_BYTES} bytes"));
        }
        if !operations.has_label(&tool.first_operation) {
            return Err(format!("its first operation `{}` is not in the manifest", tool.first_operation));
        }
        let effect = effect(tool.effect);
        let of_input = |e: String| format!("input schema: {e}");
        let (input, input_schema) = object_schema(&tool.input_schema).map_err(of_input)?;
        let mirrors = mirror::find(&input_schema).map_err(of_input)?;
        let redaction = Redaction::of(&input_schema);
        let output = tool.output_schema.as_deref().map(object_schema).transpose();
        let (output, output_schema) = output.map_err(|e| format!("output schema: {e}"))?.unzip();
        let mut definition = serde_json::json!({
            "name": format!("{connector}_{}", tool.name),
            "title": tool.title,
            "description": tool.description,
            "inputSchema": input_schema,
            "annotations": {
                "readOnlyHint": effect == Effect::Read,
                "destructiveHint": effect == Effect::Destructive,
                "idempotentHint": effect.is_repeatable(),
                "openWorldHint": true,
            },
        });
        if let Some(schema) = output_schema {
            definition["outputSchema"] = schema;
        }
        let definition = serde_json::value::to_raw_value(&definition).map_err(|e| e.to_string())?;
        let (name, first_operation) = (tool.name, tool.first_operation);
        let max_batch = usize::try_from(tool.max_batch).unwrap_or(MAX_BATCH).min(MAX_BATCH);
        Ok(Self { name, effect, definition, first_operation, max_batch, input, redaction, mirrors, output })
    }

    /// The JSON Schema of its results; none if it promises nothing about them.
    pub fn output_schema(&self) -> Option<Value> {
        let mut definition: Value = serde_json::from_str(self.definition.get()).ok()?;
        definition.get_mut("outputSchema").map(Value::take)
    }
}

/// Whether a tool or a prompt of that connector can have that name; the error is a sentence's end.
pub fn check_name(connector: &str, name: &str) -> Result<(), String> {
    let words = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !words {
        return Err("its name must be made of a-z, 0-9 and `_`".to_owned());
    }
    let full = connector.len() + 1 + name.len();
    if full > MAX_NAME_BYTES {
        return Err(format!("`{connector}_{name}` has {full} characters; models accept {MAX_NAME_BYTES}"));
    }
    Ok(())
}

/// The compiled schema and its JSON; MCP wants schemas of objects.
fn object_schema(text: &str) -> Result<(Validator, Value), String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if value.get("type") != Some(&Value::from("object")) {
        return Err("`type` must be `object`".to_owned());
    }
    Ok((schema::compile(&value)?, value))
}
