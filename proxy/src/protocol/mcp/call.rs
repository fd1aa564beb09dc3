//! `tools/call`: what a call brings along beside its arguments, and what its outcome is answered with.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;

use super::params::Params;
use super::reporting::{Expected, Reporting};
use super::{Answer, Era, Request, headers, http as streamable, modern, refused, results};
use crate::call::{Answered, Caller, Capabilities, Reporter, ToolCall, ToolResult};
use crate::fault::{Fault, quotable};
use crate::gate::{Gate, MALFORMED, Tool};
use crate::protocol::hints::Hints;
use crate::protocol::jsonrpc::{self, Error, Id};

/// The client did not declare that it can do what the call needs it to do.
pub const MISSING_CAPABILITY: i32 = -32021;

/// An error is a mistake in the message; a call that fails is a result.
pub async fn answer(
    gate: &Arc<Gate>,
    caller: &Caller,
    request: Request<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Answer, Error> {
    let note = |_: &Error| refused::note(gate, caller, request.into(), MALFORMED);
    let (name, mut call) = read(caller, &request, params).inspect_err(note)?;
    let unknown = || Error::invalid_params(format!("Unknown tool: {}", quotable(&name)));
    let tool = gate.tool(&name, &call).ok_or_else(unknown)?;
    let token = read_rest(&mut call, &tool, &request, params, era).inspect_err(note)?;
    gate.recall(&tool, &mut call).map_err(|_| unusable_state())?;
    let client = Client { id: request.id, era, can_bring: call.client.can_bring.unwrap_or_default() };
    let token = token.filter(|_| hears_messages(&request));
    if token.is_none() && (era == Era::Modern || request.session.is_none()) {
        return Ok(client.answer(gate.call(&tool, call).await));
    }
    let progress = token.map(|token| {
        let (reporter, reports) = Reporter::new();
        call.client.reporter = Some(reporter);
        Expected { token: token.to_owned(), reports }
    });
    let (gate, id, can_bring) = (Arc::clone(gate), request.id.to_owned(), client.can_bring);
    let ends = async move {
        let result = gate.call(&tool, call).await;
        Client { id: &id, era, can_bring }.render(result)
    };
    Ok(Answer::Reporting(Reporting::start(caller, &request, progress, ends)))
}

/// The tool's name, and the call as far as it is the same for every tool and era.
fn read<'a>(
    caller: &Caller,
    request: &Request<'_>,
    params: &Params<'a>,
) -> Result<(Cow<'a, str>, ToolCall), Error> {
    let name = params.name().ok_or_else(|| Error::invalid_params("`name` must say which tool"))?;
    let hints = Hints::read(params.hints(), request.headers).map_err(Error::invalid_params)?;
    Ok((name, hints.into_call(params.arguments()?, caller.clone())))
}

/// The rest of the call, and under what progress is reported.
fn read_rest<'a>(
    call: &mut ToolCall,
    tool: &Tool,
    request: &Request<'_>,
    params: &Params<'a>,
    era: Era,
) -> Result<Option<&'a RawValue>, Error> {
    if era == Era::Modern {
        if let Some(headers) = request.headers {
            headers::check_mirrors(headers, tool.mirrors(), &call.arguments)?;
        }
        call.client.can_bring = Some(params.capabilities());
        call.inputs = params.inputs()?;
    }
    params.progress_token()
}

/// Whether anything but the answer can reach the client while it waits.
fn hears_messages(request: &Request<'_>) -> bool {
    request.headers.is_none_or(streamable::accepts_events)
}

fn unusable_state() -> Error {
    Error::invalid_params(
        "`requestState` is not one that was given for this call, it is too old, or the consent in it was used: make the call anew, without it",
    )
}

/// Who gets the answer, and how.
struct Client<'a> {
    id: &'a Id,
    era: Era,
    can_bring: Capabilities,
}

impl Client<'_> {
    fn answer(&self, result: Result<Answered, Fault>) -> Answer {
        let (status, body) = self.render(result);
        Answer::Message { status, body }
    }

    fn render(&self, result: Result<Answered, Fault>) -> (StatusCode, Vec<u8>) {
        match result {
            Ok(Answered { result: ToolResult::Question(question), .. })
                if !self.can_bring.has(question.needs) =>
            {
                let error = missing(question.needs.without(self.can_bring));
                (modern::status_of(&error), jsonrpc::error(Some(self.id), &error))
            }
            Ok(answer) => (StatusCode::OK, results::tool_result(self.id, self.era, &answer)),
            Err(fault) => (StatusCode::OK, results::fault(self.id, self.era, &fault)),
        }
    }
}

pub fn missing(capabilities: Capabilities) -> Error {
    let data = json!({ "requiredCapabilities": capabilities });
    let message = "It must ask for what the client did not declare that it can bring";
    Error { data: Some(data.to_string()), ..Error::new(MISSING_CAPABILITY, message) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::call::Question;

    #[test]
    fn nobody_is_asked_for_what_it_cannot_bring() {
        let id = RawValue::from_string("1".into()).unwrap();
        let ask = |can_bring: Capabilities| {
            let question = Question {
                requests: RawValue::from_string(r#"{"k":{"method":"sampling/createMessage"}}"#.into())
                    .unwrap(),
                needs: Capabilities::SAMPLING.with(Capabilities::FORM),
                state: None,
                idempotency_key: String::new(),
            };
            let client = Client { id: &id, era: Era::Modern, can_bring };
            let (status, body) = client.render(Ok(ToolResult::Question(question).into()));
            (status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap())
        };
        let (status, refused) = ask(Capabilities::FORM);
        assert_eq!((status, &refused["error"]["code"]), (400, &json!(MISSING_CAPABILITY)));
        assert_eq!(refused["error"]["data"], json!({"requiredCapabilities": {"sampling": {}}}));
        let (status, asked) = ask(Capabilities::FORM.with(Capabilities::SAMPLING));
        assert_eq!((status, &asked["result"]["resultType"]), (200, &json!("input_required")));
    }
}
