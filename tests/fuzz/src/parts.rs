//! What guests write: parts of values and bodies, and paths.

use std::convert::Infallible;

use arbitrary::{Arbitrary, Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ferrata::config::BaseUrl;
use ferrata::credential::SecretValue;
use ferrata::egress::part::{Atom, Encoding, Part};
use ferrata::egress::path::GuestPath;

const ENCODINGS: [Encoding; 5] =
    [Encoding::Raw, Encoding::Base64, Encoding::Base64Url, Encoding::Form, Encoding::Json];

/// Upstreams below which a path must stay, and their paths.
const BASES: [(&str, &str); 3] =
    [("https://slack.com/api", "/api/"), ("http://127.0.0.1:8080", "/"), ("https://a.example/x/y/", "/x/y/")];

pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((0, rest)) => drop(written(&mut Unstructured::new(rest))),
        Some((which, rest)) => path(usize::from(*which) % BASES.len(), &String::from_utf8_lossy(rest)),
        None => {}
    }
}

/// What an encoding writes can be read, whatever it was put together from.
fn written(input: &mut Unstructured<'_>) -> Result<()> {
    let encoding = *input.choose(&ENCODINGS)?;
    let secret = SecretValue::new(<Vec<u8>>::arbitrary(input)?);
    let (mut atoms, mut plain) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        if bool::arbitrary(input)? {
            atoms.push(Atom::Secret("name".to_owned()));
            plain.extend_from_slice(secret.expose());
        } else {
            let bytes = <Vec<u8>>::arbitrary(input)?;
            plain.extend_from_slice(&bytes);
            atoms.push(Atom::Bytes(bytes));
        }
    }
    let mut out = b"before".to_vec();
    let lookup = |_: &str| Ok::<_, Infallible>(&secret);
    let Ok(()) = Part { encoding, atoms }.write(&mut out, &lookup);
    let encoded = out.strip_prefix(b"before").expect("what stood there before");
    assert_eq!(read(encoding, encoded), Some(as_far_as_it_can(encoding, plain)), "{encoding:?}");
    Ok(())
}

/// JSON holds text.
fn as_far_as_it_can(encoding: Encoding, plain: Vec<u8>) -> Vec<u8> {
    match encoding {
        Encoding::Json => String::from_utf8_lossy(&plain).into_owned().into_bytes(),
        _ => plain,
    }
}

/// Reads as the receiver would, in the place that the encoding is for.
fn read(encoding: Encoding, encoded: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Raw => Some(encoded.to_vec()),
        Encoding::Base64 => STANDARD.decode(encoded).ok(),
        Encoding::Base64Url => URL_SAFE_NO_PAD.decode(encoded).ok(),
        Encoding::Form => form_value(encoded),
        Encoding::Json => {
            let text = [b"\"", encoded, b"\""].concat();
            serde_json::from_slice::<String>(&text).ok().map(String::into_bytes)
        }
    }
}

/// One value of a form; none if it would not stay one.
fn form_value(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'+', _) => (after, plain.push(b' ')),
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                (after, plain.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?))
            }
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_', _) => {
                (after, plain.push(*first))
            }
            _ => return None,
        };
    }
    Some(plain)
}

/// A path that is accepted is below its upstream for a browser's reading of it too.
fn path(which: usize, text: &str) {
    let Ok(path) = GuestPath::parse(text) else { return };
    assert_eq!(path.as_str(), text);
    let (base, root) = BASES[which];
    let uri =
        BaseUrl::parse(base).unwrap().join(path.as_str()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let (base, read) = (url::Url::parse(base).unwrap(), url::Url::parse(&uri.to_string()).unwrap());
    assert_eq!(read.origin(), base.origin(), "{text:?}");
    assert!(read.username().is_empty() && read.password().is_none(), "{text:?}");
    assert!(read.path().starts_with(root), "{text:?} is at {read}");
    // Also for a server that decodes first.
    let decoded = percent_decoded(read.path());
    assert!(!decoded.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")), "{text:?}");
}

fn percent_decoded(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => (rest, _) = (&after[2..], plain.push(byte)),
            _ => (rest, _) = (after, plain.push(*first)),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
