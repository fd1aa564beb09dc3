//! The tools that the official MCP conformance suite calls, as far as a connector can have them. Their names are the suite's, once
//! the connector's name is before them: it is configured as `test` and, for a tool that the suite calls otherwise, as `json`.

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
}

ferrata_sdk::export!(connector);
