//! Tools that answer with content.

use ferrata_sdk::prelude::*;

/// A red dot.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 0x0D, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0,
    0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xDE, 0, 0, 0, 0x0C, b'I', b'D', b'A', b'T', 8, 0xD7, 0x63, 0xF8,
    0xCF, 0xC0, 0, 0, 3, 1, 1, 0, 0x18, 0xDD, 0x8D, 0xB0, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42,
    0x60, 0x82,
];

/// No sound, in a header.
const WAV: &[u8] =
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xAC\0\0\x88\x58\x01\0\x02\0\x10\0data\0\0\0\0";

/// Answers with content of its kind.
#[input]
pub struct Nothing {}

/// Reports how far it is.
#[input]
pub struct Slow {}

type Answer = Result<Content, Fault>;

pub fn image(_: &Cx<NoSettings>, _: Nothing) -> Answer {
    Ok(Content::new().image("image/png", PNG))
}

pub fn audio(_: &Cx<NoSettings>, _: Nothing) -> Answer {
    Ok(Content::new().audio("audio/wav", WAV))
}

pub fn resource(_: &Cx<NoSettings>, _: Nothing) -> Answer {
    let text = "This is an embedded resource content.";
    Ok(Content::new().document("test://embedded-resource", "text/plain", text))
}

pub fn mixed(_: &Cx<NoSettings>, _: Nothing) -> Answer {
    let json = json!({ "test": "data", "value": 123 }).to_string();
    let content = Content::new().text("Multiple content types test:").image("image/png", PNG);
    Ok(content.document("test://mixed-content-resource", "application/json", json))
}

pub fn progress(cx: &Cx<NoSettings>, _: Slow) -> Answer {
    for done in [0.0, 50.0, 100.0] {
        cx.progress(done, Some(100.0));
    }
    Ok(Content::new().text("All of it is done."))
}
