//! What is left of a configuration without its mistakes, so that the rest can be judged too and one mistake hides no other.

use serde_json::Value;
use serde_path_to_error::Segment;

use super::Config;

/// What can be judged further: the configuration without its mistaken places, and what the types refuse beside what the schema does, such as
/// an address that is none.
pub(super) fn readable(
    mut value: Value,
    mistakes: &[(String, String)],
) -> (Option<Config>, Vec<(String, String)>) {
    for (pointer, _) in mistakes {
        remove(&mut value, pointer);
    }
    let mut refused = Vec::new();
    // Each turn takes something away.
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&value) {
            Ok(config) => return (Some(config), refused),
            Err(error) => error,
        };
        let pointer = pointer(error.path());
        let removed = remove(&mut value, &pointer);
        // What lacks something that was taken away is no mistake of its own.
        if !mistakes.iter().chain(&refused).any(|(mistaken, _)| is_within(mistaken, &pointer)) {
            refused.push((pointer, error.into_inner().to_string()));
        }
        if !removed {
            return (None, refused);
        }
    }
}

/// Whether `place` is `outer` or inside of it.
pub(super) fn is_within(place: &str, outer: &str) -> bool {
    place.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The place of a refused value, as a JSON Pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let token = match segment {
            Segment::Map { key } => escaped(key),
            Segment::Seq { index } => index.to_string(),
            _ => break,
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    pointer
}

/// A key as a token of a JSON Pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Takes the member at a JSON Pointer away; a list's item takes the list along, so that its neighbours keep their places.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, token)) = pointer.rsplit_once('/') else { return false };
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&token.replace("~1", "/").replace("~0", "~")).is_some()
        }
        Some(Value::Array(_)) => remove(value, parent),
        _ => false,
    }
}
