//! `prompts/get`.

use super::call::missing;
use super::resources::{as_error, ask};
use super::results::{self, Era};
use super::{Params, Request};
use crate::call::{Caller, PromptResult};
use crate::gate::{Gate, PromptRequest};
use crate::protocol::jsonrpc::Error;

pub async fn get(
    gate: &Gate,
    caller: &Caller,
    request: Request<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Vec<u8>, Error> {
    let name = params.name().ok_or_else(|| Error::invalid_params("`name` must say which prompt"))?;
    let arguments = params.arguments()?;
    let (inputs, can_bring) = match era {
        Era::Modern => (params.inputs()?, Some(params.capabilities())),
        Era::Legacy => (None, None),
    };
    let prompt = PromptRequest { name: &name, arguments: &arguments, inputs, can_bring };
    let filled = gate.prompt(prompt, ask(caller, request, params)?).await;
    match filled.map_err(|fault| as_error(&fault, era, None))? {
        PromptResult::Messages(messages) => Ok(results::messages(request.id, era, &messages)),
        PromptResult::Question(question) => {
            let can_bring = can_bring.unwrap_or_default();
            if !can_bring.has(question.needs) {
                return Err(missing(question.needs.without(can_bring)));
            }
            Ok(results::question(request.id, &question))
        }
    }
}
