//! What the host checks when it loads a component.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde_json::Value;

use crate::bindings::base::exports::ferrata::connector::tools::Tool;
use crate::connector::Connector;

/// The manifest's schema, as the host has it.
const MANIFEST_SCHEMA: &str = include_str!("../../../wit/manifest.schema.json");

/// Longest description that a tool may have, in characters: a model reads it at every turn.
const MAX_DESCRIPTION: usize = 2000;

/// Checks the manifest and the tools as the host does when it loads the component.
///
/// # Panics
/// With a sentence that says what is wrong.
pub fn check<S: JsonSchema, L>(connector: &Connector<S, L>) {
    let manifest = parse("the manifest", &connector.manifest());
    conforms("the manifest", &parse("the manifest's schema", MANIFEST_SCHEMA), &manifest);
    let upstreams = names(&manifest, "upstreams", "name");
    let labels = names(&manifest, "operations", "label");
    for operation in members(&manifest, "operations") {
        let upstream = text(operation, "upstream");
        assert!(
            upstreams.contains(upstream),
            "operation {}: no upstream {upstream:?}",
            text(operation, "label")
        );
    }
    for credential in members(&manifest, "credentials") {
        for upstream in members(credential, "upstreams").iter().filter_map(Value::as_str) {
            assert!(
                upstreams.contains(upstream),
                "credential {}: no upstream {upstream:?}",
                text(credential, "name")
            );
        }
    }
    let mut seen = HashSet::new();
    for tool in connector.tools() {
        check_tool(&tool, &labels);
        assert!(seen.insert(tool.name.clone()), "there are two tools {:?}", tool.name);
    }
}

fn check_tool(tool: &Tool, labels: &HashSet<String>) {
    let name = &tool.name;
    let spelled = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    assert!(spelled && (1..=48).contains(&name.len()), "tool {name:?}: a name is 1 to 48 of a-z, 0-9 and _");
    assert!(!tool.description.is_empty(), "tool {name}: no description (document its input type)");
    let length = tool.description.chars().count();
    assert!(length <= MAX_DESCRIPTION, "tool {name}: a description of {length} characters");
    assert!(labels.contains(&tool.first_operation), "tool {name}: no operation {:?}", tool.first_operation);
    assert!(tool.max_batch >= 1, "tool {name}: a batch of none");
    let output = tool.output_schema.iter().map(|schema| ("output", schema));
    for (what, schema) in output.chain([("input", &tool.input_schema)]) {
        let what = format!("the {what} schema of tool {name}");
        let schema = parse(&what, schema);
        if let Err(error) = jsonschema::draft202012::new(&schema) {
            panic!("{what}: {error}");
        }
    }
}

/// Panics unless `value` satisfies `schema`.
pub(super) fn conforms(what: &str, schema: &Value, value: &Value) {
    if let Some(problem) = violation(what, schema, value) {
        panic!("{problem}");
    }
}

/// How `value` violates `schema`.
pub(super) fn violation(what: &str, schema: &Value, value: &Value) -> Option<String> {
    let validator = match jsonschema::draft202012::new(schema) {
        Ok(validator) => validator,
        Err(error) => return Some(format!("the schema of {what}: {error}")),
    };
    let error = validator.iter_errors(value).next()?;
    Some(format!("{what} at {:?}: {error}", error.instance_path().to_string()))
}

pub(super) fn parse(what: &str, json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{what} is no JSON: {error}"))
}

pub(super) fn members<'a>(value: &'a Value, list: &str) -> &'a [Value] {
    value.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn names(manifest: &Value, list: &str, member: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    for item in members(manifest, list) {
        let name = text(item, member);
        assert!(names.insert(name.to_owned()), "the manifest has two {list} {name:?}");
    }
    names
}
