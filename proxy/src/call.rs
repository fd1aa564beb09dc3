//! A tool call and its result: what every room on the request path passes on.
//!
//! Arguments and results are raw JSON text. They are parsed where somebody must look inside
//! (schema validation, the guest), never merely to be written out again.

mod capabilities;
mod json;
mod progress;
mod subject;
mod substitute;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

pub use capabilities::Capabilities;
pub use json::JsonText;
pub use progress::{MAX_MESSAGE_BYTES, Progress, Reporter, Reports};
pub use subject::{Subject, UserToken};
pub use substitute::{Source, Substitute};
pub use trail::{Ended, Exchanged, Step, Trail, millis};

use crate::policy::Priority;
use crate::telemetry::TraceContext;

/// Who calls. Verified by the listener; everything behind it may rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The agent's identity: a token's name, the client that a JWT was made for, or `default` on a listener without authentication.
    pub agent: Arc<str>,
    /// For whom the agent acts, when a verified token said so.
    pub subject: Option<Subject>,
}

impl Caller {
    /// The agent of a listener that asks for nothing.
    pub fn anonymous() -> Self {
        Self::agent("default")
    }

    pub fn agent(name: impl Into<Arc<str>>) -> Self {
        Self { agent: name.into(), subject: None }
    }
}

/// One call as an agent made it, before the gate has looked at it.
#[derive(Debug)]
pub struct ToolCall {
    /// A JSON object, as text.
    pub arguments: Box<RawValue>,
    pub caller: Caller,
    /// How long the agent is willing to wait; the gate cuts it to the operator's maximum.
    pub timeout: Option<Duration>,
    /// Who goes first at a wall; the gate lowers it to what the operator lets this agent have.
    pub priority: Option<Priority>,
    /// Groups calls of one task in usage and audit; the id of a trace that the caller brought stands in for it.
    pub workflow: Option<String>,
    /// Stable across the agent's own retries of the same call; made up when absent.
    pub idempotency_key: Option<String>,
    pub trace: TraceContext,
    /// What came back, if this call goes on where an earlier one asked.
    pub inputs: Option<Inputs>,
    /// What the gate found in a state that came back.
    pub consent: Consent,
    pub client: Client,
}

/// Whether somebody agrees to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    #[default]
    Unasked,
    Given,
    Refused,
}

/// What a request for anything but a tool says of itself, besides what it asks for.
#[derive(Debug)]
pub struct Ask {
    pub caller: Caller,
    /// How long the agent is willing to wait; the gate cuts it to the operator's maximum.
    pub timeout: Option<Duration>,
    pub trace: TraceContext,
}

/// What the client that makes a call can do besides waiting for its result.
#[derive(Debug, Default)]
pub struct Client {
    /// What it can be asked for; none if its protocol has no way to ask.
    pub can_bring: Option<Capabilities>,
    /// Where progress goes, if it asked for that.
    pub reporter: Option<Reporter>,
}

/// What a call brings to the questions of an earlier one.
#[derive(Debug)]
pub struct Inputs {
    /// A JSON object of JSON objects, by the questions' keys.
    pub responses: Box<RawValue>,
    /// Sealed on its way from the agent to the gate, the connector's own from there on.
    pub state: Option<String>,
}

/// The answer to a call, as JSON text.
#[derive(Clone, Debug)]
pub enum ToolResult {
    /// An object that satisfies the tool's output schema.
    Object(JsonText),
    Content(Content),
    /// No answer yet.
    Question(Question),
}

/// Content for a model and its user.
#[derive(Clone, Debug)]
pub struct Content {
    /// An array of MCP content blocks, checked.
    pub blocks: Box<RawValue>,
    /// An object that satisfies the tool's output schema, if it has one.
    pub structured: Option<JsonText>,
}

impl Content {
    /// One JSON object, for those who do not speak MCP: `content`, and `structuredContent` if there is an object too.
    pub fn to_json(&self) -> String {
        let structured =
            self.structured.as_ref().map(|json| [",\"structuredContent\":", json.get()].concat());
        ["{\"content\":", self.blocks.get(), structured.as_deref().unwrap_or_default(), "}"].concat()
    }
}

/// A prompt, filled in.
#[derive(Debug)]
pub enum PromptResult {
    /// An array of MCP messages, checked.
    Messages(Box<RawValue>),
    /// Not yet.
    Question(Question),
}

/// What must be known before there is an answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// An object of MCP requests, checked; empty if only the state is to come back.
    pub requests: Box<RawValue>,
    /// What a client must be able to do to bring it.
    pub needs: Capabilities,
    /// The connector's own on its way to the gate, and sealed from there on.
    pub state: Option<String>,
    /// The call's, which stays the same when it is made again.
    pub idempotency_key: String,
}

impl ToolResult {
    /// What it holds of memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Object(object) => object.get().len(),
            Self::Content(Content { blocks, structured }) => {
                blocks.get().len() + structured.as_ref().map_or(0, |structured| structured.get().len())
            }
            Self::Question(question) => question.requests.get().len(),
        }
    }
}

/// What an agent gets for a call: a result, and what stands behind it if that is not what the system says now.
#[derive(Debug)]
pub struct Answered {
    pub result: ToolResult,
    /// Boxed, because it is rare.
    pub instead: Option<Box<Substitute>>,
}

impl From<ToolResult> for Answered {
    fn from(result: ToolResult) -> Self {
        Self { result, instead: None }
    }
}

/// The latest moment at which an answer is still of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}
