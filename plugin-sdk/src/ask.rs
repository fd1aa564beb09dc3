//! Asking the agent's client before there is an answer: its user, its model, its folders.
//!
//! A question ends the call. The agent makes the call again, with what it found out and the state that the question carried, and the tool
//! starts from its beginning.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::bindings::base::ferrata::connector::types as wire;
use crate::schema;

/// What a tool returns that may have to ask first.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// # const DELETE: Operation = Operation::delete("api", "delete", "/folders/{id}");
/// /// Deletes a folder with everything in it, once the user has agreed.
/// #[input]
/// struct DeleteFolder {
///     id: String,
/// }
///
/// #[data]
/// struct Agreement {
///     /// Really delete it?
///     agreed: bool,
/// }
///
/// #[output]
/// struct Deleted {
///     done: bool,
/// }
///
/// fn delete_folder(cx: &Cx<NoSettings>, input: DeleteFolder) -> Result<MayAsk<Deleted>, Fault> {
///     match cx.inputs().form::<Agreement>("agreement") {
///         // Asked nothing yet, or the answer does not fit.
///         None => Ok(MayAsk::Ask(Ask::new().form::<Agreement>("agreement", "Delete the folder and its content?"))),
///         Some(Filled::Accepted(Agreement { agreed: true })) => {
///             cx.request(&DELETE).segment("id", input.id).send()?;
///             Ok(MayAsk::Done(Deleted { done: true }))
///         }
///         Some(_) => Ok(MayAsk::Done(Deleted { done: false })),
///     }
/// }
///
/// let tool: Tool<NoSettings> = tool("delete_folder", &DELETE, delete_folder);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum MayAsk<T> {
    /// The answer.
    Done(T),
    /// A question. Not after something was written: the next run would write it again, and the host refuses it.
    Ask(Ask),
}

/// A question: one request or several, each under a key of its own, and what to remember until they are answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    requests: Map<String, Value>,
    state: Option<String>,
}

/// What a client can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bring {
    /// The user fills in a form.
    Form,
    /// The user visits an address.
    Visit,
    /// The model answers.
    Sample,
    /// The folders that the client works in.
    Roots,
}

impl Ask {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the user fill in a form: a flat struct of texts, numbers and truths.
    pub fn form<T: JsonSchema>(self, key: &str, message: &str) -> Self {
        let mut form = schema::input::<T>();
        if let Some(schema) = form.as_object_mut() {
            // Forms know few words of JSON Schema.
            schema.retain(|word, _| matches!(word.as_str(), "type" | "properties" | "required"));
        }
        self.request(key, "elicitation/create", json!({ "message": message, "requestedSchema": form }))
    }

    /// Sends the user to an address on the web.
    pub fn visit(self, key: &str, message: &str, url: &str) -> Self {
        self.request(key, "elicitation/create", json!({ "mode": "url", "message": message, "url": url }))
    }

    /// Lets the client's model answer, in at most that many tokens.
    pub fn sample(self, key: &str, prompt: &str, max_tokens: u32) -> Self {
        let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
        self.request(key, "sampling/createMessage", json!({ "messages": [message], "maxTokens": max_tokens }))
    }

    /// Asks for the folders that the client works in.
    pub fn roots(self, key: &str) -> Self {
        self.request(key, "roots/list", json!({}))
    }

    /// A request as MCP has it.
    pub fn request(mut self, key: &str, method: &str, params: Value) -> Self {
        self.requests.insert(key.to_owned(), json!({ "method": method, "params": params }));
        self
    }

    /// Remembers a value. The host seals it: it comes back as it is, to the same call, or not at all.
    pub fn remember(self, value: &impl Serialize) -> Self {
        let state = serde_json::to_string(value).ok();
        Self { state, ..self }
    }

    pub(crate) fn into_wire(self) -> wire::Question {
        wire::Question { requests: Value::Object(self.requests).to_string(), state: self.state }
    }
}

/// What the user did with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled<T> {
    /// Filled it in.
    Accepted(T),
    /// Said no.
    Declined,
    /// Closed it.
    Cancelled,
}

/// A folder that a client works in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Root {
    /// Its address.
    pub uri: String,
    /// Its name for people.
    pub name: Option<String>,
}

/// What came back. As trustworthy as arguments: what does not fit the question is as if it were not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    responses: Map<String, Value>,
    state: Option<String>,
}

impl Inputs {
    pub(crate) fn from_wire(inputs: Option<wire::Inputs>) -> Self {
        let Some(wire::Inputs { responses, state }) = inputs else { return Self::default() };
        Self { responses: serde_json::from_str(&responses).unwrap_or_default(), state }
    }

    /// What the user did with a form.
    pub fn form<T: DeserializeOwned>(&self, key: &str) -> Option<Filled<T>> {
        let response = self.response(key)?;
        match response.get("action")?.as_str()? {
            "accept" => T::deserialize(response.get("content")?).ok().map(Filled::Accepted),
            "decline" => Some(Filled::Declined),
            "cancel" => Some(Filled::Cancelled),
            _ => None,
        }
    }

    /// Whether the user went to an address that was given.
    pub fn visited(&self, key: &str) -> Option<bool> {
        Some(self.response(key)?.get("action")?.as_str()? == "accept")
    }

    /// The text of what the model answered.
    pub fn sampled(&self, key: &str) -> Option<String> {
        let content = self.response(key)?.get("content")?;
        let blocks = content.as_array().map_or(std::slice::from_ref(content), Vec::as_slice);
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// The folders.
    pub fn roots(&self, key: &str) -> Option<Vec<Root>> {
        Vec::deserialize(self.response(key)?.get("roots")?).ok()
    }

    /// A response as MCP has it.
    pub fn response(&self, key: &str) -> Option<&Value> {
        self.responses.get(key)
    }

    /// What the question remembered ([`Ask::remember`]); none if it remembered nothing, or the agent did not give it back.
    pub fn remembered<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.state.as_ref()?).ok()
    }
}
