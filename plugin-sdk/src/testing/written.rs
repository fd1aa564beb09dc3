//! Parts as text: what a test compares.

use serde_json::Value;

use crate::bindings::base::ferrata::connector::types::{Atom, Encoding, Part};

/// Parts as the host would write them, with `{{name}}` for a secret.
pub(super) fn text(parts: &[Part]) -> String {
    parts.iter().map(part_text).collect()
}

fn part_text(part: &Part) -> String {
    let encode = match part.encoding {
        Encoding::Raw => |text: &str| text.to_owned(),
        Encoding::Form => form_text,
        Encoding::Json => json_text,
        Encoding::Base64 => return format!("base64({})", atoms_text(&part.atoms, str::to_owned)),
        Encoding::Base64url => return format!("base64url({})", atoms_text(&part.atoms, str::to_owned)),
    };
    atoms_text(&part.atoms, encode)
}

fn atoms_text(atoms: &[Atom], encode: fn(&str) -> String) -> String {
    let atom_text = |atom: &Atom| match atom {
        Atom::Bytes(bytes) => encode(&String::from_utf8_lossy(bytes)),
        Atom::Secret(name) => format!("{{{{{name}}}}}"),
    };
    atoms.iter().map(atom_text).collect()
}

fn form_text(text: &str) -> String {
    let byte_text = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte_text).collect()
}

fn json_text(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.trim_matches('"').to_owned()
}
