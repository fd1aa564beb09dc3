//! The members of `params` that Ferrata looks at, borrowed as raw JSON.
//!
//! Most are judged where they are used, so that a wrong one is answered by the method that wanted it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Capabilities, Inputs};
use crate::gate::List;
use crate::protocol::hints::MetaHints;
use crate::protocol::jsonrpc::{self, Error, present};

#[derive(Debug, Default, Deserialize)]
pub struct Params<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    pub reference: Option<&'a RawValue>,
    #[serde(borrow)]
    pub argument: Option<&'a RawValue>,
    #[serde(borrow)]
    pub context: Option<&'a RawValue>,
    #[serde(borrow)]
    notifications: Option<&'a RawValue>,
    #[serde(borrow, rename = "protocolVersion")]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId")]
    pub request_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputResponses", deserialize_with = "present")]
    input_responses: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestState", deserialize_with = "present")]
    request_state: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub meta: Option<Meta<'a>>,
}

/// The members of `_meta` that mean something here: what a modern request says of itself, and hints about a call.
#[derive(Debug, Default, Deserialize)]
pub struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub client_capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "dev.ferrata/timeoutMs")]
    timeout_ms: Option<&'a RawValue>,
    #[serde(borrow, rename = "dev.ferrata/priority")]
    priority: Option<&'a RawValue>,
    #[serde(borrow, rename = "dev.ferrata/workflow")]
    workflow: Option<&'a RawValue>,
    #[serde(borrow, rename = "dev.ferrata/idempotencyKey")]
    idempotency_key: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    tools_list_changed: Option<bool>,
    resources_list_changed: Option<bool>,
    prompts_list_changed: Option<bool>,
}

impl<'a> Params<'a> {
    /// Absent parameters are empty ones.
    pub fn read(params: Option<&'a RawValue>) -> Result<Self, Error> {
        let Some(params) = params else { return Ok(Self::default()) };
        if !is_object(params) {
            return Err(Error::invalid_params("`params` must be an object"));
        }
        serde_json::from_str(params.get())
            .map_err(|error| Error::invalid_params(format!("`params` could not be read: {error}")))
    }

    pub fn name(&self) -> Option<Cow<'a, str>> {
        self.name.and_then(jsonrpc::text)
    }

    pub fn uri(&self) -> Option<Cow<'a, str>> {
        self.uri.and_then(jsonrpc::text)
    }

    pub fn protocol_version(&self) -> Option<Cow<'a, str>> {
        self.protocol_version.and_then(jsonrpc::text)
    }

    /// The arguments of a call, as text; absent ones are an empty object.
    pub fn arguments(&self) -> Result<Box<RawValue>, Error> {
        match self.arguments {
            None => empty_object(),
            Some(arguments) if is_object(arguments) => Ok(arguments.to_owned()),
            Some(_) => Err(Error::invalid_params("`arguments` must be an object")),
        }
    }

    /// What a call brings to the questions of an earlier one; none if it brings nothing.
    pub fn inputs(&self) -> Result<Option<Inputs>, Error> {
        let state = self.request_state.map(|raw| {
            let text = jsonrpc::text(raw).map(Cow::into_owned);
            text.ok_or_else(|| Error::invalid_params("`requestState` must be text"))
        });
        let (state, responses) = (state.transpose()?, self.input_responses);
        if state.is_none() && responses.is_none() {
            return Ok(None);
        }
        let responses = match responses {
            None => empty_object()?,
            Some(responses) if holds_objects(responses) => responses.to_owned(),
            Some(_) => return Err(Error::invalid_params("`inputResponses` must be an object of objects")),
        };
        Ok(Some(Inputs { responses, state }))
    }

    /// What the client can be asked for.
    pub fn capabilities(&self) -> Capabilities {
        let declared = self.meta.as_ref().and_then(|meta| meta.client_capabilities);
        declared.map(Capabilities::declared).unwrap_or_default()
    }

    /// What progress is reported under, if it is asked for.
    pub fn progress_token(&self) -> Result<Option<&'a RawValue>, Error> {
        let token = self.meta.as_ref().and_then(|meta| meta.progress_token);
        let wrong = || Error::invalid_params("`progressToken` must be a short string or a number");
        token.map(|token| jsonrpc::is_id(token).then_some(token).ok_or_else(wrong)).transpose()
    }

    /// Every list is one page, so every cursor is one that Ferrata never gave.
    pub fn refuse_cursor(&self) -> Result<(), Error> {
        let none = self.cursor.is_none();
        none.then_some(()).ok_or_else(|| Error::invalid_params("The list has no further page"))
    }

    /// The lists of whose changes a subscription asks to hear.
    pub fn wanted_changes(&self) -> Result<Vec<List>, Error> {
        let filter = self.notifications.and_then(|raw| serde_json::from_str::<Filter>(raw.get()).ok());
        let filter =
            filter.ok_or_else(|| Error::invalid_params("`notifications` must say what to listen for"))?;
        let wanted = |list: &List| match list {
            List::Tools => filter.tools_list_changed == Some(true),
            List::Prompts => filter.prompts_list_changed == Some(true),
            List::Resources => filter.resources_list_changed == Some(true),
        };
        Ok(List::ALL.into_iter().filter(wanted).collect())
    }

    pub fn hints(&self) -> MetaHints<'a> {
        let Some(meta) = &self.meta else { return MetaHints::default() };
        MetaHints {
            timeout_ms: meta.timeout_ms,
            priority: meta.priority,
            workflow: meta.workflow,
            idempotency_key: meta.idempotency_key,
            traceparent: meta.traceparent,
        }
    }
}

fn holds_objects(raw: &RawValue) -> bool {
    let members = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(raw.get());
    members.is_ok_and(|members| members.values().all(|member| is_object(member)))
}

pub fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn empty_object() -> Result<Box<RawValue>, Error> {
    RawValue::from_string("{}".into()).map_err(|error| Error::new(jsonrpc::INTERNAL_ERROR, error.to_string()))
}
