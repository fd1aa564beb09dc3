//! JSON Schemas from types, in the form that models read best: one document without references, no titles made of type names,
//! no formats that only Rust knows.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// What `JsonSchema::json_schema` is, for some type.
type Describe = fn(&mut SchemaGenerator) -> Schema;

/// The schema of what is passed in.
pub(crate) fn input<T: JsonSchema>() -> Value {
    generate(settings().for_deserialize(), T::json_schema)
}

/// The schema of what comes out.
pub(crate) fn output<T: JsonSchema>() -> Value {
    generate(settings().for_serialize(), T::json_schema)
}

/// Takes a type's documentation out of its schema.
pub(crate) fn take_description(schema: &mut Value) -> Option<String> {
    match schema.as_object_mut()?.remove("description")? {
        Value::String(description) => Some(description),
        _ => None,
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

/// Not generic, so that a component has it once and not once for each type.
fn generate(settings: SchemaSettings, describe: Describe) -> Value {
    let dialect = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let mut schema = describe(&mut generator);
    // An empty struct has no `type` of its own to say so.
    schema.insert("type".to_owned(), "object".into());
    schema.insert("$schema".to_owned(), dialect.into());
    // Types that contain themselves cannot be written in place.
    let definitions: Map<String, Value> = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Readable.transform(&mut schema);
    schema.to_value()
}

#[derive(Clone, Debug)]
struct Readable;

impl Transform for Readable {
    fn transform(&mut self, schema: &mut Schema) {
        // `true`, for anything: some readers know schemas only as objects.
        if schema.as_bool() == Some(true) {
            schema.ensure_object();
        }
        schema.remove("title");
        // Left out and null are the same to a reader.
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::String(description)) = schema.get_mut("description") {
            *description = unwrapped(description);
        }
        if schema.get("format").and_then(Value::as_str).is_some_and(is_rusts_own) {
            schema.remove("format");
        }
        transform_subschemas(self, schema);
    }
}

/// Paragraphs on one line each: where a line of source ended says nothing to a model.
fn unwrapped(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        let starts_anew = line.is_empty() || line.starts_with(['-', '*', '|', '#']);
        if !unwrapped.is_empty() {
            unwrapped.push(if starts_anew || unwrapped.ends_with('\n') { '\n' } else { ' ' });
        }
        unwrapped.push_str(line);
    }
    unwrapped
}

/// `int32`, `uint`, `double` and the like.
fn is_rusts_own(format: &str) -> bool {
    format.starts_with("int") || format.starts_with("uint") || matches!(format, "double" | "float")
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    /// Finds things.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Find {
        /// How many.
        #[serde(default)]
        limit: u32,
        place: Option<Place>,
        anything: Value,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Place {
        /// Degrees.
        latitude: f64,
    }

    #[test]
    fn a_schema_is_one_document_in_words_that_everybody_knows() {
        let mut schema = input::<Find>();
        assert_eq!(take_description(&mut schema).as_deref(), Some("Finds things."));
        let place = json!({ "type": ["object", "null"], "required": ["latitude"],
            "properties": { "latitude": { "type": "number", "description": "Degrees." } } });
        let expected = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "limit": { "type": "integer", "minimum": 0, "default": 0, "description": "How many." },
                "place": place,
                "anything": {},
            },
            "required": ["anything"],
            "additionalProperties": false,
        });
        assert_eq!(schema, expected);
    }

    #[derive(Serialize, JsonSchema)]
    struct Reply {
        text: String,
        replies: Vec<Reply>,
    }

    #[test]
    fn a_description_is_wrapped_by_whoever_shows_it() {
        for (text, expected) in [
            ("One\nsentence.", "One sentence."),
            ("First.\n\nSecond\nparagraph.", "First.\n\nSecond paragraph."),
            ("Kinds:\n- one\n- two\n  and a half", "Kinds:\n- one\n- two and a half"),
        ] {
            assert_eq!(unwrapped(text), expected);
        }
    }

    #[test]
    fn a_type_within_itself_is_a_reference() {
        let schema = output::<Reply>();
        assert_eq!(schema["$defs"]["Reply"]["properties"]["text"]["type"], "string");
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let nested = |text: Value| json!({ "text": "a", "replies": [{ "text": "b", "replies": [{ "text": text, "replies": [] }] }] });
        assert!(validator.is_valid(&nested("c".into())) && !validator.is_valid(&nested(7.into())));
    }
}
