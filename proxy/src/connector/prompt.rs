//! A connector's prompts: judged once, at load, filled in by the guest, and checked before an agent sees them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::ask::{Asked, Typed, gone, values};
use super::bindings::prompts::{Answer, Message, Prompt, Role};
use super::bindings::types;
use super::{Connector, Variables, check_name, content, no_way_to_ask, question};
use crate::call::{Inputs, PromptResult};
use crate::fault::{Fault, FaultKind, quotable};

/// Most prompts of one connector: a person chooses among them.
const MAX_PROMPTS: usize = 256;

/// Most arguments of one prompt: a person fills them in.
const MAX_ARGUMENTS: usize = 32;

/// Largest text of one prompt, in bytes.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// Largest list of one connector, in bytes.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Most messages of one prompt.
const MAX_MESSAGES: usize = 256;

/// One prompt of one connector.
#[derive(Debug)]
pub struct PromptSpec {
    /// As the connector calls it.
    pub name: String,
    /// `<connector>_<name>`.
    pub full_name: String,
    /// The MCP definition, rendered.
    pub definition: Box<RawValue>,
    arguments: Vec<Argument>,
}

#[derive(Debug)]
struct Argument {
    name: String,
    required: bool,
    completes: bool,
}

impl PromptSpec {
    /// Judges everything that `list-prompts` returned, under the connector's name; sorted by name.
    pub fn all(connector: &str, prompts: Vec<Prompt>) -> Result<Vec<Self>, String> {
        if prompts.len() > MAX_PROMPTS {
            return Err(format!("it has {} prompts; at most {MAX_PROMPTS}", prompts.len()));
        }
        let spec = |prompt: Prompt| {
            let name = quotable(&prompt.name);
            Self::new(connector, prompt).map_err(|e| format!("its prompt `{name}`: {e}"))
        };
        let mut specs: Vec<Self> = prompts.into_iter().map(spec).collect::<Result<_, _>>()?;
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = specs.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(format!("it has two prompts `{}`", twice[0].name));
        }
        let bytes: usize = specs.iter().map(|spec| spec.definition.get().len()).sum();
        if bytes > MAX_LIST_BYTES {
            return Err(format!("its list of prompts has {bytes} bytes; at most {MAX_LIST_BYTES}"));
        }
        Ok(specs)
    }

    fn new(connector: &str, prompt: Prompt) -> Result<Self, String> {
        check_name(connector, &prompt.name)?;
        check_arguments(&prompt)?;
        let full_name = format!("{connector}_{}", prompt.name);
        let definition = definition(&full_name, &prompt)?;
        let arguments = prompt.arguments.into_iter();
        let arguments =
            arguments.map(|a| Argument { name: a.name, required: a.required, completes: a.completes });
        Ok(Self { name: prompt.name, full_name, definition, arguments: arguments.collect() })
    }

    /// Reads an agent's arguments: all that are required, and none that are unknown.
    pub fn read_arguments(&self, raw: &RawValue) -> Result<Variables, Fault> {
        let invalid = |why: String| Fault::new(FaultKind::InvalidArguments, why);
        let given: BTreeMap<String, String> = serde_json::from_str(raw.get())
            .map_err(|_| invalid("The arguments of a prompt are an object of texts.".to_owned()))?;
        if let Some(stranger) = given.keys().find(|name| self.argument(name).is_none()) {
            return Err(invalid(format!("The prompt has no argument `{}`.", quotable(stranger))));
        }
        if let Some(missing) = self.arguments.iter().find(|a| a.required && !given.contains_key(&a.name)) {
            let path = format!("/{}", missing.name);
            return Err(invalid(format!("The argument `{}` is missing.", missing.name)).with_path(path));
        }
        Ok(given.into_iter().collect())
    }

    /// Whether the connector knows values for that argument; none if there is no such argument.
    pub fn completes(&self, argument: &str) -> Option<bool> {
        self.argument(argument).map(|argument| argument.completes)
    }

    /// Whether the connector knows values for any argument.
    pub fn completes_any(&self) -> bool {
        self.arguments.iter().any(|argument| argument.completes)
    }

    fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }
}

