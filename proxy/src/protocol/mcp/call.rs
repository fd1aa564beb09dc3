//! `tools/call`: what a call brings along beside its arguments, and what its outcome is answered with.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::params::Params;
use super::reporting::{Expected, Reporting};
use super::{Answer, Era, Request, headers, http as streamable, modern, results};
use crate::call::{Answered, Caller, Capabilities, Reporter, ToolResult};
use crate::fault::{Fault, quotable};
use crate::gate::Gate;
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
    let name = params.name().ok_or_else(|| Error::invalid_params("`name` must say which tool"))?;
    let unknown = || Error::invalid_params(format!("Unknown tool: {}", quotable(&name)));
    let hints = Hints::read(params.hints(), request.headers).map_err(Error::invalid_params)?;
    let mut call = hints.into_call(params.arguments()?, caller.clone());
    let tool = gate.tool(&name, &call).ok_or_else(unknown)?;
    if era == Era::Modern {
        if let Some(headers) = request.headers {
            headers::check_mirrors(headers, tool.mirrors(), &call.arguments)?;
        }
        call.client.can_bring = Some(params.capabilities());
        call.inputs = params.inputs()?;
        gate.recall(&tool, &mut call).map_err(|_| unusable_state())?;
    }
    let client = Client { id: request.id, era, can_bring: call.client.can_bring.unwrap_or_default() };
    let token = params.progress_token()?.filter(|_| hears_messages(&request));
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
    use serde_json::value::RawValue;

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
