//! JSON that was read by whoever passes it on: its readers need not look whether it is any.

use serde_json::Value;
use serde_json::value::RawValue;

/// One JSON value, as text.
#[derive(Clone, Debug)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// The text, and what it says. A [`RawValue`] of it would be read a second time.
    pub fn read(text: String) -> serde_json::Result<(Self, Value)> {
        let value = serde_json::from_str(&text)?;
        let trimmed = text.trim_ascii();
        let text = if trimmed.len() < text.len() { trimmed.into() } else { text.into_boxed_str() };
        Ok((Self(text), value))
    }

    pub fn get(&self) -> &str {
        &self.0
    }
}

impl From<Box<RawValue>> for JsonText {
    fn from(value: Box<RawValue>) -> Self {
        Self(value.into())
    }
}

impl From<JsonText> for String {
    fn from(text: JsonText) -> Self {
        text.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_a_raw_value_holds() {
        for text in ["{}", " {\"a\": 1}\r\n", "\t[1, \"b\"]", "1"] {
            let (read, value) = JsonText::read(text.to_owned()).unwrap();
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!((read.get(), value), (raw.get(), serde_json::from_str(text).unwrap()));
        }
        for text in ["", "{", "{} x", "\u{a0}1"] {
            assert!(JsonText::read(text.to_owned()).is_err(), "{text}");
        }
    }
}
