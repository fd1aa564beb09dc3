//! The exports: what [`export!`](crate::export) calls. No part of the interface for authors.

#![allow(clippy::result_large_err, reason = "the faults of the interface are records")]

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::base::exports::ferrata::connector::tools;
use crate::bindings::base::ferrata::connector::types;
use crate::bindings::login::exports::ferrata::connector::authenticator;
use crate::bindings::prompts::exports::ferrata::connector::prompts;
use crate::bindings::resources::exports::ferrata::connector::resources;
use crate::completion::Typed;
use crate::connector::{Connector, NoLogin, WithLogin};
use crate::fault::Fault;
use crate::log;
use crate::prompt::Prompt;
use crate::resource::Resource;

pub fn describe<S: JsonSchema, L>(connector: &Connector<S, L>) -> String {
    connector.manifest()
}

pub fn list_tools<S, L>(connector: &Connector<S, L>) -> Result<Vec<tools::Tool>, types::Fault> {
    report_panics();
    Ok(connector.tools())
}

pub fn call<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    tool: &str,
    invocations: Vec<tools::Invocation>,
) -> Vec<Result<tools::Answer, types::Fault>> {
    report_panics();
    connector.call(tool, invocations).into_iter().map(|outcome| Ok(outcome?)).collect()
}

pub fn authenticate<S: DeserializeOwned>(
    connector: &Connector<S, WithLogin>,
    credential: String,
    grant: &str,
) -> Result<authenticator::Session, types::Fault> {
    report_panics();
    Ok(connector.authenticate(credential, grant)?.into())
}

pub fn list_resources<S>(resources: &[Resource<S>]) -> Result<Vec<resources::Entry>, types::Fault> {
    report_panics();
    Ok(resources.iter().map(Resource::to_wire).collect())
}

pub fn read<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    resources: &[Resource<S>],
    path: &str,
    variables: Vec<(String, String)>,
) -> Result<Vec<types::Document>, types::Fault> {
    report_panics();
    let documents = find_resource(resources, path)?.read(&connector.cx()?, variables)?;
    Ok(documents.into_iter().map(Into::into).collect())
}

pub fn complete_resource<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    resources: &[Resource<S>],
    path: &str,
    variable: &str,
    typed: Typed,
) -> Result<types::Completion, types::Fault> {
    report_panics();
    Ok(find_resource(resources, path)?.completion(&connector.cx()?, variable, &typed)?.into())
}

pub fn list_prompts<S>(prompts: &[Prompt<S>]) -> Result<Vec<prompts::Prompt>, types::Fault> {
    report_panics();
    Ok(prompts.iter().map(Prompt::to_wire).collect())
}

pub fn get<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    prompts: &[Prompt<S>],
    prompt: &str,
    arguments: Vec<(String, String)>,
    inputs: Option<types::Inputs>,
) -> Result<prompts::Answer, types::Fault> {
    report_panics();
    Ok(find_prompt(prompts, prompt)?.get(connector.cx()?, arguments, inputs)?)
}

pub fn complete_prompt<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    prompts: &[Prompt<S>],
    prompt: &str,
    argument: &str,
    typed: Typed,
) -> Result<types::Completion, types::Fault> {
    report_panics();
    Ok(find_prompt(prompts, prompt)?.completion(&connector.cx()?, argument, &typed)?.into())
}

pub(crate) fn find_prompt<'a, S>(prompts: &'a [Prompt<S>], name: &str) -> Result<&'a Prompt<S>, Fault> {
    let prompt = prompts.iter().find(|prompt| prompt.name() == name);
    prompt.ok_or_else(|| Fault::broken(format!("The connector has no prompt `{name}`.")))
}

/// That a connector and what it offers have the same settings.
pub fn resources_of<S, L>(_: &Connector<S, L>, resources: Vec<Resource<S>>) -> Vec<Resource<S>> {
    resources
}

/// That a connector and what it offers have the same settings.
pub fn prompts_of<S, L>(_: &Connector<S, L>, prompts: Vec<Prompt<S>>) -> Vec<Prompt<S>> {
    prompts
}

pub fn typed(value: String, known: Vec<(String, String)>) -> Typed {
    Typed::new(value, known)
}

pub(crate) fn find_resource<'a, S>(
    resources: &'a [Resource<S>],
    path: &str,
) -> Result<&'a Resource<S>, Fault> {
    let resource = resources.iter().find(|resource| resource.path() == path);
    resource.ok_or_else(|| Fault::broken(format!("The connector has no resource `{path}`.")))
}

/// That `export!` is used with the arguments that fit the connector.
pub fn without_login<S>(connector: Connector<S, NoLogin>) -> Connector<S, NoLogin> {
    connector
}

/// That `export!` is used with the arguments that fit the connector.
pub fn with_login<S>(connector: Connector<S, WithLogin>) -> Connector<S, WithLogin> {
    connector
}

/// A panic ends the sandbox; its text goes to the operator, since a component has no standard error.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
}
