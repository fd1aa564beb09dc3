//! Takes known secrets out of what comes back: the second line of defence, never the first.

use std::sync::Arc;

use memchr::memmem;

use super::part::{Encoding, encode};
use crate::credential::SecretValue;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Shorter secrets are not looked for: they would be found in innocent text.
pub const MIN_SCRUBBED_BYTES: usize = 8;

/// Texts that must not be seen: secrets in each spelling in which an upstream may echo them.
#[derive(Clone, Debug, Default)]
pub struct Scrubber(Vec<SecretValue>);

impl Scrubber {
    /// Looks for a secret from now on.
    pub fn add(&mut self, secret: &SecretValue) {
        if secret.expose().len() < MIN_SCRUBBED_BYTES {
            return;
        }
        for encoding in [Encoding::Raw, Encoding::Json, Encoding::Form, Encoding::Base64, Encoding::Base64Url]
        {
            let mut spelling = Vec::new();
            encode(encoding, secret.expose(), &mut spelling);
            self.add_text(spelling);
        }
    }

    /// Looks for a text as it is: a part of a request that holds a secret.
    pub fn add_text(&mut self, text: Vec<u8>) {
        if text.len() >= MIN_SCRUBBED_BYTES && !self.0.iter().any(|known| known.expose() == text) {
            self.0.push(SecretValue::new(text));
        }
    }

    /// Looks for what another one looks for, too.
    pub fn add_all(&mut self, other: &Arc<Self>) {
        self.0.extend(other.0.iter().cloned());
    }

    /// The text without what must not be seen. `None` when there is nothing to replace.
    pub fn scrub(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut scrubbed: Option<Vec<u8>> = None;
        for needle in &self.0 {
            if let Some(clean) = replace(scrubbed.as_deref().unwrap_or(text), needle.expose()) {
                scrubbed = Some(clean);
            }
        }
        scrubbed
    }
}

fn replace(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut found = memmem::find_iter(text, secret).peekable();
    found.peek()?;
    let (mut clean, mut from) = (Vec::with_capacity(text.len()), 0);
    for at in found {
        clean.extend_from_slice(&text[from..at]);
        clean.extend_from_slice(REDACTED.as_bytes());
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
        let mut scrubber = Scrubber::default();
        scrubber.add(&secret);
        for encoding in [Encoding::Raw, Encoding::Json, Encoding::Form, Encoding::Base64, Encoding::Base64Url]
        {
            let mut text = b"before ".to_vec();
            encode(encoding, secret.expose(), &mut text);
            text.extend_from_slice(b" after");
            assert_eq!(scrubber.scrub(&text).unwrap(), b"before [redacted] after", "{encoding:?}");
        }
        assert_eq!(scrubber.scrub(b"nothing here"), None);
    }
}
