//! Takes known secrets out of what comes back: the second line of defence, never the first.

use memchr::memmem;

use super::part::{Encoding, encode};
use crate::credential::SecretValue;

/// What stands in a secret's place.
pub const REDACTED: &[u8] = b"[redacted]";

/// Shorter secrets are not looked for: they would be found in innocent text.
pub const MIN_SCRUBBED_BYTES: usize = 8;

/// Replaces every secret, in each spelling in which an upstream may echo it. `None` when there is nothing to replace.
pub fn scrub<'a>(text: &[u8], secrets: impl IntoIterator<Item = &'a SecretValue>) -> Option<Vec<u8>> {
    let mut scrubbed: Option<Vec<u8>> = None;
    for secret in secrets {
        for spelling in spellings(secret.expose()) {
            if let Some(clean) = replace(scrubbed.as_deref().unwrap_or(text), &spelling) {
                scrubbed = Some(clean);
            }
        }
    }
    scrubbed
}

fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::with_capacity(5);
    if secret.len() < MIN_SCRUBBED_BYTES {
        return all;
    }
    for encoding in [Encoding::Raw, Encoding::Json, Encoding::Form, Encoding::Base64, Encoding::Base64Url] {
        let mut spelling = Vec::new();
        encode(encoding, secret, &mut spelling);
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

fn replace(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut found = memmem::find_iter(text, secret).peekable();
    found.peek()?;
    let (mut clean, mut from) = (Vec::with_capacity(text.len()), 0);
    for at in found {
        clean.extend_from_slice(&text[from..at]);
        clean.extend_from_slice(REDACTED);
        from = at + secret.len();
    }
    clean.extend_from_slice(&text[from..]);
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found() {
        let secret = SecretValue::new(b"xoxb-\"1\" 2/3".to_vec());
        for encoding in [Encoding::Raw, Encoding::Json, Encoding::Form, Encoding::Base64, Encoding::Base64Url]
        {
            let mut text = b"before ".to_vec();
            encode(encoding, secret.expose(), &mut text);
            text.extend_from_slice(b" after");
            assert_eq!(scrub(&text, [&secret]).unwrap(), b"before [redacted] after", "{encoding:?}");
        }
        assert_eq!(scrub(b"nothing here", [&secret]), None);
    }
}
