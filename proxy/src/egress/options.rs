//! `options` of a request: what a guest may say of it besides what is sent.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::Refusal;
use super::operation::Operation;
use super::scope::Scope;

/// Largest options, in bytes: a resource's name, with room for what later versions know.
const MAX_OPTIONS_BYTES: usize = 4 << 10;

/// The members that this host knows; others are for later ones.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct Options {
    /// What the operation's walls are about, under its one true name: two names of one channel would be two walls.
    pub resource: Option<String>,
    /// The request carries the call's idempotency key in a place that the system honours.
    #[serde(default)]
    pub idempotent: bool,
}

impl Options {
    pub fn read(json: Option<&str>) -> Result<Self, Refusal> {
        let Some(json) = json else { return Ok(Self::default()) };
        if json.len() > MAX_OPTIONS_BYTES {
            return Err(Refusal::new("options", format!("options of more than {MAX_OPTIONS_BYTES} bytes")));
        }
        serde_json::from_str(json)
            .map_err(|e| Refusal::new("options", format!("options that are no such object: {e}")))
    }

    /// Which resource's walls the request is charged to: what the guest says, else the tool's argument. A guest that makes names up gains
    /// nothing: the walls of operation and upstream hold all the same.
    pub fn resource(self, operation: &Operation, scope: &Scope) -> Option<Arc<str>> {
        let per = operation.per.as_deref()?;
        self.resource.map(Arc::from).or_else(|| scope.argument(per))
    }
}

/// An argument's text, if it is one that can name something.
pub fn argument_text(arguments: &Value, name: &str) -> Option<Arc<str>> {
    match arguments.get(name)? {
        Value::String(text) => Some(text.as_str().into()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_later_versions_are_left_alone_and_mistakes_are_refused() {
        let read = |json| Options::read(Some(json));
        let options = read(r#"{"resource":"C042","hedge":true}"#).unwrap();
        assert_eq!(options, Options { resource: Some("C042".to_owned()), idempotent: false });
        assert_eq!(Options::read(None), Ok(Options::default()));
        for bad in ["[]", r#"{"resource":7}"#, "", &format!("{}{{}}", " ".repeat(MAX_OPTIONS_BYTES))] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