fn check_arguments(prompt: &Prompt) -> Result<(), String> {
    if prompt.arguments.len() > MAX_ARGUMENTS {
        return Err(format!("it has more than {MAX_ARGUMENTS} arguments"));
    }
    let named = prompt.arguments.iter().map(|argument| &argument.name);
    if named.clone().any(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err("an argument has no name, or one that is no text".to_owned());
    }
    if named.clone().enumerate().any(|(at, name)| named.clone().take(at).any(|other| other == name)) {
        return Err("it has an argument twice".to_owned());
    }
    let of_arguments =
        prompt.arguments.iter().flat_map(|a| [Some(&a.name), a.title.as_ref(), a.description.as_ref()]);
    let texts = of_arguments.chain([prompt.title.as_ref(), Some(&prompt.description)]).flatten();
    if texts.into_iter().any(|text| text.len() > MAX_TEXT_BYTES) {
        return Err(format!("a text of more than {MAX_TEXT_BYTES} bytes"));
    }
    Ok(())
}

fn definition(full_name: &str, prompt: &Prompt) -> Result<Box<RawValue>, String> {
    #[derive(Serialize)]
    struct Definition<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        description: &'a str,
        arguments: Vec<Argument<'a>>,
    }
    #[derive(Serialize)]
    struct Argument<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        required: bool,
    }
    let arguments = prompt.arguments.iter().map(|argument| Argument {
        name: &argument.name,
        title: argument.title.as_deref(),
        description: argument.description.as_deref(),
        required: argument.required,
    });
    let definition = Definition {
        name: full_name,
        title: prompt.title.as_deref(),
        description: &prompt.description,
        arguments: arguments.collect(),
    };
    to_raw_value(&definition).map_err(|e| e.to_string())
}

impl Connector {
    /// Fills in a prompt, or asks for what that takes. Dropping the future stops the guest.
    pub async fn prompt(
        &self,
        prompt: &PromptSpec,
        arguments: &Variables,
        inputs: Option<Inputs>,
        asked: Asked,
    ) -> Result<PromptResult, Fault> {
        let indices = self.sandboxes.loaded.prompts.as_ref().ok_or_else(gone)?;
        let can_be_asked = asked.client.can_bring.is_some();
        let inputs = inputs.map(types::Inputs::from);
        let answer = self.ask(asked, async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            guest.call_get(&mut sandbox.store, &prompt.name, arguments, inputs.as_ref()).await
        });
        let broke = |why: String| self.broke(&prompt.full_name, &why);
        match answer.await? {
            Answer::Messages(messages) => {
                let messages = check_messages(messages, self.sandboxes.runtime.bounds.result);
                messages.map(PromptResult::Messages).map_err(broke)
            }
            Answer::InputRequired(_) if !can_be_asked => Err(no_way_to_ask(&prompt.full_name)),
            Answer::InputRequired(types::Question { requests, state }) => {
                question::check(&requests, state).map(PromptResult::Question).map_err(broke)
            }
        }
    }

    /// Values for an argument of a prompt; the MCP `completion`.
    pub async fn complete_prompt(
        &self,
        prompt: &PromptSpec,
        argument: &str,
        typed: &Typed,
        asked: Asked,
    ) -> Result<Box<RawValue>, Fault> {
        let indices = self.sandboxes.loaded.prompts.as_ref().ok_or_else(gone)?;
        let completion = self.ask(asked, async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            let Typed { value, known } = typed;
            guest.call_complete(&mut sandbox.store, &prompt.name, argument, value, known).await
        });
        values(completion.await?).map_err(|why| self.broke(&prompt.full_name, &why))
    }
}

