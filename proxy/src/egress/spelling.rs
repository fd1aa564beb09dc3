//! How a secret may look when a system repeats it: as it is, somewhere inside base64, or with characters escaped.
//!
//! Owns the spellings. What is looked for, and what stands in its place, is `scrub`'s.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::{memchr, memchr2, memmem};

use crate::credential::SecretValue;

/// Bytes that four characters of base64 stand for.
const GROUP: usize = 3;

/// Most `=` at the end of base64.
const MAX_PADDING: usize = 2;

/// A text to be found, and how many characters beside it belong to the same secret.
#[derive(Clone, Debug)]
pub struct Needle {
    pub text: SecretValue,
    /// Characters of base64 that hold the secret's first or last bytes together with something else.
    before: usize,
    after: usize,
    padding: usize,
}

impl Needle {
    /// A text that is looked for as it is.
    pub fn plain(text: Vec<u8>) -> Self {
        Self { text: SecretValue::new(text), before: 0, after: 0, padding: 0 }
    }

    /// What base64 makes of a secret whatever surrounds it: the characters that depend on nothing else, for each number of its bytes that may
    /// share a group with what stands before.
    pub fn in_base64(secret: &[u8]) -> impl Iterator<Item = Self> {
        (0..GROUP).flat_map(move |shared| {
            let rest = secret.get(shared..).unwrap_or_default();
            let (whole, left) = rest.split_at(rest.len() - rest.len() % GROUP);
            let standard = STANDARD_NO_PAD.encode(whole);
            // The alphabets differ in two characters, which most secrets do not come to.
            let url_safe = standard.contains(['+', '/']).then(|| URL_SAFE_NO_PAD.encode(whole));
            std::iter::once(standard).chain(url_safe).map(move |text| Self {
                text: SecretValue::new(text.into_bytes()),
                before: characters(shared),
                after: characters(left.len()),
                padding: MAX_PADDING,
            })
        })
    }

    /// Where it stands in `text`, with what belongs to it.
    pub fn find_in<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> {
        let needle = self.text.expose();
        // Short texts are many, each header is one, and to prepare a search costs more than the search.
        let found = (needle.len() <= text.len()).then(|| memmem::find_iter(text, needle));
        found.into_iter().flatten().map(move |at| {
            let end = (at + needle.len() + self.after).min(text.len());
            let padding = text[end..].iter().take(self.padding).take_while(|byte| **byte == b'=').count();
            at.saturating_sub(self.before)..end + padding
        })
    }
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    pub fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    pub fn add_all(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, others)| *mine |= others);
    }

    fn has(self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
    }
}

/// Characters that hold any of so many bytes at one end of a group.
const fn characters(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + 1 }
}

/// How characters are escaped.
#[derive(Clone, Copy, Debug)]
pub enum Escapes {
    /// Backslashes (RFC 8259 section 7).
    Json,
    /// Percent signs (RFC 3986 section 2.1). A space is a plus, as in forms: which of them was meant nobody can tell.
    Url,
    /// Character references: numbers, and the names of the five that everybody escapes (HTML, "Named character references").
    Html,
}

/// Longest character reference, from its sign to its semicolon.
const LONGEST_REFERENCE: usize = "&#x10FFFF;".len();

/// What an escape stands for.
#[derive(Clone, Copy)]
struct Meant {
    bytes: [u8; 4],
    length: usize,
}

impl Meant {
    fn character(character: char) -> Self {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }
}

/// A part of a text: an escape and what it stands for, or bytes that stand for themselves.
struct Step {
    at: Range<usize>,
    meant: Option<Meant>,
}

impl Escapes {
    /// Whether undoing them may show some text of those bytes alone that is not there as it is: such a text has a byte that was written
    /// otherwise.
    pub fn may_hide(self, text: &[u8], bytes: ByteSet) -> bool {
        // A space becomes a plus, wherever it stands.
        let spaces = matches!(self, Self::Url) && bytes.has(b'+');
        let counts = |byte: &u8| bytes.has(*byte) || (spaces && *byte == b' ');
        let mut escaped = self.steps(text).filter_map(|step| step.meant);
        self.stand_in(text)
            && (escaped.any(|meant| meant.bytes[..meant.length].iter().any(counts))
                || (spaces && text.contains(&b' ')))
    }

    fn stand_in(self, text: &[u8]) -> bool {
        match self {
            Self::Json | Self::Html => memchr(self.sign(), text).is_some(),
            Self::Url => memchr2(b'%', b'+', text).is_some(),
        }
    }

    /// The text without them; none if there are none.
    pub fn undone(self, text: &[u8]) -> Option<Vec<u8>> {
        self.stand_in(text).then(|| {
            let mut plain = Vec::with_capacity(text.len());
            for step in self.steps(text) {
                match step.meant {
                    Some(meant) => plain.extend_from_slice(&meant.bytes[..meant.length]),
                    None => plain.extend_from_slice(&text[step.at]),
                }
            }
            if matches!(self, Self::Url) {
                plain.iter_mut().filter(|byte| **byte == b' ').for_each(|byte| *byte = b'+');
            }
            plain
        })
    }

