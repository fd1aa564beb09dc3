//! JSON into types, with the path of what does not fit.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

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
}

pub(crate) fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Mismatch> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut parser)
        .map_err(|error| Mismatch { path: pointer(error.path()), problem: error.inner().to_string() })?;
    parser.end().map_err(|error| Mismatch { path: String::new(), problem: error.to_string() })?;
    Ok(value)
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            // An enum's variant is no member of the text, and what is unknown has no name.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}
