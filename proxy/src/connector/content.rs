//! Content blocks that a guest wrote: of a known type, with the members that the type must have, and well formed.
//!
//! What is passed on is what was read here, written anew: no member stands there twice, and no reader sees another block than the host did.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Most blocks of one answer: a model reads each of them.
const MAX_BLOCKS: usize = 256;

/// Longest address of a resource, in bytes.
const MAX_URI_BYTES: usize = 8 << 10;

/// Longest media type, in bytes: RFC 6838 allows 127 on each side.
const MAX_MIME_BYTES: usize = 255;

/// How much base64 is checked at a time, in bytes; a multiple of 4.
const BASE64_CHUNK: usize = 4 << 10;

type Block = Map<String, Value>;

/// The blocks of an answer; the error is a sentence's end.
pub fn check(json: &str) -> Result<Vec<Value>, String> {
    let blocks: Vec<Value> =
        serde_json::from_str(json).map_err(|e| format!("its content is not a list of blocks ({e})"))?;
    if blocks.is_empty() || blocks.len() > MAX_BLOCKS {
        return Err(format!("{} blocks of content; 1 to {MAX_BLOCKS}", blocks.len()));
    }
    for (number, block) in blocks.iter().enumerate() {
        check_block(block).map_err(|why| format!("block {number} of its content {why}"))?;
    }
    Ok(blocks)
}

/// Puts the JSON of an answer's object before its blocks, unless one of them says the same.
pub fn add_text_of(blocks: &mut Vec<Value>, json: &str, value: &Value) {
    let says_it = |block: &Value| {
        let text = (block["type"] == "text").then(|| block["text"].as_str()).flatten();
        // Most texts are prose and need not be read.
        let text = text.filter(|text| text.trim_start().starts_with('{'));
        text.is_some_and(|text| serde_json::from_str::<Value>(text).is_ok_and(|said| said == *value))
    };
    if !blocks.iter().any(says_it) {
        blocks.insert(0, json!({ "type": "text", "text": json }));
    }
}

/// One block; the error says what it does wrong.
pub fn check_block(block: &Value) -> Result<(), String> {
    let block = block.as_object().ok_or("is no object")?;
    for name in ["annotations", "_meta"] {
        if block.get(name).is_some_and(|member| !member.is_object()) {
            return Err(format!("has `{name}` that are no object"));
        }
    }
    match block.get("type").and_then(Value::as_str) {
        Some("text") => text(block, "text").map(|_| ()),
        Some(kind @ ("image" | "audio")) => {
            base64(text(block, "data")?, "data")?;
            let of_kind = mime(text(block, "mimeType")?)?.strip_prefix(kind);
            let of_kind = of_kind.is_some_and(|rest| rest.starts_with('/'));
            of_kind.then_some(()).ok_or_else(|| format!("is {kind} of another media type"))
        }
        Some("resource") => {
            let resource = block.get("resource").and_then(Value::as_object);
            contents(resource.ok_or("is a resource without `resource`")?)
        }
        Some("resource_link") => {
            text(block, "name")?;
            address(block)
        }
        _ => Err("has an unknown `type`".to_owned()),
    }
}

/// What a resource contains: text or binary.
pub fn contents(resource: &Block) -> Result<(), String> {
    address(resource)?;
    match (resource.get("text"), resource.get("blob")) {
        (Some(Value::String(_)), None) => Ok(()),
        (None, Some(Value::String(blob))) => base64(blob, "blob"),
        _ => Err("has neither `text` nor `blob`, or both".to_owned()),
    }
}

fn address(holder: &Block) -> Result<(), String> {
    let uri = text(holder, "uri")?;
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !named || uri.len() > MAX_URI_BYTES || uri.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("has a `uri` that is none".to_owned());
    }
    holder.get("mimeType").map_or(Ok(()), |_| mime(text(holder, "mimeType")?).map(|_| ()))
}

fn mime(text: &str) -> Result<&str, String> {
    let sides = text.split_once('/').filter(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    let printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let is_type = sides.is_some() && printable && text.len() <= MAX_MIME_BYTES;
    is_type.then_some(text).ok_or_else(|| "has a `mimeType` that is none".to_owned())
}

fn text<'a>(holder: &'a Block, name: &str) -> Result<&'a str, String> {
    holder.get(name).and_then(Value::as_str).ok_or_else(|| format!("has no text as `{name}`"))
}