    /// Where in the text these parts of [`Self::undone`] come from. `parts` are in order and do not overlap.
    pub fn origins(self, text: &[u8], parts: &[Range<usize>]) -> Vec<Range<usize>> {
        let (mut plain, mut found) = (0, Vec::with_capacity(parts.len()));
        let (mut starts, mut ends) = (parts.iter().peekable(), parts.iter().peekable());
        for Step { at, meant } in self.steps(text) {
            let next = plain + meant.map_or(at.len(), |meant| meant.length);
            while let Some(part) = starts.next_if(|part| part.start < next) {
                let from = if meant.is_some() { at.start } else { at.start + part.start - plain };
                found.push(from..from);
            }
            while let Some(part) = ends.next_if(|part| part.end <= next) {
                let index = parts.len() - ends.len() - 1;
                found[index].end = if meant.is_some() { at.end } else { at.start + part.end - plain };
            }
            plain = next;
        }
        found
    }

    fn steps(self, text: &[u8]) -> impl Iterator<Item = Step> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
            let (length, meant) = match self.read(rest) {
                Some((length, meant)) => (length, Some(meant)),
                // Up to what may be the next escape.
                None => (memchr(self.sign(), &rest[1..]).map_or(rest.len(), |n| n + 1), None),
            };
            let at = from..from + length;
            from = at.end;
            Some(Step { at, meant })
        })
    }

    const fn sign(self) -> u8 {
        match self {
            Self::Json => b'\\',
            Self::Url => b'%',
            Self::Html => b'&',
        }
    }

    /// The length of the escape that `text` begins with, and what it stands for.
    fn read(self, text: &[u8]) -> Option<(usize, Meant)> {
        match (self, text) {
            (Self::Url, [b'%', high, low, ..]) => {
                let byte = number(&[*high, *low], 16)?.try_into().ok()?;
                Some((3, Meant::byte(byte)))
            }
            (Self::Json, [b'\\', b'u', ..]) => {
                let unit = |text| u16::try_from(number(text, 16)?).ok();
                let first = unit(text.get(2..6)?)?;
                let second =
                    text.get(6..12).filter(|rest| rest.starts_with(b"\\u")).and_then(|rest| unit(&rest[2..]));
                let units = [Some(first), second].into_iter().flatten();
                let character = char::decode_utf16(units).next()?.ok()?;
                Some((6 * character.len_utf16(), Meant::character(character)))
            }
            (Self::Json, [b'\\', letter, ..]) => {
                let byte = match letter {
                    b'"' | b'\\' | b'/' => *letter,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return None,
                };
                Some((2, Meant::byte(byte)))
            }
            (Self::Html, [b'&', ..]) => reference(text),
            _ => None,
        }
    }
}

/// The length of the character reference that `text` begins with, and what it stands for.
fn reference(text: &[u8]) -> Option<(usize, Meant)> {
    let end = text.iter().take(LONGEST_REFERENCE).position(|byte| *byte == b';')?;
    let character = match &text[1..end] {
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        _ => return None,
    };
    Some((end + 1, Meant::character(character)))
}

/// A number of digits alone.
fn number(digits: &[u8], base: u32) -> Option<u32> {
    let mut each = digits.iter().map(|byte| char::from(*byte).to_digit(base));
    let first = each.next()??;
    each.try_fold(first, |number, digit| number.checked_mul(base)?.checked_add(digit?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_undone_and_found_again() {
        for (escapes, text, plain, part) in [
            (Escapes::Json, r#"a\u00e9\/\ud83d\ude00z"#, "aé/😀z", "/😀"),
            (Escapes::Json, r"a\x\ud83d!", r"a\x\ud83d!", r"\x"),
            (Escapes::Url, "a%2Fb%2f+%4z%", "a/b/+%4z%", "/b/+"),
            (Escapes::Html, "a&#x2F;&#47;b&amp;&quot;&x;&#;&#x110000;", "a//b&\"&x;&#;&#x110000;", "/b&"),
        ] {
            let undone = escapes.undone(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&undone), plain);
            let start = plain.find(part).unwrap();
            let parts = std::iter::once(start..start + part.len()).collect::<Vec<_>>();
            let origins = escapes.origins(text.as_bytes(), &parts);
            let origin = &text[origins[0].clone()];
            assert_eq!(escapes.undone(origin.as_bytes()).unwrap(), part.as_bytes(), "{origin}");
        }
        assert!(Escapes::Json.undone(b"nothing").is_none());
    }

    #[test]
    fn both_alphabets_are_looked_for_where_they_differ() {
        for secret in [b"\xff\xff\xff\xff\xff\xff", b"\xfb\xef\xbe\xfb\xef\xbe"] {
            for text in [STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)] {
                assert!(
                    Needle::in_base64(secret).any(|n| n.find_in(text.as_bytes()).next().is_some()),
                    "{text}"
                );
            }
        }
        assert_eq!(Needle::in_base64(b"0123456789").count(), 3);
    }

    #[test]
    fn base64_shows_a_secret_in_three_ways() {
        let secret = b"0123456789";
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = STANDARD_NO_PAD.encode([before.as_bytes(), secret, after.as_bytes()].concat());
                let found: Vec<_> = Needle::in_base64(secret)
                    .flat_map(|n| n.find_in(text.as_bytes()).collect::<Vec<_>>())
                    .collect();
                assert!(!found.is_empty(), "{before} {after}");
                // What is left are whole groups of what surrounds it.
                assert!(
                    found.iter().all(|at| at.start % 4 == 0 || at.start <= before.len() * 4 / 3),
                    "{found:?}"
                );
            }
        }
    }
}
