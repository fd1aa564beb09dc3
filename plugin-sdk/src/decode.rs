//! JSON into types, with the path of what does not fit.
//!
//! The parser says where in the text it stopped. Only then is the text walked again to find which member that is: a parser that
//! keeps track as it goes would double the size of every type's code in a component.

use serde::de::DeserializeOwned;

use crate::fault::Fault;

/// What does not fit, and where.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// JSON Pointer; empty for the whole text.
    path: String,
    problem: String,
}

impl Mismatch {
    /// `what` begins the sentence. The parser's words may quote the text, so they travel as the upstream's.
    pub(crate) fn into_fault(self, what: &str, kind: fn(String) -> Fault) -> Fault {
        let Self { path, problem } = self;
        let place = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
        kind(format!("{what} does not have the expected shape{place}."))
            .with_path(path)
            .with_upstream_text(problem)
    }

    fn at(text: &[u8], error: &serde_json::Error) -> Self {
        let consumed = text.get(..offset(text, error.line(), error.column())).unwrap_or(text);
        Self { path: pointer(consumed), problem: error.to_string() }
    }
}

/// Bytes that may be no text.
pub(crate) fn bytes<T: DeserializeOwned>(json: &[u8]) -> Result<T, Mismatch> {
    serde_json::from_slice(json).map_err(|error| Mismatch::at(json, &error))
}

/// What is known to be text: none of its strings is checked again.
pub(crate) fn text<T: DeserializeOwned>(json: &str) -> Result<T, Mismatch> {
    serde_json::from_str(json).map_err(|error| Mismatch::at(json.as_bytes(), &error))
}

/// The number of bytes before a position that the parser gave: lines from 1, columns in bytes.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>() + column
}

/// Where a walk through the text stands: in an array at an index, in an object at a key or between two members.
enum Step {
    Index(usize),
    Key(String),
    Between,
}

/// RFC 6901: the value that the parser was reading, or had just read, after so much of the text.
fn pointer(consumed: &[u8]) -> String {
    let (mut steps, mut word, mut rest) = (Vec::new(), String::new(), consumed);
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' => steps.push(Step::Between),
            b'[' => steps.push(Step::Index(0)),
            b'}' | b']' => drop(steps.pop()),
            b'"' => (word, rest) = string(after),
            b':' => replace_last(&mut steps, |_| Step::Key(std::mem::take(&mut word))),
            b',' => replace_last(&mut steps, |step| match step {
                Step::Index(index) => Step::Index(index + 1),
                Step::Key(_) | Step::Between => Step::Between,
            }),
            _ => {}
        }
    }
    steps.iter().map(Step::text).collect()
}

fn replace_last(steps: &mut [Step], next: impl FnOnce(&Step) -> Step) {
    if let Some(last) = steps.last_mut() {
        *last = next(last);
    }
}

/// Splits the text after an opening quote into the string's value and what follows the closing quote.
fn string(text: &[u8]) -> (String, &[u8]) {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (inner, rest) = text.split_at(end.unwrap_or(text.len()));
    let inner = String::from_utf8_lossy(inner);
    let value = serde_json::from_str(&format!("\"{inner}\"")).unwrap_or_else(|_| inner.into_owned());
    (value, rest.get(1..).unwrap_or_default())
}

impl Step {
    fn text(&self) -> String {
        match self {
            Self::Index(index) => format!("/{index}"),
            Self::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Between => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::time::Timestamp;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read into")]
    struct Ticket {
        id: String,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        opened: Option<Timestamp>,
    }

    fn path(text: &str) -> String {
        let mismatch = super::text::<BTreeMap<String, Vec<Ticket>>>(text).unwrap_err();
        let as_bytes = bytes::<BTreeMap<String, Vec<Ticket>>>(text.as_bytes()).unwrap_err();
        assert_eq!((&mismatch.path, &mismatch.problem), (&as_bytes.path, &as_bytes.problem));
        mismatch.path
    }

    #[test]
    fn the_path_is_that_of_what_does_not_fit() {
        for (text, expected) in [
            (r#"[]"#, ""),
            (r#"{"open": {}}"#, "/open"),
            (r#"{"open": [{"id": "1"}, 7]}"#, "/open/1"),
            (r#"{"open": [{"id": "1"}, {"id": 7}]}"#, "/open/1/id"),
            (r#"{"open": [{"id": "1"}, {"id": null, "tags": []}]}"#, "/open/1/id"),
            (r#"{"open": [{"id": {"x": 1}}]}"#, "/open/0/id"),
            (r#"{"open": [{"tags": []}]}"#, "/open/0"),
            (r#"{"open": [], "shut": [{"id": "1", "tags": ["a", "b", false]}]}"#, "/shut/0/tags/2"),
            (r#"{"open": [{"id": "1", "opened": "soon"}]}"#, "/open/0/opened"),
            (r#"{"open": [{"id": "1", "colour": "red"}]}"#, "/open/0"),
            ("{\"a\": [],\n\n \"b\":\n [{\"id\":\n 7}]}", "/b/0/id"),
        ] {
            assert_eq!(path(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_written_as_a_json_pointer_wants_them() {
        assert_eq!(path(r#"{"a/b~\"c\u00e9, [x": [1]}"#), "/a~1b~0\"cé, [x/0");
    }

    #[test]
    fn a_text_that_ends_early_or_is_no_json_has_a_path_too() {
        assert_eq!(path(r#"{"open": [{"id": "1"#), "/open/0/id");
        assert_eq!(path("<html>"), "");
        assert_eq!(path(""), "");
    }
}
