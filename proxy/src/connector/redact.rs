//! Which arguments of a tool are nobody's to read afterwards: what its input schema marks as `writeOnly` or `x-ferrata-redact`.
//!
//! Found once, when the schema is loaded. Where a schema has several ways to be kept (`anyOf`, patterns of names), what one of them hides is hidden:
//! this errs towards hiding too much.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What stands for a hidden value.
const REDACTED: &str = "[redacted]";

/// Keywords that hide a value when they are `true`: JSON Schema's own, and one for what is no secret to the schema's readers.
const MARKS: [&str; 2] = ["writeOnly", "x-ferrata-redact"];

/// Keywords under which further schemas for the same value stand, alone or several.
const SAME_VALUE: [&str; 8] = ["allOf", "anyOf", "oneOf", "if", "then", "else", "not", "dependentSchemas"];

/// Keywords whose schemas are about members that have no name of their own.
const ANY_MEMBER: [&str; 3] = ["additionalProperties", "patternProperties", "unevaluatedProperties"];

/// Keywords whose schemas are about items.
const ANY_ITEM: [&str; 5] = ["items", "prefixItems", "additionalItems", "contains", "unevaluatedItems"];

/// Of all of these, those that hold schemas by a name.
const BY_NAME: [&str; 2] = ["patternProperties", "dependentSchemas"];

/// What to hide in the arguments of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction(Node);

/// What to hide in one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    all: bool,
    members: BTreeMap<String, Node>,
    /// In members whose names the schema does not say.
    any_member: Option<Box<Node>>,
    any_item: Option<Box<Node>>,
}

impl Redaction {
    /// Of a schema that was checked: its references stay within it and do not lead back to themselves.
    pub fn of(schema: &Value) -> Self {
        let mut node = Node::default();
        Reader { root: schema, behind: HashSet::new() }.read(schema, &mut node);
        Self(node.pruned())
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The arguments on one line, without what is to be hidden.
    pub fn apply(&self, arguments: &RawValue) -> String {
        if self.is_empty() {
            return on_one_line(arguments.get());
        }
        match serde_json::from_str::<Value>(arguments.get()) {
            Ok(mut value) => {
                self.0.hide(&mut value);
                value.to_string()
            }
            // Not reached: it is JSON already.
            Err(_) => Value::from(REDACTED).to_string(),
        }
    }
}

/// Line breaks in JSON stand only between its parts.
fn on_one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.all && self.members.is_empty() && self.any_member.is_none() && self.any_item.is_none()
    }

    /// Without what hides nothing.
    fn pruned(mut self) -> Self {
        let prune = |node: Option<Box<Self>>| {
            let node = node.map(|node| Box::new(node.pruned()));
            node.filter(|node| !node.is_empty())
        };
        (self.any_member, self.any_item) = (prune(self.any_member), prune(self.any_item));
        let members = std::mem::take(&mut self.members).into_iter();
        self.members =
            members.map(|(name, node)| (name, node.pruned())).filter(|(_, node)| !node.is_empty()).collect();
        self
    }

    fn hide(&self, value: &mut Value) {
        if self.all {
            *value = REDACTED.into();
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let nodes = self.members.get(name).into_iter().chain(self.any_member.as_deref());
                    nodes.for_each(|node| node.hide(member));
                }
            }
            Value::Array(items) => {
                if let Some(node) = &self.any_item {
                    items.iter_mut().for_each(|item| node.hide(item));
                }
            }
            _ => {}
        }
    }
}

