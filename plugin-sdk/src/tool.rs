//! A tool: a typed function with a name, a first operation and schemas.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ask::Inputs;
use crate::bindings::base::exports::ferrata::connector::tools as wire;
use crate::cx::Cx;
use crate::decode;
use crate::fault::Fault;
use crate::operation::{Effect, Operation};
use crate::output::ToolOutput;
use crate::schema;

type Outcome = Result<wire::Answer, Fault>;
type Run<S> = Box<dyn Fn(&mut Cx<S>, Vec<wire::Invocation>) -> Vec<Outcome>>;

/// What an agent can ask for.
pub struct Tool<S> {
    name: &'static str,
    title: Option<&'static str>,
    description: Option<&'static str>,
    effect: Effect,
    first: Operation,
    max_batch: u32,
    input: fn() -> Value,
    output: fn() -> Option<Value>,
    run: Run<S>,
}

/// A tool that is one function. `first` is the operation of its first request: the host obtains the permit for it before
/// anything runs.
///
/// The description that a model reads is the documentation of `I`, unless [`Tool::describe`] says otherwise; the effect is the
/// operation's, unless [`Tool::effect`] does.
pub fn tool<S, I, O>(
    name: &'static str,
    first: &Operation,
    function: impl Fn(&Cx<S>, I) -> Result<O, Fault> + 'static,
) -> Tool<S>
where
    I: DeserializeOwned + JsonSchema,
    O: ToolOutput,
{
    let run = move |cx: &mut Cx<S>, invocations: Vec<wire::Invocation>| {
        let run_one = |invocation: wire::Invocation| {
            cx.begin(invocation.idempotency_key, invocation.inputs);
            function(cx, read(&invocation.arguments)?)?.into_answer()
        };
        invocations.into_iter().map(run_one).collect()
    };
    Tool::new::<I, O>(name, first, 1, Box::new(run))
}

/// One call of a tool that takes several at once.
#[derive(Clone, Debug)]
pub struct Item<I> {
    /// Unique within the batch.
    pub id: String,
    /// The same for every attempt at this call.
    pub idempotency_key: String,
    /// The arguments.
    pub input: I,
    /// What came back for questions of an earlier call.
    pub inputs: Inputs,
}

/// A tool whose calls travel together, at most `max_batch` in one. The function returns one result per item, in their order; a
/// failure of the whole is a failure of each.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// const TAG: Operation = Operation::post("api", "tags.batch", "/tags/batch");
///
/// /// Adds a tag to a contact.
/// #[input]
/// struct AddTag {
///     contact: String,
///     tag: String,
/// }
///
/// #[body]
/// struct Entry<'a> {
///     contact: &'a str,
///     tag: &'a str,
/// }
///
/// #[data]
/// struct Tagged {
///     id: String,
/// }
///
/// fn add_tags(cx: &Cx<NoSettings>, items: &[Item<AddTag>]) -> Result<Vec<Result<Tagged, Fault>>, Fault> {
///     let inputs = items.iter().map(|item| &item.input);
///     let entries: Vec<Entry> = inputs.map(|input| Entry { contact: &input.contact, tag: &input.tag }).collect();
///     let tagged: Vec<Tagged> = cx.request(&TAG).json(&entries).send()?.json()?;
///     Ok(tagged.into_iter().map(Ok).collect())
/// }
///
/// let tool: Tool<NoSettings> = tool_batch("add_tag", &TAG, 50, add_tags);
/// ```
pub fn tool_batch<S, I, O>(
    name: &'static str,
    first: &Operation,
    max_batch: u32,
    function: impl Fn(&Cx<S>, &[Item<I>]) -> Result<Vec<Result<O, Fault>>, Fault> + 'static,
) -> Tool<S>
where
    I: DeserializeOwned + JsonSchema,
    O: ToolOutput,
{
    let run = move |cx: &mut Cx<S>, invocations: Vec<wire::Invocation>| {
        let (mut items, mut outcomes) = (Vec::new(), Vec::new());
        for invocation in invocations {
            outcomes.push(read(&invocation.arguments).map(|input| {
                let wire::Invocation { id, idempotency_key, inputs, .. } = invocation;
                items.push(Item { id, idempotency_key, input, inputs: Inputs::from_wire(inputs) });
            }));
        }
        let results = if items.is_empty() { Ok(Vec::new()) } else { function(cx, &items) };
        let mut results = spread(results, items.len()).into_iter();
        let mut next = || results.next().unwrap_or_else(|| Err(Fault::broken("An item has no result.")));
        outcomes.into_iter().map(|readable| readable.and_then(|()| next())?.into_answer()).collect()
    };
    Tool::new::<I, O>(name, first, max_batch, Box::new(run))
}

/// One result per item, whatever the function returned.
fn spread<O>(results: Result<Vec<Result<O, Fault>>, Fault>, items: usize) -> Vec<Result<O, Fault>> {
    let fault = match results {
        Ok(results) if results.len() == items => return results,
        Ok(results) => Fault::broken(format!("A batch of {items} items has {} results.", results.len())),
        Err(fault) => fault,
    };
    (0..items).map(|_| Err(fault.clone())).collect()
}

impl<S> Tool<S> {
    fn new<I: JsonSchema, O: ToolOutput>(
        name: &'static str,
        first: &Operation,
        max_batch: u32,
        run: Run<S>,
    ) -> Self {
        Self {
            name,
            title: None,
            description: None,
            effect: first.effect,
            first: *first,
            max_batch,
            input: schema::input::<I>,
            output: O::schema,
            run,
        }
    }

    /// A name for people.
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// For the model: what it does, when to use it, what it does not do.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// The strongest effect among its operations, where that is not the first one's.
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn first(&self) -> &Operation {
        &self.first
    }

    pub(crate) fn run(&self, cx: &mut Cx<S>, invocations: Vec<wire::Invocation>) -> Vec<Outcome> {
        (self.run)(cx, invocations)
    }

    pub(crate) fn to_wire(&self) -> wire::Tool {
        let (mut input, output) = ((self.input)(), (self.output)());
        let documented = schema::take_description(&mut input);
        wire::Tool {
            name: self.name.to_owned(),
            title: self.title.map_or_else(|| spoken(self.name), str::to_owned),
            description: self.description.map(str::to_owned).or(documented).unwrap_or_default(),
            input_schema: input.to_string(),
            output_schema: output.map(|schema| schema.to_string()),
            effect: self.effect,
            first_operation: self.first.label.to_owned(),
            max_batch: self.max_batch,
        }
    }
}

/// "list_channels" → "List channels".
fn spoken(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn read<I: DeserializeOwned>(arguments: &str) -> Result<I, Fault> {
    decode::text(arguments)
        .map_err(|mismatch| mismatch.into_fault("What was passed", Fault::invalid_arguments))
}
