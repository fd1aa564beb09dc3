//! JSON Schemas from types, in the form that models read best: one document without references, no titles made of type names,
//! no formats that only Rust knows.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The schema of what is passed in.
pub(crate) fn input<T: JsonSchema>() -> Value {
    generate::<T>(settings().for_deserialize())
}

/// The schema of what comes out.
pub(crate) fn output<T: JsonSchema>() -> Value {
    generate::<T>(settings().for_serialize())
}

/// Takes a type's documentation out of its schema.
pub(crate) fn take_description(schema: &mut Value) -> Option<String> {
    match schema.as_object_mut()?.remove("description")? {
        Value::String(description) => Some(description),
        _ => None,
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).with_transform(Readable)
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // An empty struct, or a connector without settings, has no `type` of its own to say so.
    schema.insert("type".to_owned(), "object".into());
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
        if schema.get("format").and_then(Value::as_str).is_some_and(is_rusts_own) {
            schema.remove("format");
        }
        transform_subschemas(self, schema);
    }
}

/// `int32`, `uint`, `double` and the like.
fn is_rusts_own(format: &str) -> bool {
    format.starts_with("int") || format.starts_with("uint") || matches!(format, "double" | "float")
}
