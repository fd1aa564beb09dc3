//! JSON bodies in which a [`Secret`] may stand where a string does.
//!
//! A body is serialised once with every secret as the empty string. If there was none, that is the body. Otherwise a marker that
//! does not occur in that text is chosen, the body is serialised again with the marker in place of each secret, and cut there. Since
//! the marker occurs in nothing else, no argument of a tool can pose as a secret.

use std::cell::RefCell;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::bindings::base::ferrata::connector::types as wire;
use crate::fault::Fault;
use crate::secret::Secret;

/// A private-use character: JSON does not escape it, and text rarely has it.
const MARK: char = '\u{f8ff}';

struct Writing {
    marker: String,
    secrets: Vec<String>,
}

thread_local! {
    static WRITING: RefCell<Option<Writing>> = const { RefCell::new(None) };
}

/// Only a request's JSON body can hold a secret; anywhere else serialising one is an error.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let marker = WRITING.with_borrow_mut(|writing| {
            let writing = writing.as_mut()?;
            writing.secrets.push(self.0.clone());
            Some(writing.marker.clone())
        });
        match marker {
            Some(marker) => serializer.serialize_str(&marker),
            None => Err(S::Error::custom("a secret can only be written in the JSON body of a request")),
        }
    }
}

/// The body as parts.
pub(crate) fn parts<T: Serialize + ?Sized>(value: &T) -> Result<Vec<wire::Part>, Fault> {
    let (plain, secrets) = write(value, String::new())?;
    if secrets.is_empty() {
        return Ok(vec![part(wire::Encoding::Raw, wire::Atom::Bytes(plain.into()))]);
    }
    let marker = unused_marker(&plain);
    let (marked, secrets) = write(value, marker.clone())?;
    let mut parts = Vec::with_capacity(2 * secrets.len() + 1);
    let mut secrets = secrets.into_iter();
    for text in marked.split(&marker) {
        parts.push(part(wire::Encoding::Raw, wire::Atom::Bytes(text.into())));
        parts.extend(secrets.next().map(|name| part(wire::Encoding::Json, wire::Atom::Secret(name))));
    }
    Ok(parts)
}

fn write<T: Serialize + ?Sized>(value: &T, marker: String) -> Result<(String, Vec<String>), Fault> {
    WRITING.set(Some(Writing { marker, secrets: Vec::new() }));
    let text = serde_json::to_string(value);
    let secrets = WRITING.take().map(|writing| writing.secrets).unwrap_or_default();
    let text =
        text.map_err(|error| Fault::broken(format!("A request's body cannot be written as JSON: {error}.")))?;
    Ok((text, secrets))
}

/// One mark more than the longest run of marks in the text.
fn unused_marker(text: &str) -> String {
    let longest = text.split(|c| c != MARK).map(str::len).max().unwrap_or(0) / MARK.len_utf8();
    MARK.to_string().repeat(longest + 1)
}

fn part(encoding: wire::Encoding, atom: wire::Atom) -> wire::Part {
    wire::Part { encoding, atoms: vec![atom] }
}
