//! `resources/read` and `completion/complete`: what they ask for, and what their failures are in JSON-RPC, where no result can say so.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::results::{self, Era, FAULT_KEY};
use super::{Params, Request};
use crate::call::{Ask, Caller};
use crate::connector::Typed;
use crate::fault::{Fault, FaultKind};
use crate::gate::{Completing, Gate};
use crate::protocol::fault_data::FaultData;
use crate::protocol::hints::Hints;
use crate::protocol::jsonrpc::{Error, INTERNAL_ERROR, INVALID_PARAMS};

/// What revisions before 2026-07-28 say of a resource that does not exist.
const RESOURCE_NOT_FOUND: i32 = -32002;

pub async fn read(
    gate: &Gate,
    caller: &Caller,
    request: Request<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Vec<u8>, Error> {
    let uri = params.uri().ok_or_else(|| Error::invalid_params("`uri` must say which resource"))?;
    let contents = gate.read(&uri, ask(caller, request, params)?).await;
    let contents = contents.map_err(|fault| as_error(&fault, era, Some(&uri)))?;
    Ok(results::contents(request.id, era, &contents))
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Reference<'a> {
    #[serde(rename = "ref/resource")]
    Resource {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    },
    #[serde(rename = "ref/prompt")]
    Prompt {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct Context {
    #[serde(default)]
    arguments: BTreeMap<String, String>,
}

pub async fn complete(
    gate: &Gate,
    caller: &Caller,
    request: Request<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Vec<u8>, Error> {
    let unclear = |what: &str| Error::invalid_params(format!("`{what}` must say what to complete"));
    let reference = params.reference.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let of = match reference.as_ref().ok_or_else(|| unclear("ref"))? {
        Reference::Resource { uri } => Completing::Resource(uri),
        Reference::Prompt { name } => Completing::Prompt(name),
        Reference::Unknown => return Err(unclear("ref")),
    };
    let argument = params.argument.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let Argument { name, value } = argument.ok_or_else(|| unclear("argument"))?;
    let context: Context = match params.context {
        None => Context::default(),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| unclear("context"))?,
    };
    let typed = Typed { value, known: context.arguments.into_iter().collect() };
    let completion = gate.complete(of, &name, typed, ask(caller, request, params)?).await;
    let completion = completion.map_err(|fault| as_error(&fault, era, None))?;
    Ok(results::completion(request.id, era, &completion))
}

pub fn ask(caller: &Caller, request: Request<'_>, params: &Params<'_>) -> Result<Ask, Error> {
    let hints = Hints::read(params.hints(), request.headers).map_err(Error::invalid_params)?;
    Ok(hints.into_ask(caller.clone()))
}

/// A failure of anything but a tool call. What it was about is not there, or there was a mistake in it; everything else is no mistake of the
/// message, and the data says what it is.
pub fn as_error(fault: &Fault, era: Era, uri: Option<&str>) -> Error {
    let code = match (fault.kind, era, uri) {
        (FaultKind::NotFound | FaultKind::Gone, Era::Legacy, Some(_)) => RESOURCE_NOT_FOUND,
        (FaultKind::NotFound | FaultKind::Gone | FaultKind::InvalidArguments, ..) => INVALID_PARAMS,
        _ => INTERNAL_ERROR,
    };
    let mut data = json!({ FAULT_KEY: FaultData::of(fault) });
    if let Some(uri) = uri {
        data["uri"] = uri.into();
    }
    Error { data: Some(data.to_string()), ..Error::new(code, fault.sentence()) }
}
