//! JSON Schemas that a guest wrote: no remote references, regular expressions in linear time, and bounded work for every value.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Most nodes of a schema when every reference is written out. What validates a value looks at each of them at most once for each
/// part of the value, so this bounds the work; real tools have some hundreds.
const MAX_UNFOLDED_NODES: u64 = 20_000;

/// Deepest nesting of a schema with its references written out.
const MAX_DEPTH: usize = 64;

/// Compiles an untrusted schema; the error is a sentence.
pub fn compile(schema: &Value) -> Result<Validator, String> {
    if !schema.is_object() {
        return Err("a schema must be an object".to_owned());
    }
    let nodes = Unfolding { root: schema, known: HashMap::new() }.nodes(schema, 0)?;
    if nodes > MAX_UNFOLDED_NODES {
        return Err(format!("with its references written out it has more than {MAX_UNFOLDED_NODES} nodes"));
    }
    // Built without any way to fetch: a remote `$ref` is an error here.
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|e| e.to_string())
}

/// Counts what a schema is with its references written out, without writing them out.
struct Unfolding<'a> {
    root: &'a Value,
    /// Nodes behind a reference; none while they are being counted.
    known: HashMap<&'a str, Option<u64>>,
}

impl<'a> Unfolding<'a> {
    fn nodes(&mut self, value: &'a Value, depth: usize) -> Result<u64, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH}"));
        }
        match value {
            Value::Object(members) => members.iter().try_fold(1, |sum: u64, (name, member)| {
                let nodes = match (name.as_str(), member) {
                    ("$ref", Value::String(reference)) => self.behind(reference, depth)?,
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                        return Err(format!("`{name}` is not supported"));
                    }
                    ("$id", Value::String(_)) if depth > 0 => {
                        return Err("`$id` inside a schema is not supported".to_owned());
                    }
                    _ => self.nodes(member, depth + 1)?,
                };
                Ok(sum.saturating_add(nodes))
            }),
            Value::Array(items) => items.iter().try_fold(1, |sum: u64, item| {
                self.nodes(item, depth + 1).map(|nodes| sum.saturating_add(nodes))
            }),
            _ => Ok(1),
        }
    }

    fn behind(&mut self, reference: &'a str, depth: usize) -> Result<u64, String> {
        match self.known.get(reference) {
            Some(Some(nodes)) => return Ok(*nodes),
            Some(None) => return Err(format!("the reference `{reference}` leads back to itself")),
            None => {}
        }
        let pointer = reference.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/'));
        let pointer = pointer.ok_or_else(|| {
            format!("the reference `{reference}` is not a place in the schema itself (`#/$defs/…`)")
        })?;
        let target = self.root.pointer(pointer).ok_or_else(|| format!("`{reference}` leads nowhere"))?;
        self.known.insert(reference, None);
        let nodes = self.nodes(target, depth + 1)?;
        self.known.insert(reference, Some(nodes));
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_remote_reference_is_refused() {
        assert!(compile(&json!({"$ref": "https://evil.example/schema"})).is_err());
        assert!(compile(&json!({"$ref": "file:///etc/passwd"})).is_err());
        assert!(compile(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}})).is_ok());
    }

    #[test]
    fn a_pattern_that_needs_backtracking_is_refused() {
        assert!(compile(&json!({"pattern": "^(?=a)b"})).is_err());
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let mut defs = json!({"a0": {"const": 1}});
        for i in 1..40 {
            let below = json!({"$ref": format!("#/$defs/a{}", i - 1)});
            defs[format!("a{i}")] = json!({"anyOf": [below, below]});
        }
        let bomb = json!({"$ref": "#/$defs/a20", "$defs": defs});
        assert!(compile(&bomb).unwrap_err().contains("written out"));
    }

    #[test]
    fn a_reference_to_itself_is_refused() {
        let list = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(compile(&list).unwrap_err().contains("itself"));
    }

    #[test]
    fn what_is_used_twice_is_not_a_bomb() {
        let schema = json!({
            "properties": {"from": {"$ref": "#/$defs/date"}, "to": {"$ref": "#/$defs/date"}},
            "$defs": {"date": {"type": "string", "format": "date"}},
        });
        assert!(compile(&schema).is_ok());
    }
}