/// Follows a schema.
struct Reader<'a> {
    root: &'a Value,
    /// References that are being followed.
    behind: HashSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, schema: &'a Value, into: &mut Node) {
        let Value::Object(keywords) = schema else { return };
        into.all |= MARKS.iter().any(|mark| keywords.get(*mark) == Some(&Value::Bool(true)));
        self.follow_reference(keywords, into);
        for (keyword, below) in keywords {
            match keyword.as_str() {
                "properties" => self.read_members(below, into),
                name if SAME_VALUE.contains(&name) => self.read_each(name, below, into),
                name if ANY_MEMBER.contains(&name) => {
                    self.read_each(name, below, into.any_member.get_or_insert_default());
                }
                name if ANY_ITEM.contains(&name) => {
                    self.read_each(name, below, into.any_item.get_or_insert_default());
                }
                _ => {}
            }
        }
    }

    fn read_members(&mut self, members: &'a Value, into: &mut Node) {
        for (name, schema) in members.as_object().into_iter().flatten() {
            self.read(schema, into.members.entry(name.clone()).or_default());
        }
    }

    /// What stands under a keyword: a schema, or several.
    fn read_each(&mut self, keyword: &str, below: &'a Value, into: &mut Node) {
        match below {
            Value::Array(schemas) => schemas.iter().for_each(|schema| self.read(schema, into)),
            Value::Object(schemas) if BY_NAME.contains(&keyword) => {
                schemas.values().for_each(|schema| self.read(schema, into));
            }
            schema => self.read(schema, into),
        }
    }

    fn follow_reference(&mut self, keywords: &'a Map<String, Value>, into: &mut Node) {
        let Some(reference) = keywords.get("$ref").and_then(Value::as_str) else { return };
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        // A schema that was checked has no circles; this is the second line of defence.
        if let Some(target) = target.filter(|_| self.behind.insert(reference)) {
            self.read(target, into);
            self.behind.remove(reference);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(schema: &Value, arguments: &Value) -> Value {
        let raw = RawValue::from_string(format!("{arguments:#}")).unwrap();
        let text = Redaction::of(schema).apply(&raw);
        assert!(!text.contains('\n'), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_marked_is_hidden_however_deep() {
        let schema = json!({
            "type": "object",
            "properties": {
                "login": { "$ref": "#/$defs/login" },
                "cards": { "type": "array", "items": { "properties": { "number": { "writeOnly": true } } } },
                "pair": { "prefixItems": [{}, { "x-ferrata-redact": true }] },
                "note": { "writeOnly": false },
            },
            "$defs": { "login": { "properties": { "password": { "type": "string", "writeOnly": true } } } },
        });
        let arguments = json!({
            "login": { "user": "ann", "password": "hunter2" },
            "cards": [{ "number": "4111", "name": "Ann" }, { "number": { "deep": "4222" } }],
            "pair": ["a", "b"],
            "note": "n",
        });
        let shown = applied(&schema, &arguments);
        assert_eq!(shown["login"], json!({ "user": "ann", "password": REDACTED }));
        assert_eq!(shown["cards"], json!([{ "number": REDACTED, "name": "Ann" }, { "number": REDACTED }]));
        assert_eq!(shown["pair"], json!([REDACTED, REDACTED]));
        assert_eq!(shown["note"], "n");
    }

    #[test]
    fn what_one_of_several_ways_hides_is_hidden() {
        let secret = json!({ "properties": { "key": { "writeOnly": true } } });
        for schema in [
            json!({ "anyOf": [{}, secret] }),
            json!({ "allOf": [{ "oneOf": [secret] }] }),
            json!({ "if": {}, "then": secret }),
            json!({ "dependentSchemas": { "other": secret } }),
            json!({ "additionalProperties": { "writeOnly": true } }),
            json!({ "patternProperties": { "^k": { "writeOnly": true } } }),
        ] {
            assert_eq!(applied(&schema, &json!({ "key": "s" })), json!({ "key": REDACTED }), "{schema}");
        }
        assert_eq!(applied(&json!({ "writeOnly": true }), &json!({ "key": "s" })), REDACTED);
    }

    #[test]
    fn a_schema_without_marks_costs_nothing() {
        let schema = json!({ "properties": { "a": { "items": { "properties": { "b": {} } } } } });
        assert!(Redaction::of(&schema).is_empty());
        assert_eq!(applied(&schema, &json!({ "a": [{ "b": "x\ny" }] })), json!({ "a": [{ "b": "x\ny" }] }));
    }
}
