//! Arguments: queries, forms and JSON bodies, as one set of named values.
//!
//! Slack reads them in this order, later ones winning. JSON counts only for methods that take it, and a token counts
//! in the `Authorization` header or in a form, not in a query and not in JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::Request;

/// What a request says, besides its method's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    plain: BTreeMap<String, String>,
    json: BTreeMap<String, String>,
    form_token: Option<String>,
    broken: Option<&'static str>,
    warning: Option<&'static str>,
}

impl Arguments {
    pub(super) fn read(request: &Request) -> Self {
        let mut read = Self::default();
        read.plain.extend(pairs(request.query.as_bytes()));
        let content_type = request.header("content-type").unwrap_or_default();
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let has_charset = parameters.trim().to_ascii_lowercase().starts_with("charset=");
        if request.body.is_empty() {
            return read;
        }
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/json" => read.add_json(&request.body, has_charset),
            "application/x-www-form-urlencoded" => read.add_form(&request.body, has_charset),
            "" => read.broken = Some("missing_post_type"),
            _ => read.broken = Some("invalid_post_type"),
        }
        read
    }

    fn add_form(&mut self, body: &[u8], has_charset: bool) {
        self.plain.extend(pairs(body));
        self.form_token = self.plain.get("token").cloned();
        self.warning = has_charset.then_some("superfluous_charset");
    }

    fn add_json(&mut self, body: &[u8], has_charset: bool) {
        self.warning = (!has_charset).then_some("missing_charset");
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(members)) => self.json = flattened(members),
            Ok(_) => self.broken = Some("json_not_object"),
            Err(_) => self.broken = Some("invalid_json"),
        }
    }

    /// Why the body cannot be read at all.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.broken
    }

    /// What Slack remarks about the body's charset.
    pub(super) fn warning(&self) -> Option<&'static str> {
        self.warning
    }

    /// As a method sees them that takes no JSON: such a body is passed over in silence.
    pub(super) fn without_json(&self) -> Self {
        Self { json: BTreeMap::new(), ..self.clone() }
    }

    /// A value that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.json.get(name).or_else(|| self.plain.get(name))?;
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    /// `true` and `1` are true; everything else is not.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// A whole number from 1 to `max`, or `default` when it is not given.
    pub(super) fn count(&self, name: &str, default: usize, max: usize) -> Result<usize, Refusal> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number: usize = text.parse().map_err(|_| Refusal::from("invalid_limit"))?;
        if (1..=max).contains(&number) { Ok(number) } else { Err(Refusal::from("invalid_limit")) }
    }
}

/// The token, from the header or else from a form.
pub(super) fn token<'a>(request: &'a Request, arguments: &'a Arguments) -> Option<&'a str> {
    let header = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    header.map(str::trim).or(arguments.form_token.as_deref())
}

fn pairs(encoded: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(encoded).into_owned()
}

/// Text stays text; other values become the JSON text that a form would carry.
fn flattened(members: Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    members.into_iter().map(|(name, value)| (name, text(value))).collect()
}
