//! What a tool answers: bounded and checked before an agent sees it.

use serde_json::Value;

use super::bindings::{tools, types};
use super::{ToolSpec, content, question};
use crate::call::{Content, JsonText, ToolResult};
use crate::fault::{Fault, FaultKind, quotable};

impl ToolSpec {
    /// An answer, if it is what its kind must be and keeps what the output schema promises. `bound` is the largest, in bytes.
    pub fn accept(&self, connector: &str, answer: tools::Answer, bound: usize) -> Result<ToolResult, Fault> {
        let promise = Promise { tool: self, connector, bound };
        match answer {
            tools::Answer::Object(json) => promise.object(json).map(|(json, _)| ToolResult::Object(json)),
            tools::Answer::Content(content) => promise.content(content).map(ToolResult::Content),
            tools::Answer::InputRequired(types::Question { requests, state }) => {
                let asked = question::check(&requests, state).map_err(|why| promise.broken(&why))?;
                Ok(ToolResult::Question(asked))
            }
        }
    }
}

/// What one tool must keep.
struct Promise<'a> {
    tool: &'a ToolSpec,
    connector: &'a str,
    bound: usize,
}

impl Promise<'_> {
    /// An object, as it is and read.
    fn object(&self, json: String) -> Result<(JsonText, Value), Fault> {
        self.fits(json.len())?;
        let (json, value) =
            JsonText::read(json).map_err(|e| self.broken(&format!("the result is not JSON ({e})")))?;
        match &self.tool.output {
            // Only to say yes or no is faster than to be ready to say why not.
            Some(schema) if schema.is_valid(&value) => {}
            Some(schema) => {
                schema.validate(&value).map_err(|error| {
                    // What the value is belongs to whoever owns it, not to a message.
                    let path = quotable(&error.instance_path().to_string());
                    let what = quotable(&error.masked().to_string());
                    self.fault(FaultKind::SchemaMismatch, &format!("at `{path}`: {what}")).with_path(path)
                })?;
            }
            None if !value.is_object() => return Err(self.broken("the result is no object")),
            None => {}
        }
        Ok((json, value))
    }

    fn content(&self, content: types::Content) -> Result<Content, Fault> {
        self.fits(content.blocks.len() + content.structured.as_ref().map_or(0, String::len))?;
        let mut blocks = content::check(&content.blocks).map_err(|why| self.broken(&why))?;
        let structured = match content.structured {
            Some(json) => {
                let (json, value) = self.object(json)?;
                content::add_text_of(&mut blocks, json.get(), &value);
                Some(json)
            }
            None if self.tool.output.is_some() => {
                return Err(self.broken("content without the object that its output schema promises"));
            }
            None => None,
        };
        let blocks = serde_json::value::to_raw_value(&blocks).map_err(Fault::internal)?;
        Ok(Content { blocks, structured })
    }

    fn fits(&self, bytes: usize) -> Result<(), Fault> {
        let why = || format!("a result of {bytes} bytes; at most {}", self.bound);
        if bytes > self.bound { Err(self.broken(&why())) } else { Ok(()) }
    }

    fn broken(&self, why: &str) -> Fault {
        self.fault(FaultKind::ConnectorFailed, why)
    }

    fn fault(&self, kind: FaultKind, why: &str) -> Fault {
        let (connector, tool) = (self.connector, &self.tool.name);
        Fault::new(kind, format!("The connector `{connector}` broke the promise of `{tool}`: {why}."))
    }
}
