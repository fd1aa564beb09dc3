//! Requests of the revisions that begin with `initialize`, served without remembering that they did.

use std::sync::Arc;

use http::StatusCode;

use super::params::Params;
use super::version::negotiate;
use super::{Answer, Era, Request, call, results};
use crate::call::Caller;
use crate::gate::Gate;
use crate::protocol::jsonrpc::Error;

pub async fn answer(gate: &Arc<Gate>, caller: &Caller, request: Request<'_>, params: &Params<'_>) -> Answer {
    let served = match request.method {
        "tools/call" => call::answer(gate, caller, request, params, Era::Legacy).await,
        "initialize" => initialize(gate, caller, &request, params),
        "ping" => Ok(Answer::ok(results::empty(request.id))),
        _ => super::serve(gate, caller, request, params, Era::Legacy).await.map(Answer::ok),
    };
    // Clients of this era read an error's body only under a status of success.
    served.unwrap_or_else(|error| Answer::error(request.id, StatusCode::OK, &error))
}

fn initialize(
    gate: &Gate,
    caller: &Caller,
    request: &Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Error> {
    let wanted = params.protocol_version();
    let wanted =
        wanted.ok_or_else(|| Error::invalid_params("`protocolVersion` must say the wanted revision"))?;
    let version = negotiate(&wanted);
    let body = results::initialize(request.id, version, &gate.tools(caller));
    Ok(Answer::Initialized { version, body })
}
