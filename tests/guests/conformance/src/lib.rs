//! The tools, resources and prompts that the official MCP conformance suite asks for, as far as a connector can have them. Their names are the suite's, once
//! the connector's name is before them: it is configured as `test` and, for a tool that the suite calls otherwise, as `json`.

mod asking;
mod content;
mod prompts;
mod resources;

use std::borrow::Cow;

use ferrata_sdk::prelude::*;
use ferrata_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

const READ: Operation = Operation::get("api", "read", "/read");

/// Returns what the system says.
#[input]
struct SimpleText {}

/// Always fails.
#[input]
struct ErrorHandling {}

/// Writes to the log.
#[input]
struct LoggingTool {}

/// Takes arguments that are repeated in headers.
#[input]
#[allow(dead_code, reason = "only their headers matter")]
struct CustomHeaders {
    #[schemars(extend("x-mcp-header" = "Region"))]
    region: String,
    #[serde(default)]
    #[schemars(extend("x-mcp-header" = "Urgent"))]
    urgent: bool,
}

#[data]
struct Text {
    text: String,
}

/// Arguments whose schema uses what few schemas use, and no derive writes.
#[answer]
struct Contact {}

impl JsonSchema for Contact {
    fn schema_name() -> Cow<'static, str> {
        "Contact".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Has a schema of many keywords.",
            "$defs": { "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            } },
            "properties": {
                "name": { "type": "string" },
                "address": { "$ref": "#/$defs/address" },
                "contactMethod": { "type": "string", "enum": ["phone", "email"] },
                "phone": { "type": "string" },
                "email": { "type": "string" },
            },
            "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
            "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
            "then": { "required": ["phone"] },
            "else": { "required": ["email"] },
            "additionalProperties": false,
        })
    }
}

fn read<I>(cx: &Cx<NoSettings>, _: I) -> Result<Text, Fault> {
    Ok(Text { text: cx.request(&READ).send()?.text() })
}

fn error_handling(_: &Cx<NoSettings>, _: ErrorHandling) -> Result<Text, Fault> {
    Err(Fault::rejected("This tool always fails."))
}

fn logging_tool(cx: &Cx<NoSettings>, input: LoggingTool) -> Result<Text, Fault> {
    log::error("A line for the operator, and not for the agent.");
    read(cx, input)
}

fn connector() -> Connector<NoSettings> {
    Connector::new("conformance", env!("CARGO_PKG_VERSION"))
        .describe("A system for the conformance suite.")
        .upstream(Upstream::http("api"))
        .tool(tool("simple_text", &READ, read::<SimpleText>))
        .tool(tool("error_handling", &READ, error_handling))
        .tool(tool("logging_tool", &READ, logging_tool))
        .tool(tool("schema_2020_12_tool", &READ, read::<Contact>))
        .tool(tool("custom_headers", &READ, read::<CustomHeaders>))
        .tool(tool("image_content", &READ, content::image))
        .tool(tool("audio_content", &READ, content::audio))
        .tool(tool("embedded_resource", &READ, content::resource))
        .tool(tool("multiple_content_types", &READ, content::mixed))
        .tool(tool("tool_with_progress", &READ, content::progress))
        .tool(tool("input_required_result_elicitation", &READ, asking::name))
        .tool(tool("input_required_result_sampling", &READ, asking::capital))
        .tool(tool("input_required_result_list_roots", &READ, asking::roots))
        .tool(tool("input_required_result_request_state", &READ, asking::remembering))
        .tool(tool("input_required_result_multiple_inputs", &READ, asking::everything))
        .tool(tool("input_required_result_multi_round", &READ, asking::twice))
        .tool(tool("input_required_result_tampered_state", &READ, asking::remembering))
        .tool(tool("input_required_result_capabilities", &READ, asking::what_is_possible))
        .tool(tool("missing_capability", &READ, asking::capital))
        .tool(tool("streaming_elicitation", &READ, asking::name))
}

ferrata_sdk::export!(connector, resources: resources::resources, prompts: prompts::prompts);
