//! What agents ask for besides tools. `access` is held against the URI of a resource, and the name of a prompt.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::record::{self, CallRecord, Details, Ended};
use super::seal::Stage;
use super::{Bound, COPIES_OF_ARGUMENTS, Catalog, Found, Gate, Memory};
use crate::audit::Audit;
use crate::call::{Ask, Capabilities, Client, Deadline, Inputs, PromptResult};
use crate::connector::{Asked, Connector, Typed};
use crate::fault::{Fault, FaultKind, quotable};
use crate::memory;

/// Longest text that an agent may have typed of one value, and most values chosen before: what completing is for is short.
const MAX_TYPED_BYTES: usize = 4 << 10;
const MAX_KNOWN: usize = 64;

/// Whose argument values are asked for.
#[derive(Debug)]
pub enum Completing<'a> {
    /// A template as it is listed.
    Resource(&'a str),
    /// A prompt's name.
    Prompt(&'a str),
}

/// A prompt that is to be filled in.
#[derive(Debug)]
pub struct PromptRequest<'a> {
    pub name: &'a str,
    /// A JSON object.
    pub arguments: &'a RawValue,
    /// What came back, if this goes on where an earlier request was answered with a question.
    pub inputs: Option<Inputs>,
    /// What the client can be asked for; none if its protocol has no way to ask.
    pub can_bring: Option<Capabilities>,
}

impl Gate {
    /// Reads a resource: the MCP `contents`. One that does not exist, or that this caller may not see, is `not_found`.
    pub async fn read(&self, uri: &str, ask: Ask) -> Result<Box<RawValue>, Fault> {
        let catalog = self.catalog.load_full();
        let found = catalog.resource(&ask.caller.agent, uri);
        let found = found.ok_or_else(|| self.unknown((READ, "resource"), uri, &ask))?;
        let (connector, (index, variables)) = match found {
            Found::Ready { connector, what } => (connector, what),
            Found::Broken { connector, reason } => {
                return broken(&self.audit, READ, &connector, &reason, &ask);
            }
        };
        let resource = connector.resources.get(index).ok_or_else(|| unknown("resource", uri))?;
        let details = Details { asked: Some(uri), ..Details::default() };
        let record = CallRecord::of(&self.audit, (READ, &resource.uri), &connector.name, &ask, details)?;
        let asked = admit(&catalog, ask, &record);
        drop(catalog);
        let read = async {
            let _held = hold(uri.len())?;
            connector.read(resource, uri, &variables, asked).await
        };
        record.end(read.await)
    }

    /// Fills in a prompt. One that does not exist, or that this caller may not see, is `not_found`.
    pub async fn prompt(&self, request: PromptRequest<'_>, ask: Ask) -> Result<PromptResult, Fault> {
        let catalog = self.catalog.load_full();
        let found = catalog.prompt(&ask.caller.agent, request.name);
        let unknown = || self.unknown((GET, "prompt"), request.name, &ask);
        let (connector, index) = match found.ok_or_else(unknown)? {
            Found::Ready { connector, what } => (connector, what),
            Found::Broken { connector, reason } => {
                return broken(&self.audit, GET, &connector, &reason, &ask);
            }
        };
        let prompt = &connector.prompts[index];
        let details = Details { arguments: Some(request.arguments), ..Details::default() };
        let record = CallRecord::of(&self.audit, (GET, &prompt.full_name), &connector.name, &ask, details)?;
        let caller = ask.caller.clone();
        let mut asked = admit(&catalog, ask, &record);
        asked.client.can_bring = request.can_bring;
        drop(catalog);
        let filled = async {
            let _held = hold(request.arguments.get().len())?;
            let arguments = prompt.read_arguments(request.arguments)?;
            let json = serde_json::json!(arguments);
            // A tool may have the same name.
            let target = format!("{GET} {}", prompt.full_name);
            let bound = Bound { target: &target, caller: &caller, arguments: &json };
            let inputs = request.inputs.map(|inputs| self.unseal(&bound, inputs)).transpose()?;
            let mut result = connector.prompt(prompt, &arguments, inputs, asked).await?;
            if let PromptResult::Question(question) = &mut result {
                let memory = Memory {
                    state: question.state.take(),
                    idempotency_key: String::new(),
                    stage: Stage::Free,
                };
                question.state = Some(self.seals.seal(&bound, &memory)?);
            }
            Ok(result)
        };
        record.end(filled.await)
    }