/// The MCP `messages`; the error is a sentence's end.
fn check_messages(messages: Vec<Message>, bound: usize) -> Result<Box<RawValue>, String> {
    let (count, bytes) = (messages.len(), messages.iter().map(|message| message.block.len()).sum::<usize>());
    if count == 0 || count > MAX_MESSAGES {
        return Err(format!("{count} messages, which is none or more than {MAX_MESSAGES}"));
    }
    if bytes > bound {
        return Err(format!("messages of {bytes} bytes; at most {bound}"));
    }
    let read = |(number, Message { role, block }): (usize, Message)| {
        let block: Value =
            serde_json::from_str(&block).map_err(|e| format!("message {number} is not JSON ({e})"))?;
        content::check_block(&block).map_err(|why| format!("the content of message {number} {why}"))?;
        let role = match role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Ok(json!({ "role": role, "content": block }))
    };
    let messages: Vec<_> = messages.into_iter().enumerate().map(read).collect::<Result<_, String>>()?;
    to_raw_value(&messages).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::bindings::prompts;
    use super::*;

    fn argument(name: &str, required: bool) -> prompts::Argument {
        prompts::Argument {
            name: name.to_owned(),
            title: None,
            description: None,
            required,
            completes: required,
        }
    }

    fn prompt(name: &str, arguments: Vec<prompts::Argument>) -> Prompt {
        let (name, description) = (name.to_owned(), "A prompt.".to_owned());
        Prompt { name, title: None, description, arguments, options: None }
    }

    fn refusal(prompts: Vec<Prompt>) -> String {
        PromptSpec::all("crm", prompts).unwrap_err()
    }

    #[test]
    fn a_prompt_is_known_below_its_connectors_name_with_its_arguments() {
        let specs = PromptSpec::all("crm", vec![prompt("b", vec![]), prompt("a", vec![argument("x", true)])]);
        let specs = specs.unwrap();
        let first: Value = serde_json::from_str(specs[0].definition.get()).unwrap();
        let arguments = json!([{ "name": "x", "required": true }]);
        assert_eq!(first, json!({ "name": "crm_a", "description": "A prompt.", "arguments": arguments }));
        assert_eq!((specs[0].completes("x"), specs[0].completes("y")), (Some(true), None));
        assert_eq!(specs[1].full_name, "crm_b");
    }

    #[test]
    fn arguments_are_those_that_the_prompt_has() {
        let arguments = vec![argument("x", true), argument("y", false)];
        let spec = PromptSpec::all("crm", vec![prompt("a", arguments)]).unwrap().remove(0);
        let read = |text: &str| spec.read_arguments(&RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(read(r#"{"x":"1"}"#).unwrap(), [("x".to_owned(), "1".to_owned())]);
        for bad in ["{}", r#"{"y":"1"}"#, r#"{"x":1}"#, r#"{"x":"1","z":"2"}"#, "[]", "null"] {
            assert_eq!(read(bad).unwrap_err().kind, FaultKind::InvalidArguments, "{bad}");
        }
    }

    #[test]
    fn a_list_is_bounded_and_says_each_thing_once() {
        let plain = |name: &str| prompt(name, vec![]);
        assert!(refusal(vec![plain("a"), plain("a")]).contains("two prompts"));
        assert!(refusal(vec![plain("A")]).contains("a-z"));
        assert!(refusal((0..=MAX_PROMPTS).map(|i| plain(&i.to_string())).collect()).contains("257 prompts"));
        let twice = vec![argument("x", true), argument("x", true)];
        assert!(refusal(vec![prompt("a", twice)]).contains("twice"));
        assert!(refusal(vec![prompt("a", vec![argument("", true)])]).contains("no name"));
        let many = (0..=MAX_ARGUMENTS).map(|i| argument(&i.to_string(), true)).collect();
        assert!(refusal(vec![prompt("a", many)]).contains("arguments"));
        let long = |bytes: usize| "x".repeat(bytes);
        let wordy = Prompt { description: long(MAX_TEXT_BYTES + 1), ..plain("a") };
        assert!(refusal(vec![wordy]).contains("a text of more"));
        let large = (0..200).map(|i| Prompt { description: long(MAX_TEXT_BYTES), ..plain(&i.to_string()) });
        assert!(refusal(large.collect()).contains("list of prompts has"));
    }

    #[test]
    fn messages_are_some_small_and_whole() {
        let message = |block: &str| Message { role: Role::Assistant, block: block.to_owned() };
        let text = r#"{"type":"text","text":"a"}"#;
        let checked = check_messages(vec![message(text)], text.len()).unwrap();
        let checked: Value = serde_json::from_str(checked.get()).unwrap();
        assert_eq!(checked, json!([{ "role": "assistant", "content": { "type": "text", "text": "a" } }]));
        let many = |count: usize| (0..count).map(|_| message(text)).collect::<Vec<_>>();
        for (messages, bound) in [
            (many(0), 1000),
            (many(MAX_MESSAGES + 1), 1 << 20),
            (many(1), text.len() - 1),
            (vec![message("{")], 1000),
            (vec![message(r#"{"type":"image","data":"%","mimeType":"image/png"}"#)], 1000),
        ] {
            assert!(check_messages(messages, bound).is_err());
        }
    }
}
