//! What is left of an answer that repeats secrets.

use arbitrary::{Arbitrary, Result, Unstructured};
use base64::Engine as _;
use base64::alphabet::{self, Alphabet};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ferrata::credential::SecretValue;
use ferrata::egress::scrub::{MIN_SCRUBBED_BYTES, REDACTED, Scrubber};

/// Longest secret that is tried, and most of them.
const MAX_SECRET_BYTES: usize = 24;
const MAX_SECRETS: usize = 3;

type Spelling = fn(&[u8], &mut Unstructured<'_>) -> Result<Vec<u8>>;

/// How a system may repeat a secret.
const SPELLINGS: [Spelling; 7] = [raw, json_short, json_long, form, url, base64_standard, base64_url];

pub fn run(input: &[u8]) {
    let _ = repeated(&mut Unstructured::new(input));
}

fn repeated(input: &mut Unstructured<'_>) -> Result<()> {
    let mut scrubber = Scrubber::default();
    let secrets =
        (0..input.int_in_range(1..=MAX_SECRETS)?).map(|_| secret(input)).collect::<Result<Vec<_>>>()?;
    secrets.iter().for_each(|secret| scrubber.add(&SecretValue::new(secret.clone())));
    let mut text = Vec::new();
    while !input.is_empty() {
        text.extend(<Vec<u8>>::arbitrary(input)?);
        let spell = input.choose(&SPELLINGS)?;
        text.extend(spell(input.choose(&secrets)?, input)?);
    }
    let scrubbed = scrubber.scrub(&text).unwrap_or_else(|| text.clone());
    for secret in &secrets {
        if let Some(how) = shows(&scrubbed, secret) {
            panic!("{how}: {:?} shows {:?}", lossy(&scrubbed), lossy(secret));
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands in a secret's place has brackets; a secret with one, or one that is the word between them, could come to be by scrubbing another.
fn secret(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = input.int_in_range(MIN_SCRUBBED_BYTES..=MAX_SECRET_BYTES)?;
    if input.peek_bytes(length).is_some_and(|secret| holds(REDACTED.as_bytes(), secret)) {
        return Err(arbitrary::Error::IncorrectFormat);
    }
    (0..length)
        .map(|_| Ok(u8::arbitrary(input)?).map(|b| if matches!(b, b'[' | b']') { b'_' } else { b }))
        .collect()
}

fn raw(secret: &[u8], _: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(secret.to_vec())
}

fn json_short(secret: &[u8], _: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let quoted = serde_json::to_string(&lossy(secret)).unwrap_or_default();
    Ok(quoted.trim_matches('"').replace('/', "\\/").into_bytes())
}

/// As those write it who leave nothing but ASCII, and escape some of that.
fn json_long(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut out = String::new();
    for character in lossy(secret).chars() {
        if character.is_ascii_alphanumeric() && bool::arbitrary(input)? {
            out.push(character);
        } else {
            let upper = bool::arbitrary(input)?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                out += &if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
            }
        }
    }
    Ok(out.into_bytes())
}

fn form(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(lossy(&url(secret, input)?).replace("%20", "+").into_bytes())
}

fn url(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let upper = bool::arbitrary(input)?;
    let mut out = Vec::new();
    for byte in secret {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(*byte),
            _ if upper => out.extend(format!("%{byte:02X}").bytes()),
            _ => out.extend(format!("%{byte:02x}").bytes()),
        }
    }
    Ok(out)
}

fn base64_standard(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(engine(&alphabet::STANDARD).encode(surrounded(secret, input)?).into_bytes())
}

fn base64_url(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(engine(&alphabet::URL_SAFE).encode(surrounded(secret, input)?).into_bytes())
}

fn surrounded(secret: &[u8], input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (before, after) = (<Vec<u8>>::arbitrary(input)?, <Vec<u8>>::arbitrary(input)?);
    Ok([&before[..], secret, &after].concat())
}

/// Takes any text of its alphabet.
fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

/// How a reader could still get the secret out of the text.
fn shows(text: &[u8], secret: &[u8]) -> Option<&'static str> {
    let readings =
        [("as it is", text.to_vec()), ("as JSON", unescaped(text)), ("as a URL", percent_decoded(text))];
    for (how, reading) in readings {
        if holds(&reading, secret) || holds(&reading, lossy(secret).as_bytes()) {
            return Some(how);
        }
        if [alphabet::STANDARD, alphabet::URL_SAFE]
            .iter()
            .any(|alphabet| holds_in_base64(&reading, secret, alphabet))
        {
            return Some("in base64");
        }
    }
    let with_spaces: Vec<_> =
        percent_decoded(&text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect::<Vec<_>>());
    holds(&with_spaces, secret).then_some("as a form")
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

fn holds_in_base64(text: &[u8], secret: &[u8], alphabet: &Alphabet) -> bool {
    let engine = engine(alphabet);
    let runs = text.split(|byte| !alphabet.as_str().as_bytes().contains(byte));
    runs.flat_map(|run| (0..4).map(move |skipped| run.get(skipped..).unwrap_or_default()))
        // One character alone at the end says nothing.
        .map(|run| if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run })
        .any(|run| engine.decode(run).is_ok_and(|plain| holds(&plain, secret)))
}

/// The escapes of JSON undone, and what is none left as it is.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < text.len() {
        // Longest first: a pair of surrogates, one `\u`, two characters.
        let escape = [12, 6, 2].iter().find_map(|length| {
            let escape = text.get(at..at + length).filter(|escape| escape.starts_with(b"\\"))?;
            let quoted = [b"\"", escape, b"\""].concat();
            let meant = serde_json::from_slice::<String>(&quoted).ok()?;
            (meant.chars().count() == 1).then_some((*length, meant))
        });
        match escape {
            Some((length, meant)) => (plain.extend(meant.bytes()), at += length),
            None => (plain.push(text[at]), at += 1),
        };
    }
    plain
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let code = text
            .get(at + 1..at + 3)
            .filter(|code| text[at] == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        match code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()) {
            Some(byte) => (plain.push(byte), at += 3),
            None => (plain.push(text[at]), at += 1),
        };
    }
    plain
}
