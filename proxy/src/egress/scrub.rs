//! Takes known secrets out of what comes back: the second line of defence, never the first.

use std::ops::Range;
use std::sync::Arc;

use super::spelling::{Escapes, Needle};
use crate::credential::SecretValue;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Shorter secrets are not looked for: they would be found in innocent text.
pub const MIN_SCRUBBED_BYTES: usize = 8;

/// How often a text is scrubbed again; one that still shows secrets was made to, and is not shown at all.
const MAX_PASSES: usize = 8;

/// Texts that must not be seen: secrets in each spelling in which an upstream may echo them.
#[derive(Clone, Debug, Default)]
pub struct Scrubber(Vec<Needle>);

impl Scrubber {
    /// Looks for a secret from now on; not for what is none.
    pub fn add(&mut self, secret: &SecretValue) {
        let bytes = secret.expose();
        if secret.is_public() || bytes.len() < MIN_SCRUBBED_BYTES || self.knows(bytes) {
            return;
        }
        self.add_text(bytes.to_vec());
        // A JSON string is text: bytes that are not UTF-8 become replacement characters.
        self.add_text(String::from_utf8_lossy(bytes).into_owned().into_bytes());
        self.add_text(bytes.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect());
        self.0.extend(Needle::in_base64(bytes));
    }

    /// Looks for a text as it is: a part of a request that holds a secret.
    pub fn add_text(&mut self, text: Vec<u8>) {
        if text.len() >= MIN_SCRUBBED_BYTES && !self.knows(&text) {
            self.0.push(Needle::plain(text));
        }
    }

    /// Looks for what another one looks for, too.
    pub fn add_all(&mut self, other: &Arc<Self>) {
        self.0.extend(other.0.iter().cloned());
    }

    fn knows(&self, text: &[u8]) -> bool {
        self.0.iter().any(|known| known.text.expose() == text)
    }

    /// The text without what must not be seen. `None` when there is nothing to replace.
    pub fn scrub(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut clean = self.pass(text)?;
        // What stands beside a secret may be read as another one once the first is gone, and was not before.
        for _ in 1..MAX_PASSES {
            match self.pass(&clean) {
                Some(cleaner) => clean = cleaner,
                None => return Some(clean),
            }
        }
        Some(REDACTED.into())
    }

    fn pass(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut found = self.find_in(text);
        for escapes in [Escapes::Json, Escapes::Url, Escapes::Html] {
            if let Some(plain) = escapes.undone(text) {
                found.extend(escapes.origins(text, &self.find_in(&plain)));
            }
        }
        let found = merged(found);
        (!found.is_empty()).then(|| without(text, &found))
    }

    /// In order; none overlaps another.
    fn find_in(&self, text: &[u8]) -> Vec<Range<usize>> {
        merged(self.0.iter().flat_map(|needle| needle.find_in(text)).collect())
    }
}

/// In order, and those that overlap as one: what two secrets share belongs to both.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|next, last| {
        let overlaps = next.start < last.end;
        if overlaps {
            last.end = last.end.max(next.end);
        }
        overlaps
    });
    found
}

fn without(text: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let (mut clean, mut from) = (Vec::with_capacity(text.len()), 0);
    for range in found {
        clean.extend_from_slice(&text[from..range.start]);
        clean.extend_from_slice(REDACTED.as_bytes());
        from = range.end;
    }
    clean.extend_from_slice(&text[from..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::super::part::{Encoding, encode};
    use super::*;

    fn scrubber(secrets: &[&[u8]]) -> Scrubber {
        let mut scrubber = Scrubber::default();
        secrets.iter().for_each(|secret| scrubber.add(&SecretValue::new(secret.to_vec())));
        scrubber
    }

    #[test]
    fn every_spelling_is_found() {
        let secret = b"xoxb-\"1\" 2/3";
        let scrubber = scrubber(&[secret]);
        for encoding in [Encoding::Raw, Encoding::Json, Encoding::Form, Encoding::Base64, Encoding::Base64Url]
        {
            let mut text = b"before ".to_vec();
            encode(encoding, secret, &mut text);
            text.extend_from_slice(b" after");
            assert_eq!(scrubber.scrub(&text).unwrap(), b"before [redacted] after", "{encoding:?}");
        }
        assert_eq!(scrubber.scrub(b"nothing here"), None);
    }

    #[test]
    fn what_the_operator_wrote_in_the_clear_is_left_alone() {
        let mut scrubber = scrubber(&[b"s3cr3t-of-the-bot"]);
        scrubber.add(&SecretValue::public(b"bot@acme.example".to_vec()));
        let text = b"bot@acme.example has s3cr3t-of-the-bot";
        assert_eq!(scrubber.scrub(text).unwrap(), b"bot@acme.example has [redacted]");
    }

    #[test]
    fn a_spelling_is_found_that_is_not_ours() {
        let scrubber = scrubber(&["a/b c=é&long".as_bytes()]);
        for spelling in [
            r#"a\/b c=\u00e9\u0026long"#,
            r#"a\/b c\u003D\u00E9&long"#,
            "a%2fb%20c%3d%c3%a9%26long",
            "a/b%20c=%C3%A9&long",
            "a%2Fb+c%3D%C3%A9%26long",
            "a/b c=&#xe9;&amp;long",
            "a&#x2F;b c&#61;&#233;&amp;long",
        ] {
            let text = format!("<{spelling}>");
            assert_eq!(scrubber.scrub(text.as_bytes()).unwrap(), b"<[redacted]>", "{spelling}");
        }
    }

    #[test]
    fn base64_hides_no_secret_behind_what_surrounds_it() {
        let scrubber = scrubber(&[b"12345678901"]);
        for before in ["", "u", "us", "use", "user:"] {
            let mut text = b"Basic ".to_vec();
            encode(Encoding::Base64, format!("{before}12345678901 and more").as_bytes(), &mut text);
            let clean = scrubber.scrub(&text).unwrap();
            assert!(clean.windows(REDACTED.len()).any(|w| w == REDACTED.as_bytes()), "{before}");
        }
    }

    #[test]
    fn what_two_secrets_share_belongs_to_both() {
        let scrubber = scrubber(&[b"shared-start-of-one", b"start-of-one-and-other"]);
        let clean = scrubber.scrub(b"<shared-start-of-one-and-other>").unwrap();
        assert_eq!(clean, b"<[redacted]>");
    }
}
