//! Resources and prompts under test: what the host asks for, checked as the host checks it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Answered;
use super::check::{conforms, parse};
use super::grants::Purpose;
use super::harness::Harness;
use crate::bindings::prompts::exports::ferrata::connector::prompts::{Answer, Role};
use crate::completion::{Suggestions, Typed};
use crate::connector::Connector;
use crate::fault::Fault;
use crate::guest::{find_prompt, find_resource};
use crate::operation::Effect;
use crate::prompt::Prompt;
use crate::resource::{Document, Resource};

impl<S: DeserializeOwned + JsonSchema, L> Harness<S, L> {
    /// Reads the resource that is listed with `path`; `variables` is an object of texts.
    ///
    /// # Errors
    /// The resource's fault.
    ///
    /// # Panics
    /// If there is no such resource or it gives nothing, if a variable is missing or unknown, or if the connector does something else than
    /// expected.
    pub fn read(
        &mut self,
        resources: &[Resource<S>],
        path: &str,
        variables: Value,
    ) -> Result<Vec<Document>, Fault> {
        let resource = known(find_resource(resources, path));
        let variables = texts(&variables);
        let mut given: Vec<_> = variables.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        let segments = path.split('/').filter(|segment| segment.starts_with('{'));
        let mut wanted: Vec<_> = segments.map(|segment| segment.replace('+', "")).collect();
        given.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(given, wanted, "the variables of {path:?}");
        let read = |connector: &Connector<S, L>| resource.read(&connector.cx()?, variables);
        let documents = self.play(Purpose::Call(Effect::Read), read)?;
        assert!(!documents.is_empty(), "{path:?} gave nothing: what does not exist is `not_found`");
        Ok(documents)
    }

    /// Fills in a prompt; `arguments` is an object of texts. The messages are as MCP has them.
    ///
    /// # Errors
    /// The prompt's fault; `invalid_arguments` if a required argument is missing or one is unknown, as from the host.
    ///
    /// # Panics
    /// If there is no such prompt or it has no messages, if one of them is not what the host lets pass, or if the connector does something
    /// else than expected.
    pub fn prompt(&mut self, prompts: &[Prompt<S>], name: &str, arguments: Value) -> Result<Answered, Fault> {
        let prompt = known(find_prompt(prompts, name));
        let (arguments, spec) = (texts(&arguments), prompt.to_wire());
        let given = |name: &str| arguments.iter().any(|(known, _)| known == name);
        if let Some(missing) = spec.arguments.iter().find(|a| a.required && !given(&a.name)) {
            return Err(Fault::invalid_arguments(format!("The argument {:?} is missing.", missing.name)));
        }
        if let Some((stranger, _)) =
            arguments.iter().find(|(name, _)| spec.arguments.iter().all(|a| a.name != *name))
        {
            return Err(Fault::invalid_arguments(format!("There is no argument {stranger:?}.")));
        }
        let inputs = self.take_inputs();
        let get = |connector: &Connector<S, L>| prompt.get(connector.cx()?, arguments, inputs);
        match self.play(Purpose::Call(Effect::Read), get)? {
            Answer::InputRequired(question) => Ok(Answered::question(question)),
            Answer::Messages(messages) => {
                assert!(!messages.is_empty(), "{name:?} has no messages");
                let messages = messages.into_iter().map(|message| {
                    let content = parse("a message", &message.block);
                    conforms("a message", &super::answer::blocks_schema(), &json!([content]));
                    let role = if message.role == Role::User { "user" } else { "assistant" };
                    json!({ "role": role, "content": content })
                });
                Ok(Answered::Content { blocks: messages.collect(), object: None })
            }
        }
    }

    /// Completes a variable of a resource of which `value` has been typed; `known` is an object of what has been chosen before.
    ///
    /// # Errors
    /// The connector's fault.
    ///
    /// # Panics
    /// If there is no such resource, or if the connector does something else than expected.
    pub fn complete_resource(
        &mut self,
        resources: &[Resource<S>],
        path: &str,
        variable: &str,
        value: &str,
        known: Value,
    ) -> Result<Suggestions, Fault> {
        let resource = self::known(find_resource(resources, path));
        let typed = Typed::new(value.to_owned(), texts(&known));
        let complete = |connector: &Connector<S, L>| resource.completion(&connector.cx()?, variable, &typed);
        self.play(Purpose::Call(Effect::Read), complete)
    }

    /// Completes an argument of a prompt, in the same way.
    ///
    /// # Errors
    /// The connector's fault.
    ///
    /// # Panics
    /// If there is no such prompt, or if the connector does something else than expected.
    pub fn complete_prompt(
        &mut self,
        prompts: &[Prompt<S>],
        name: &str,
        argument: &str,
        value: &str,
        known: Value,
    ) -> Result<Suggestions, Fault> {
        let prompt = self::known(find_prompt(prompts, name));
        let typed = Typed::new(value.to_owned(), texts(&known));
        let complete = |connector: &Connector<S, L>| prompt.completion(&connector.cx()?, argument, &typed);
        self.play(Purpose::Call(Effect::Read), complete)
    }
}

fn known<T>(found: Result<T, Fault>) -> T {
    found.unwrap_or_else(|fault| panic!("{}", fault.message()))
}

fn texts(object: &Value) -> Vec<(String, String)> {
    let Value::Object(members) = object else { panic!("not an object: {object}") };
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned();
    members.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}
