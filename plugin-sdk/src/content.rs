//! Content for a model and its user: text, images, sound, resources. Beside a tool's object, or instead of one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Blocks of content, in the order in which they are read. The host refuses what is not well formed, and more than 256 of them.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// # const CHART: Operation = Operation::get("api", "chart", "/charts/{id}");
/// /// Draws a chart of the figures.
/// #[input]
/// struct DrawChart {
///     id: String,
/// }
///
/// #[output]
/// struct Chart {
///     points: usize,
/// }
///
/// fn draw_chart(cx: &Cx<NoSettings>, input: DrawChart) -> Result<WithContent<Chart>, Fault> {
///     let png = cx.request(&CHART).segment("id", input.id).send()?;
///     Ok(Content::new().image("image/png", png.body()).beside(Chart { points: 7 }))
/// }
///
/// let tool: Tool<NoSettings> = tool("draw_chart", &CHART, draw_chart);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    blocks: Vec<Value>,
}

/// A tool's object with content beside it. The tool's output schema is the object's; the agent gets the object as text too.
#[derive(Clone, Debug, PartialEq)]
pub struct WithContent<T> {
    /// The object.
    pub object: T,
    /// What is beside it.
    pub content: Content,
}

impl Content {
    /// Nothing yet. A tool must return something.
    pub fn new() -> Self {
        Self::default()
    }

    /// Text.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.block(json!({ "type": "text", "text": text.into() }))
    }

    /// An image, and its media type ("image/png").
    pub fn image(self, mime_type: &str, bytes: &[u8]) -> Self {
        self.block(json!({ "type": "image", "mimeType": mime_type, "data": STANDARD.encode(bytes) }))
    }

    /// Sound, and its media type ("audio/wav").
    pub fn audio(self, mime_type: &str, bytes: &[u8]) -> Self {
        self.block(json!({ "type": "audio", "mimeType": mime_type, "data": STANDARD.encode(bytes) }))
    }

    /// A document of text, with the address that it is known by.
    pub fn document(self, uri: &str, mime_type: &str, text: impl Into<String>) -> Self {
        let resource = json!({ "uri": uri, "mimeType": mime_type, "text": text.into() });
        self.block(json!({ "type": "resource", "resource": resource }))
    }

    /// A document of bytes, with the address that it is known by.
    pub fn file(self, uri: &str, mime_type: &str, bytes: &[u8]) -> Self {
        let resource = json!({ "uri": uri, "mimeType": mime_type, "blob": STANDARD.encode(bytes) });
        self.block(json!({ "type": "resource", "resource": resource }))
    }

    /// Where more is to be read.
    pub fn link(self, uri: &str, name: &str) -> Self {
        self.block(json!({ "type": "resource_link", "uri": uri, "name": name }))
    }

    /// A block as MCP has it, such as one that another MCP server returned.
    pub fn block(mut self, block: Value) -> Self {
        self.blocks.push(block);
        self
    }

    /// Puts this beside a tool's object.
    pub fn beside<T>(self, object: T) -> WithContent<T> {
        WithContent { object, content: self }
    }

    pub(crate) fn into_blocks(self) -> Vec<Value> {
        self.blocks
    }

    pub(crate) fn into_json(self) -> String {
        Value::Array(self.blocks).to_string()
    }
}
