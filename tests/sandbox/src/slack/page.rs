//! Opaque cursors: where the next page starts, in base64, so that clients cannot make them up.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::Refusal;

/// A cursor that names the first item of the next page.
pub(super) fn cursor(kind: &str, first: &str) -> String {
    STANDARD.encode(format!("{kind}:{first}"))
}

/// What a cursor of this kind names.
pub(super) fn first(kind: &str, cursor: &str) -> Result<String, Refusal> {
    let read = || {
        let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
        Some(text.strip_prefix(kind)?.strip_prefix(':')?.to_owned())
    };
    read().ok_or_else(|| Refusal::from("invalid_cursor"))
}
