//! Arguments that every reader takes for the same: what the operator's rule or a person judged must be what the connector finds.
//!
//! Parsers differ in which of two members of one name counts, and some take `Channel` for `channel`. Owns telling such arguments from plain
//! ones; asked only where somebody judges arguments beside the tool's own schema.

use std::collections::{HashMap, HashSet};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::{Fault, FaultKind, quotable};

/// Stands for members of which the schema does not say in which other one they are.
const ANYWHERE: &str = "*";

/// The names that a schema speaks of, each under the name of what it is in and how a reader sees it that does not tell cases apart.
#[derive(Default)]
pub struct Names(HashMap<(String, String), HashSet<String>>);

impl Names {
    pub fn of(schema: &Value) -> Self {
        let mut names = Self::default();
        names.collect(schema, "");
        names
    }

    fn collect(&mut self, schema: &Value, within: &str) {
        let Some(keywords) = schema.as_object() else {
            schema.as_array().into_iter().flatten().for_each(|below| self.collect(below, within));
            return;
        };
        for (keyword, below) in keywords {
            match (keyword.as_str(), below) {
                ("properties", Value::Object(members)) => {
                    for (name, member) in members {
                        self.add(within, name);
                        self.collect(member, name);
                    }
                }
                ("required", Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).for_each(|name| self.add(within, name));
                }
                ("$defs" | "definitions" | "patternProperties" | "additionalProperties", _) => {
                    self.collect(below, ANYWHERE);
                }
                _ => self.collect(below, within),
            }
        }
    }

    fn add(&mut self, within: &str, name: &str) {
        self.0.entry((within.to_owned(), folded(name))).or_default().insert(name.to_owned());
    }

    /// Whether it is one of them in another spelling.
    fn misspell(&self, within: &str, name: &str) -> bool {
        let differs = |within: &str| {
            self.0.get(&(within.to_owned(), folded(name))).is_some_and(|known| !known.contains(name))
        };
        differs(within) || differs(ANYWHERE)
    }
}

/// The fault is that some readers would find something else in them than others. With the names of a rule, that also counts what differs from
/// one another, or from those names, in case alone.
pub fn check(arguments: &RawValue, names: Option<&Names>) -> Result<(), Fault> {
    let mut reader = serde_json::Deserializer::from_str(arguments.get());
    Walk { names, within: "" }.deserialize(&mut reader).map_err(|error| {
        let message = quotable(&format!("The arguments can be read in two ways: {error}."));
        Fault::new(FaultKind::InvalidArguments, message)
    })
}

fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Goes through a value, and keeps nothing of it but the names of the members that it is in.
#[derive(Clone, Copy)]
struct Walk<'a> {
    names: Option<&'a Names>,
    /// The member that the value is, or is an item of.
    within: &'a str,
}

impl Walk<'_> {
    fn look<E: Error>(self, name: &str, seen: &mut HashSet<String>) -> Result<(), E> {
        if self.names.is_some_and(|names| names.misspell(self.within, name)) {
            return Err(E::custom(format_args!(
                "`{name}` is another spelling of a name that a rule is about"
            )));
        }
        let as_seen = if self.names.is_some() { folded(name) } else { name.to_owned() };
        match seen.insert(as_seen) {
            true => Ok(()),
            false => Err(E::custom(format_args!("`{name}` is named twice"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.look(&name, &mut seen)?;
            members.next_value_seed(Walk { within: &name, ..self })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_plain(arguments: &str, names: Option<&Names>) -> bool {
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        check(&arguments, names).is_ok()
    }

    #[test]
    fn what_a_rule_is_about_stands_there_once_and_as_the_rule_spells_it() {
        let rule = json!({
            "properties": { "channel": { "enum": ["C1"] }, "to": { "items": { "required": ["name"] } } },
            "allOf": [{ "required": ["kind"] }],
        });
        let names = Names::of(&rule);
        for plain in [
            r#"{"channel": "C1", "kind": null, "Text": "x", "to": [{"name": 1}, {"name": 2.5}]}"#,
            r#"{"fields": {"Channel": "C9"}}"#,
            "{}",
        ] {
            assert!(is_plain(plain, Some(&names)), "{plain}");
        }
        for (doubtful, member) in [
            (r#"{"channel": "C9", "channel": "C1"}"#, "`channel`"),
            (r#"{"channel": "C9", "chan\u006eel": "C1"}"#, "`channel`"),
            (r#"{"Channel": "C9"}"#, "`Channel`"),
            (r#"{"\u212aind": "x"}"#, "`\u{212a}ind`"),
            (r#"{"to": [{"Name": "x"}]}"#, "`Name`"),
            (r#"{"Text": "x", "text": "y"}"#, "`text`"),
        ] {
            let arguments = RawValue::from_string(doubtful.to_owned()).unwrap();
            let fault = check(&arguments, Some(&names)).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidArguments);
            assert!(fault.message.contains(member), "{doubtful}: {}", fault.message);
        }
    }

    #[test]
    fn a_person_sees_cases_apart_and_no_second_member_of_one_name() {
        assert!(is_plain(r#"{"Id": 1, "id": 2}"#, None));
        assert!(!is_plain(r#"{"a": {"id": 1, "id": 2}}"#, None));
    }
}
