//! Takes known secrets out of what comes back: the second line of defence, never the first.

use std::ops::Range;
use std::sync::Arc;

use super::spelling::{ByteSet, Escapes, Needle};
use crate::credential::SecretValue;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Shorter secrets are not looked for: they would be found in innocent text.
pub const MIN_SCRUBBED_BYTES: usize = 8;

/// How often a text is scrubbed again; one that still shows secrets was made to, and is not shown at all.
const MAX_PASSES: usize = 8;

/// Texts that must not be seen: secrets in each spelling in which an upstream may echo them.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    needles: Vec<Needle>,
    /// All that the needles consist of.
    bytes: ByteSet,
}

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
        Needle::in_base64(bytes).for_each(|needle| self.look_for(needle));
    }

    /// Looks for a text as it is: a part of a request that holds a secret.
    pub fn add_text(&mut self, text: Vec<u8>) {
        if text.len() >= MIN_SCRUBBED_BYTES && !self.knows(&text) {
            self.look_for(Needle::plain(text));
        }
    }

    /// Looks for what another one looks for, too.
    pub fn add_all(&mut self, other: &Arc<Self>) {
        self.needles.extend(other.needles.iter().cloned());
        self.bytes.add_all(other.bytes);
    }

    fn look_for(&mut self, needle: Needle) {
        needle.text.expose().iter().for_each(|byte| self.bytes.add(*byte));
        self.needles.push(needle);
    }

    fn knows(&self, text: &[u8]) -> bool {
        self.needles.iter().any(|known| known.text.expose() == text)
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
            // What was found may reach further in what it stands for; else only what was escaped can show more.
            let may_show = !found.is_empty() || escapes.may_hide(text, self.bytes);
            if may_show && let Some(plain) = escapes.undone(text) {
                let parts = self.find_in(&plain);
                if !parts.is_empty() {
                    found.extend(escapes.origins(text, &parts));
                }
            }
        }
        let found = merged(found);
        (!found.is_empty()).then(|| without(text, &found))
    }

    /// In order; none overlaps another.
    fn find_in(&self, text: &[u8]) -> Vec<Range<usize>> {
        merged(self.needles.iter().flat_map(|needle| needle.find_in(text)).collect())
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
    use proptest::prelude::*;

    use super::super::part::{Encoding, encode};
    use super::*;

    impl Scrubber {
        /// Every reading of a text searched, whether anything can be in it or not.
        fn pass_plainly(&self, text: &[u8]) -> Option<Vec<u8>> {
            let mut found = self.find_in(text);
            for escapes in [Escapes::Json, Escapes::Url, Escapes::Html] {
                if let Some(plain) = escapes.undone(text) {
                    found.extend(escapes.origins(text, &self.find_in(&plain)));
                }
            }
            let found = merged(found);
            (!found.is_empty()).then(|| without(text, &found))
        }
    }

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
        assert_eq!(scrubber.scrub(secret).unwrap(), b"[redacted]");
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

    /// Bytes in which a text says `byte`: as it is, or by one of the escapes.
    fn written(byte: u8, how: usize) -> Vec<u8> {
        match how {
            0 => format!("\\u{byte:04x}").into_bytes(),
            1 => format!("%{byte:02x}").into_bytes(),
            2 => format!("&#{byte};").into_bytes(),
            3 if byte == b' ' => b"+".to_vec(),
            3 if byte == b'+' => b" ".to_vec(),
            4 if byte == b'+' => b"%20".to_vec(),
            4 if byte == b'\n' => br"\n".to_vec(),
            // The end of what another escape stands for.
            4 if byte == 0xa9 => br"\u00e9".to_vec(),
            _ => vec![byte],
        }
    }

    /// Secrets of few characters, and texts that say them, or base64 of them, with some of the characters escaped in one way.
    fn secrets_and_text() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
        let character = prop::sample::select(b"ab/+ \"\n&=\xc3\xa9".to_vec());
        let secret = prop::collection::vec(character, MIN_SCRUBBED_BYTES..=10);
        prop::collection::vec(secret, 1..3).prop_flat_map(|secrets| {
            let encoding = prop::sample::select(vec![Encoding::Raw, Encoding::Base64, Encoding::Base64Url]);
            let escaped = prop::collection::vec(prop::bool::weighted(0.3), 16);
            let noise = prop::sample::select(vec!["", " ", "+", "%2e", "=", r"\n", "x", "\\u003d"]);
            let piece = (prop::sample::select(secrets.clone()), encoding, 0..5usize, escaped, noise);
            let say = |(secret, encoding, how, escaped, noise): (Vec<u8>, _, _, Vec<bool>, &str)| {
                let mut plain = Vec::new();
                encode(encoding, &secret, &mut plain);
                let bytes = plain.iter().zip(escaped.iter().cycle());
                let said = bytes.flat_map(|(byte, escaped)| written(*byte, if *escaped { how } else { 5 }));
                said.chain(noise.bytes()).collect::<Vec<_>>()
            };
            let text = prop::collection::vec(piece.prop_map(say), 0..4).prop_map(|pieces| pieces.concat());
            (Just(secrets), text)
        })
    }

    proptest! {
        // Few of the texts say a secret in a way that only one rule finds.
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_is_not_searched_holds_nothing((secrets, text) in secrets_and_text()) {
            let secrets: Vec<_> = secrets.iter().map(Vec::as_slice).collect();
            let scrubber = scrubber(&secrets);
            prop_assert_eq!(scrubber.pass(&text), scrubber.pass_plainly(&text));
        }
    }

    #[test]
    fn what_two_secrets_share_belongs_to_both() {
        let scrubber = scrubber(&[b"shared-start-of-one", b"start-of-one-and-other"]);
        let clean = scrubber.scrub(b"<shared-start-of-one-and-other>").unwrap();
        assert_eq!(clean, b"<[redacted]>");
    }
}