/// Checked piece by piece, so that nothing of its size is allocated.
fn base64(text: &str, name: &str) -> Result<(), String> {
    let mut decoded = [0; BASE64_CHUNK];
    let mut chunks = text.as_bytes().chunks(BASE64_CHUNK).peekable();
    while let Some(chunk) = chunks.next() {
        let padded_inside = chunks.peek().is_some() && chunk.contains(&b'=');
        if padded_inside || STANDARD.decode_slice(chunk, &mut decoded).is_err() {
            return Err(format!("has `{name}` that is not base64 (standard alphabet, padded)"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(block: Value) -> Result<(), String> {
        check(&json!([block]).to_string()).map(|_| ())
    }

    #[test]
    fn each_type_has_what_it_must() {
        for good in [
            json!({"type": "text", "text": "", "annotations": {"audience": ["user"]}, "_meta": {}}),
            json!({"type": "image", "data": "iVBORw==", "mimeType": "image/png"}),
            json!({"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}),
            json!({"type": "resource", "resource": {"uri": "test://a", "text": "a", "mimeType": "text/plain; charset=utf-8"}}),
            json!({"type": "resource", "resource": {"uri": "urn:a:b", "blob": "AA=="}}),
            json!({"type": "resource_link", "uri": "file:///a", "name": "a", "size": 3}),
        ] {
            assert_eq!(verdict(good.clone()), Ok(()), "{good}");
        }
        for bad in [
            json!("text"),
            json!({"text": "a"}),
            json!({"type": "video", "data": "", "mimeType": "video/mp4"}),
            json!({"type": "text"}),
            json!({"type": "text", "text": 7}),
            json!({"type": "text", "text": "a", "annotations": []}),
            json!({"type": "image", "data": "iVBORw==", "mimeType": "text/html"}),
            json!({"type": "image", "data": "iVBORw==", "mimeType": "imagepng"}),
            json!({"type": "image", "data": "iVBORw==", "mimeType": "image/png\nx"}),
            json!({"type": "audio", "mimeType": "audio/wav"}),
            json!({"type": "resource", "resource": {"uri": "test://a"}}),
            json!({"type": "resource", "resource": {"uri": "test://a", "text": "a", "blob": "AA=="}}),
            json!({"type": "resource", "resource": {"text": "a"}}),
            json!({"type": "resource_link", "uri": "file:///a"}),
            json!({"type": "resource_link", "uri": "no address", "name": "a"}),
        ] {
            assert!(verdict(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn base64_is_standard_and_padded_wherever_its_pieces_end() {
        for bytes in [0, 1, 2, 3, 3071, 3072, 3073, 10_000] {
            let whole = STANDARD.encode(vec![0xFB; bytes]);
            assert_eq!(base64(&whole, "data"), Ok(()), "{bytes}");
        }
        let piece = STANDARD.encode(vec![0xFB; 3071]);
        for bad in ["AA", "AA=", "A A=", "-_-_", "AAAA=", "AB==", &format!("{piece}AAAA")] {
            assert!(base64(bad, "data").is_err(), "{bad}");
        }
    }

    #[test]
    fn blocks_are_some_but_not_many() {
        let blocks = |count| json!(vec![json!({"type": "text", "text": "a"}); count]).to_string();
        assert!(check(&blocks(MAX_BLOCKS)).is_ok() && check(&blocks(MAX_BLOCKS + 1)).is_err());
        for bad in ["", "[]", "{}", "[", r#"[{"type":"text","text":"a"}] x"#] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_object_stands_as_text_once() {
        let (said, value) = (r#"{ "a" : 1 }"#, json!({"a": 1}));
        let mut blocks = vec![json!({"type": "text", "text": "prose"})];
        add_text_of(&mut blocks, said, &value);
        assert_eq!((blocks.len(), &blocks[0]["text"]), (2, &json!(said)));
        add_text_of(&mut blocks, r#"{"a":1}"#, &value);
        assert_eq!(blocks.len(), 2);
    }
}
