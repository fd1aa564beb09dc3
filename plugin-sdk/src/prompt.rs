//! Prompts: what a person can begin a conversation with, each a typed function with a name.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ask::MayAsk;
use crate::bindings::base::ferrata::connector::types::Inputs;
use crate::bindings::prompts::exports::ferrata::connector::prompts as wire;
use crate::completion::{Completes, Suggestions, Typed, named};
use crate::content::Content;
use crate::cx::Cx;
use crate::fault::Fault;
use crate::schema;

type Arguments = Vec<(String, String)>;
type Get<S> = Box<dyn Fn(&Cx<S>, Arguments) -> Result<wire::Answer, Fault>>;

/// What a person can begin a conversation with.
pub struct Prompt<S> {
    name: &'static str,
    title: Option<&'static str>,
    description: Option<&'static str>,
    arguments: fn() -> Value,
    get: Get<S>,
    completes: Completes<S>,
}

/// A prompt that is one function. `I` is a struct of texts: its documentation is the prompt's description, and its members are the
/// arguments, each with its own; what is an `Option` or has a default need not be given.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// /// Summarizes a ticket for a handover.
/// #[input]
/// struct Summarize {
///     /// The ticket's number.
///     ticket: String,
///     /// For whom it is.
///     reader: Option<String>,
/// }
///
/// fn summarize(_: &Cx<NoSettings>, input: Summarize) -> Result<Messages, Fault> {
///     let reader = input.reader.as_deref().unwrap_or("the next shift");
///     let task = format!("Summarize ticket {} for {reader}. Read it first.", input.ticket);
///     Ok(Messages::new().user(Content::new().text(task)))
/// }
///
/// fn prompts() -> Vec<Prompt<NoSettings>> {
///     vec![prompt("summarize", summarize)]
/// }
/// ```
///
/// A connector offers them with `export!(connector, prompts: prompts)`. One that must ask first returns [`MayAsk<Messages>`](MayAsk).
pub fn prompt<S, I, M>(
    name: &'static str,
    function: impl Fn(&Cx<S>, I) -> Result<M, Fault> + 'static,
) -> Prompt<S>
where
    I: DeserializeOwned + JsonSchema,
    M: Into<MayAsk<Messages>>,
{
    let get = move |cx: &Cx<S>, arguments: Arguments| {
        Ok(match function(cx, named(arguments, "The prompt's arguments")?)?.into() {
            MayAsk::Done(messages) => wire::Answer::Messages(messages.0),
            MayAsk::Ask(ask) => wire::Answer::InputRequired(ask.into_wire()),
        })
    };
    let arguments = schema::input::<I>;
    Prompt {
        name,
        title: None,
        description: None,
        arguments,
        get: Box::new(get),
        completes: Completes::none(),
    }
}

impl<S> Prompt<S> {
    /// A name for people.
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// For whoever chooses among prompts.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// Suggests values for an argument while a person types.
    pub fn complete(
        mut self,
        argument: &'static str,
        complete: impl Fn(&Cx<S>, &Typed) -> Result<Suggestions, Fault> + 'static,
    ) -> Self {
        self.completes.add(argument, complete);
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn get(
        &self,
        mut cx: Cx<S>,
        arguments: Arguments,
        inputs: Option<Inputs>,
    ) -> Result<wire::Answer, Fault> {
        cx.begin(String::new(), inputs);
        (self.get)(&cx, arguments)
    }

    pub(crate) fn completion(&self, cx: &Cx<S>, argument: &str, typed: &Typed) -> Result<Suggestions, Fault> {
        self.completes.suggest(cx, argument, typed)
    }

    pub(crate) fn to_wire(&self) -> wire::Prompt {
        let mut schema = (self.arguments)();
        let documented = schema::take_description(&mut schema);
        let required = |name: &str| {
            let required = schema.get("required").and_then(Value::as_array);
            required.is_some_and(|required| required.iter().any(|member| member == name))
        };
        let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let arguments = members.map(|(name, member)| wire::Argument {
            name: name.clone(),
            title: None,
            description: member.get("description").and_then(Value::as_str).map(str::to_owned),
            required: required(name),
            completes: self.completes.arguments().any(|known| known == name),
        });
        wire::Prompt {
            name: self.name.to_owned(),
            title: self.title.map(str::to_owned),
            description: self.description.map(str::to_owned).or(documented).unwrap_or_default(),
            arguments: arguments.collect(),
            options: None,
        }
    }
}

/// The messages of a conversation, in their order.
#[derive(Clone, Debug, Default)]
pub struct Messages(Vec<wire::Message>);

impl Messages {
    /// None yet. A prompt must have some.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the person says: a message for each block.
    pub fn user(self, content: Content) -> Self {
        self.say(wire::Role::User, content)
    }

    /// What the model is taken to have said: a message for each block.
    pub fn assistant(self, content: Content) -> Self {
        self.say(wire::Role::Assistant, content)
    }

    fn say(mut self, role: wire::Role, content: Content) -> Self {
        let blocks = content.into_blocks().into_iter();
        self.0.extend(blocks.map(|block| wire::Message { role, block: block.to_string() }));
        self
    }
}

impl From<Messages> for MayAsk<Messages> {
    fn from(messages: Messages) -> Self {
        Self::Done(messages)
    }
}
