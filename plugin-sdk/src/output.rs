//! What a tool's function may return, and what of it the host gets.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::ask::MayAsk;
use crate::bindings::base::exports::ferrata::connector::tools::Answer;
use crate::bindings::base::ferrata::connector::types as wire;
use crate::content::{Content, WithContent};
use crate::fault::Fault;
use crate::schema;

/// What a tool may return: a type that is its object ([`output`](crate::output)), [`Content`], both ([`WithContent`]), or any of these
/// unless it has to ask first ([`MayAsk`]).
pub trait ToolOutput {
    /// The schema of the object, if there always is one.
    #[doc(hidden)]
    fn schema() -> Option<Value>;

    #[doc(hidden)]
    fn into_answer(self) -> Result<Answer, Fault>;
}

impl<T: Serialize + JsonSchema> ToolOutput for T {
    fn schema() -> Option<Value> {
        Some(schema::output::<T>())
    }

    fn into_answer(self) -> Result<Answer, Fault> {
        written(&self).map(Answer::Object)
    }
}

impl ToolOutput for Content {
    fn schema() -> Option<Value> {
        None
    }

    fn into_answer(self) -> Result<Answer, Fault> {
        Ok(Answer::Content(wire::Content { blocks: self.into_json(), structured: None }))
    }
}

impl<T: Serialize + JsonSchema> ToolOutput for WithContent<T> {
    fn schema() -> Option<Value> {
        T::schema()
    }

    fn into_answer(self) -> Result<Answer, Fault> {
        let structured = Some(written(&self.object)?);
        Ok(Answer::Content(wire::Content { blocks: self.content.into_json(), structured }))
    }
}

impl<T: ToolOutput> ToolOutput for MayAsk<T> {
    fn schema() -> Option<Value> {
        T::schema()
    }

    fn into_answer(self) -> Result<Answer, Fault> {
        match self {
            Self::Done(output) => output.into_answer(),
            Self::Ask(ask) => Ok(Answer::InputRequired(ask.into_wire())),
        }
    }
}

fn written<O: Serialize>(output: &O) -> Result<String, Fault> {
    serde_json::to_string(output)
        .map_err(|error| Fault::broken(format!("The tool's result cannot be written as JSON: {error}.")))
}