    /// That there is nothing of that name for this caller, which is written down.
    fn unknown(&self, (method, what): (&'static str, &str), name: &str, ask: &Ask) -> Fault {
        record::unknown(&self.audit, method, name, ask);
        unknown(what, name)
    }

    fn unseal(&self, bound: &Bound<'_>, inputs: Inputs) -> Result<Inputs, Fault> {
        let Some(sealed) = inputs.state else { return Ok(inputs) };
        let unusable = || {
            let message = "The state is not one that was given for this prompt, or it is too old: begin anew, without it.";
            Fault::new(FaultKind::InvalidArguments, message)
        };
        let memory = self.seals.open(bound, &sealed).ok_or_else(unusable)?;
        Ok(Inputs { state: memory.state, ..inputs })
    }

    /// Values for an argument: the MCP `completion`.
    pub async fn complete(
        &self,
        of: Completing<'_>,
        argument: &str,
        typed: Typed,
        ask: Ask,
    ) -> Result<Box<RawValue>, Fault> {
        check_typed(&typed)?;
        let catalog = self.catalog.load_full();
        match of {
            Completing::Prompt(name) => {
                let found = catalog.prompt(&ask.caller.agent, name);
                let unknown = || self.unknown((COMPLETE, "prompt"), name, &ask);
                let (connector, index) = match found.ok_or_else(unknown)? {
                    Found::Ready { connector, what } => (connector, what),
                    Found::Broken { connector, reason } => {
                        return broken(&self.audit, COMPLETE, &connector, &reason, &ask);
                    }
                };
                complete_prompt(&self.audit, &catalog, (&connector, index), argument, &typed, ask).await
            }
            Completing::Resource(template) => {
                let found = catalog.family(&ask.caller.agent, template);
                let unknown = || self.unknown((COMPLETE, "resource template"), template, &ask);
                let (connector, index) = match found.ok_or_else(unknown)? {
                    Found::Ready { connector, what } => (connector, what),
                    Found::Broken { connector, reason } => {
                        return broken(&self.audit, COMPLETE, &connector, &reason, &ask);
                    }
                };
                complete_resource(&self.audit, &catalog, (&connector, index), argument, &typed, ask).await
            }
        }
    }
}

const GET: &str = "prompts/get";
const READ: &str = "resources/read";
const COMPLETE: &str = "completion/complete";

async fn complete_resource(
    audit: &Audit,
    catalog: &Catalog,
    (connector, index): (&Arc<Connector>, usize),
    variable: &str,
    typed: &Typed,
    ask: Ask,
) -> Result<Box<RawValue>, Fault> {
    let resource = connector.resources.get(index).filter(|resource| resource.has_variable(variable));
    let resource = resource.ok_or_else(|| unknown("argument", variable))?;
    if !resource.completes(variable) {
        return nothing_to_suggest();
    }
    let name = (COMPLETE, resource.uri.as_str());
    let record = CallRecord::of(audit, name, &connector.name, &ask, Details::default())?;
    let asked = admit(catalog, ask, &record);
    record.end(connector.complete_resource(resource, variable, typed, asked).await)
}

/// An argument can be anything: no sandbox is needed to say so at every key that is pressed.
fn nothing_to_suggest() -> Result<Box<RawValue>, Fault> {
    RawValue::from_string(r#"{"values":[],"hasMore":false}"#.to_owned()).map_err(Fault::internal)
}

async fn complete_prompt(
    audit: &Audit,
    catalog: &Catalog,
    (connector, index): (&Arc<Connector>, usize),
    argument: &str,
    typed: &Typed,
    ask: Ask,
) -> Result<Box<RawValue>, Fault> {
    let prompt = &connector.prompts[index];
    if !prompt.completes(argument).ok_or_else(|| unknown("argument", argument))? {
        return nothing_to_suggest();
    }
    let name = (COMPLETE, prompt.full_name.as_str());
    let record = CallRecord::of(audit, name, &connector.name, &ask, Details::default())?;
    let asked = admit(catalog, ask, &record);
    record.end(connector.complete_prompt(prompt, argument, typed, asked).await)
}

fn admit(catalog: &Catalog, ask: Ask, record: &CallRecord<'_>) -> Asked {
    let deadline = Deadline::after(catalog.time(ask.timeout));
    let (client, trail) = (Client::default(), record.trail());
    Asked { caller: ask.caller, deadline, trace: ask.trace, client, trail }
}

/// Takes part in what the process may hold, as a call does.
fn hold(bytes: usize) -> Result<memory::Held, Fault> {
    memory::PROCESS.admit(bytes.saturating_mul(COPIES_OF_ARGUMENTS))
}

fn check_typed(typed: &Typed) -> Result<(), Fault> {
    let known = typed.known.iter().map(|(name, value)| name.len() + value.len());
    if typed.known.len() > MAX_KNOWN || known.sum::<usize>() + typed.value.len() > MAX_TYPED_BYTES {
        let message =
            format!("Values are completed from at most {MAX_TYPED_BYTES} bytes in {MAX_KNOWN} arguments.");
        return Err(Fault::new(FaultKind::InvalidArguments, message));
    }
    Ok(())
}

fn unknown(what: &str, name: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("There is no {what} `{}`.", quotable(name)))
}

/// The reason is the operator's to read: it may name files and addresses.
fn broken<R: Ended>(
    audit: &Audit,
    method: &'static str,
    connector: &Arc<str>,
    reason: &str,
    ask: &Ask,
) -> Result<R, Fault> {
    tracing::debug!(%connector, %reason, "a request for something of a connector that is not loaded");
    let message = format!("The connector `{connector}` is not loaded; Ferrata's status says why.");
    let fault = Fault::new(FaultKind::Unavailable, message);
    let name = format!("{connector}*");
    CallRecord::of(audit, (method, &name), connector, ask, Details::default())?.end(Err(fault))
}
