//! What an agent's client can be asked for: the capabilities that it declares, as far as they matter here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

/// A capability and, if it is part of another, that one's name and its own.
const NAMES: [(Capabilities, &str, Option<&str>); 5] = [
    (Capabilities::FORM, "elicitation", Some("form")),
    (Capabilities::URL, "elicitation", Some("url")),
    (Capabilities::SAMPLING, "sampling", None),
    (Capabilities::SAMPLING_TOOLS, "sampling", Some("tools")),
    (Capabilities::ROOTS, "roots", None),
];

/// The members of a client's capabilities that are looked at.
#[derive(Deserialize)]
struct Declared<'a> {
    #[serde(borrow)]
    elicitation: Option<&'a RawValue>,
    #[serde(borrow)]
    sampling: Option<&'a RawValue>,
    #[serde(borrow)]
    roots: Option<&'a RawValue>,
}

/// The parts of any of them.
#[derive(Default, Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    form: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

impl Capabilities {
    pub const NONE: Self = Self(0);
    /// Asking the user to fill in a form.
    pub const FORM: Self = Self(1);
    /// Asking the user to visit an address.
    pub const URL: Self = Self(2);
    /// Asking the model.
    pub const SAMPLING: Self = Self(4);
    /// Asking the model, which may use tools of the asker.
    pub const SAMPLING_TOOLS: Self = Self(8);
    /// Asking for the folders that the client works in.
    pub const ROOTS: Self = Self(16);

    /// From what a client declares: a JSON object. What is no object declares nothing.
    pub fn declared(json: &RawValue) -> Self {
        // What almost every call says.
        if json.get() == "{}" {
            return Self::NONE;
        }
        let Ok(declared) = serde_json::from_str::<Declared<'_>>(json.get()) else { return Self::NONE };
        let mut all = Self::NONE;
        if let Some(parts) = declared.elicitation.and_then(parts) {
            // Declared without a part, it is the older one.
            let form = parts.form.is_some() || parts.url.is_none();
            all = all.with_if(form, Self::FORM).with_if(parts.url.is_some(), Self::URL);
        }
        if let Some(parts) = declared.sampling.and_then(parts) {
            all = all.with(Self::SAMPLING).with_if(parts.tools.is_some(), Self::SAMPLING_TOOLS);
        }
        all.with_if(declared.roots.is_some_and(|roots| parts(roots).is_some()), Self::ROOTS)
    }

    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn with_if(self, condition: bool, other: Self) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// As a client declares them: an object.
    pub fn to_json(self) -> Value {
        let mut all = Map::new();
        for (_, name, part) in NAMES.into_iter().filter(|(one, ..)| self.has(*one)) {
            let entry = all.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Some(part) = part {
                entry[part] = Value::Object(Map::new());
            }
        }
        Value::Object(all)
    }
}

impl Serialize for Capabilities {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

fn parts(json: &RawValue) -> Option<Parts<'_>> {
    json.get().starts_with('{').then(|| serde_json::from_str(json.get()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(json: Value) -> Capabilities {
        Capabilities::declared(&serde_json::value::to_raw_value(&json).unwrap())
    }

    #[test]
    fn what_is_declared_is_read_and_written_as_clients_do() {
        let all = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}});
        assert_eq!(declared(all.clone()).to_json(), all);
        assert_eq!(declared(json!({"elicitation": {}})), Capabilities::FORM);
        assert_eq!(declared(json!({"elicitation": {"url": {}}})), Capabilities::URL);
        let sampling = json!({"sampling": {"context": {}}, "experimental": {"x": {}}});
        assert_eq!(declared(sampling), Capabilities::SAMPLING);
        assert_eq!(declared(json!({"roots": {"listChanged": true}})), Capabilities::ROOTS);
        for nothing in [json!({}), json!([]), json!({"sampling": null, "roots": true, "elicitation": "yes"})]
        {
            assert_eq!(declared(nothing), Capabilities::NONE);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let needs = Capabilities::SAMPLING.with(Capabilities::FORM);
        assert_eq!(needs.without(Capabilities::FORM).to_json(), json!({"sampling": {}}));
        assert!(!Capabilities::FORM.has(needs) && needs.has(Capabilities::FORM));
    }
}
