//! The resources and prompts, one behaviour each. The setting `list` makes the list of resources itself misbehave.

use serde_json::Value;

use super::bindings::exports::ferrata::connector::prompts::{self, Answer, Message, Prompt, Role};
use super::bindings::exports::ferrata::connector::resources::{Completion, Entry, Guest};
use super::bindings::ferrata::connector::context;
use super::bindings::ferrata::connector::types::{Document, DocumentBody, Fault, FaultKind, Inputs};
use super::{Probe, fault, misdeeds};

/// Larger than any bound of one result.
const FLOOD_BYTES: usize = 100_000_000;

type Reading = fn() -> Result<Vec<Document>, Fault>;

/// Path and behaviour.
const ALL: [(&str, Reading); 8] = [
    // Computes for ever.
    ("spin", || misdeeds::spin("{}").map(|_| Vec::new())),
    // Writes, though reading is all it may do.
    ("write", || misdeeds::stronger("{}").map(|text| vec![document(None, DocumentBody::Text(text))])),
    ("nothing", || Ok(Vec::new())),
    ("flood", || Ok(vec![document(None, DocumentBody::Blob(vec![b'x'; FLOOD_BYTES]))])),
    ("many", || Ok((0..1000).map(|_| document(None, text())).collect())),
    // Gives what it says is another connector's.
    ("stranger", || Ok(vec![document(Some("//other/x"), text())])),
    ("elsewhere", || Ok(vec![document(Some("a/../../x"), text())])),
    ("unmedia", || {
        Ok(vec![Document { mime_type: Some("text/plain\r\nx: y".to_owned()), ..document(None, text()) }])
    }),
];

impl Guest for Probe {
    fn list_resources() -> Result<Vec<Entry>, Fault> {
        let settings: Value = serde_json::from_str(&context::settings()).unwrap_or_default();
        Ok(match settings["list"].as_str() {
            None => ALL.iter().map(|(path, _)| entry(path)).chain([suggesting()]).collect(),
            Some("crowd") => (0..100_000).map(|i| entry(&i.to_string())).collect(),
            Some("flood") => vec![Entry { name: "x".repeat(FLOOD_BYTES), ..entry("a") }],
            Some("twice") => vec![entry("a"), entry("a")],
            Some("none") => return Err(fault(FaultKind::NotFound, "no resources today")),
            Some(path) => vec![entry(path)],
        })
    }

    fn read(path: String, _: Vec<(String, String)>) -> Result<Vec<Document>, Fault> {
        match ALL.iter().find(|(known, _)| *known == path) {
            Some((_, read)) => read(),
            None => Err(fault(FaultKind::NotFound, "no such resource")),
        }
    }

    /// As many values as there is memory for, or one that is too long.
    fn complete(_: String, _: String, value: String, _: Vec<(String, String)>) -> Result<Completion, Fault> {
        let values = if value == "long" { vec!["x".repeat(100_000)] } else { vec!["x".to_owned(); 10_000] };
        Ok(Completion { values, total: None, has_more: false })
    }
}

fn suggesting() -> Entry {
    Entry { completes: vec!["any".to_owned()], ..entry("suggest/{any}") }
}

fn entry(path: &str) -> Entry {
    Entry {
        path: path.to_owned(),
        name: "misdeed".to_owned(),
        title: None,
        description: None,
        mime_type: None,
        size: None,
        completes: Vec::new(),
        options: None,
    }
}

fn document(path: Option<&str>, body: DocumentBody) -> Document {
    Document { path: path.map(str::to_owned), mime_type: None, body }
}

fn text() -> DocumentBody {
    DocumentBody::Text("x".to_owned())
}

/// The block of its one message; none is no message at all.
type Saying = fn() -> Option<String>;

/// Name and behaviour.
const PROMPTS: [(&str, Saying); 5] = [
    ("silent", || None),
    ("torrent", || Some(format!(r#"{{"type":"text","text":"{}"}}"#, "x".repeat(FLOOD_BYTES)))),
    ("garbled", || Some(r#"{"type":"image","data":"no base64","mimeType":"image/png"}"#.to_owned())),
    ("babble", || Some("not JSON".to_owned())),
    ("unknown_block", || Some(r#"{"type":"video"}"#.to_owned())),
];

impl prompts::Guest for Probe {
    fn list_prompts() -> Result<Vec<Prompt>, Fault> {
        let prompt = |name: &str| Prompt {
            name: name.to_owned(),
            title: None,
            description: "Misbehaves.".to_owned(),
            arguments: Vec::new(),
            options: None,
        };
        Ok(PROMPTS.iter().map(|(name, _)| prompt(name)).collect())
    }

    fn get(name: String, _: Vec<(String, String)>, _: Option<Inputs>) -> Result<Answer, Fault> {
        let block = PROMPTS.iter().find(|(known, _)| *known == name).and_then(|(_, block)| block());
        Ok(Answer::Messages(block.into_iter().map(|block| Message { role: Role::User, block }).collect()))
    }

    fn complete(_: String, _: String, _: String, _: Vec<(String, String)>) -> Result<Completion, Fault> {
        Err(fault(FaultKind::NotFound, "nothing to complete"))
    }
}
