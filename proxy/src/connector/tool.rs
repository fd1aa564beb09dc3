//! A tool as its connector declares it: judged once, at load.

use jsonschema::Validator;
use serde_json::Value;
use serde_json::value::RawValue;

use super::bindings::tools;
use super::convert::effect;
use super::schema;
use crate::egress::operation::{Effect, Operations};
use crate::fault::{Fault, FaultKind, quotable};

/// Longest name that every model vendor accepts, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Most tools of one connector.
const MAX_TOOLS: usize = 512;

/// Largest schema or description, in bytes.
const MAX_TEXT_BYTES: usize = 128 << 10;

/// The member of a schema that asks for an argument to be repeated in a header.
const HEADER_WISH: &str = "x-mcp-header";

/// One tool of one connector.
#[derive(Debug)]
pub struct ToolSpec {
    /// As the connector calls it.
    pub name: String,
    pub effect: Effect,
    /// The MCP definition, rendered: name, title, description, schemas, annotations.
    pub definition: Box<RawValue>,
    pub input: Validator,
    output: Validator,
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
        let texts = [&tool.title, &tool.description, &tool.input_schema, &tool.output_schema];
        if texts.iter().any(|t| t.len() > MAX_TEXT_BYTES) {
            return Err(format!("a text of more than {MAX_TEXT_BYTES} bytes"));
        }
        if !operations.has_label(&tool.first_operation) {
            return Err(format!("its first operation `{}` is not in the manifest", tool.first_operation));
        }
        let effect = effect(tool.effect);
        let (input, mut input_schema) =
            object_schema(&tool.input_schema).map_err(|e| format!("input schema: {e}"))?;
        drop_header_wishes(&mut input_schema);
        let (output, output_schema) =
            object_schema(&tool.output_schema).map_err(|e| format!("output schema: {e}"))?;
        let definition = serde_json::json!({
            "name": format!("{connector}_{}", tool.name),
            "title": tool.title,
            "description": tool.description,
            "inputSchema": input_schema,
            "outputSchema": output_schema,
            "annotations": {
                "readOnlyHint": effect == Effect::Read,
                "destructiveHint": effect == Effect::Destructive,
                "idempotentHint": effect.is_repeatable(),
                "openWorldHint": true,
            },
        });
        let definition = serde_json::value::to_raw_value(&definition).map_err(|e| e.to_string())?;
        Ok(Self { name: tool.name, effect, definition, input, output })
    }

    /// A result, if it is JSON and keeps what the output schema promises.
    pub fn accept(&self, connector: &str, json: String, bound: usize) -> Result<Box<RawValue>, Fault> {
        let broken = |kind, why: String| {
            Fault::new(
                kind,
                format!("The connector `{connector}` broke the promise of `{}`: {why}.", self.name),
            )
        };
        if json.len() > bound {
            let why = format!("a result of {} bytes; at most {bound}", json.len());
            return Err(broken(FaultKind::ConnectorFailed, why));
        }
        let value: Value = serde_json::from_str(&json)
            .map_err(|e| broken(FaultKind::ConnectorFailed, format!("the result is not JSON ({e})")))?;
        if let Err(error) = self.output.validate(&value) {
            // What the value is belongs to whoever owns it, not to a message.
            let path = quotable(&error.instance_path().to_string());
            let what = quotable(&error.masked().to_string());
            return Err(broken(FaultKind::SchemaMismatch, format!("at `{path}`: {what}")).with_path(path));
        }
        RawValue::from_string(json).map_err(Fault::internal)
    }
}

/// Whether a tool of that connector can have that name; the error is a sentence's end.
pub fn check_name(connector: &str, name: &str) -> Result<(), String> {
    let words = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !words {
        return Err("a tool's name is made of a-z, 0-9 and `_`".to_owned());
    }
    let full = connector.len() + 1 + name.len();
    if full > MAX_NAME_BYTES {
        return Err(format!("`{connector}_{name}` has {full} characters; models accept {MAX_NAME_BYTES}"));
    }
    Ok(())
}

/// An MCP schema can ask clients to repeat an argument in an HTTP header, for intermediaries to route by. Nothing stands in
/// front of a sidecar to do so, and what is repeated would have to be compared: the wish is not passed on.
fn drop_header_wishes(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // A property may have that name; its schema is no string.
            if members.get(HEADER_WISH).is_some_and(Value::is_string) {
                members.remove(HEADER_WISH);
            }
            members.values_mut().for_each(drop_header_wishes);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_header_wishes),
        _ => {}
    }
}

/// The compiled schema and its JSON; MCP wants schemas of objects.
fn object_schema(text: &str) -> Result<(Validator, Value), String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if value.get("type") != Some(&Value::from("object")) {
        return Err("`type` must be `object`".to_owned());
    }
    Ok((schema::compile(&value)?, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_asks_for_no_headers_and_keeps_everything_else() {
        let region = |wish: Option<&str>| {
            let mut region = json!({"type": "string", "const": "x"});
            if let Some(wish) = wish {
                region[HEADER_WISH] = wish.into();
            }
            json!({"type": "object", "properties": {"region": region, HEADER_WISH: {"type": "string"}}})
        };
        let mut schema = region(Some("Region"));
        drop_header_wishes(&mut schema);
        assert_eq!(schema, region(None));
    }
}
