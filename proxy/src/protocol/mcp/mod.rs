//! MCP: what its messages mean, whichever way they came.
//!
//! Two eras share one endpoint. A request whose `_meta` names its revision is modern and stands for
//! itself; what begins with `initialize` is legacy. Legacy clients are served without sessions too:
//! nothing is kept between two of their requests.

pub mod batch;
mod call;
mod cancel;
mod events;
pub mod headers;
pub mod http;
mod legacy;
mod listen;
mod modern;
mod notifications;
mod params;
mod prompts;
pub mod refused;
mod reporting;
mod resources;
mod results;
pub mod version;

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

pub use cancel::{Cancellations, Session};
pub use listen::{Feed, Listener, Subscription};
pub use notifications::list_changed;
pub use params::Params;
pub use reporting::{Reporting, Said};
pub use results::Era;

use super::jsonrpc::{self, Error, Id};
use crate::call::Caller;
use crate::fault::Fault;
use crate::gate::{Gate, Listing, MALFORMED};

/// One request, with what its transport adds to it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub id: &'a Id,
    pub method: &'a str,
    pub params: Option<&'a RawValue>,
    /// Over HTTP.
    pub headers: Option<&'a HeaderMap>,
    /// Of a legacy client over HTTP, which can give its calls up by another request.
    pub session: Option<Session<'a>>,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Answer {
    /// A JSON-RPC response, and the status under which HTTP sends it.
    Message { status: StatusCode, body: Vec<u8> },
    /// The response to a legacy client's `initialize`, and the revision that was agreed on.
    Initialized { version: &'static str, body: Vec<u8> },
    /// Messages about how far a call is, and then its response.
    Reporting(Reporting),
    /// A stream of messages that begins with an acknowledgement.
    Listen(Subscription),
}

impl Answer {
    fn ok(body: Vec<u8>) -> Self {
        Self::Message { status: StatusCode::OK, body }
    }

    fn error(id: &Id, status: StatusCode, error: &Error) -> Self {
        Self::Message { status, body: jsonrpc::error(Some(id), error) }
    }
}

/// Answers a request of either era. Dropping the future gives the call up.
pub async fn answer(gate: &Arc<Gate>, caller: &Caller, request: Request<'_>) -> Answer {
    let params = match Params::read(request.params) {
        Ok(params) => params,
        Err(error) => {
            refused::note(gate, caller, request.into(), MALFORMED);
            return Answer::error(request.id, StatusCode::BAD_REQUEST, &error);
        }
    };
    if modern::claims(&request, &params) {
        modern::answer(gate, caller, request, &params).await
    } else {
        legacy::answer(gate, caller, request, &params).await
    }
}

/// Answers what was not even tried.
pub fn fail(request: Request<'_>, fault: &Fault) -> Vec<u8> {
    let modern = Params::read(request.params).is_ok_and(|params| modern::claims(&request, &params));
    let era = if modern { Era::Modern } else { Era::Legacy };
    match request.method {
        "tools/call" => results::fault(request.id, era, fault),
        _ => jsonrpc::error(Some(request.id), &resources::as_error(fault, era, None)),
    }
}

/// Whether answering may take as long as a connector does.
pub fn runs_a_connector(method: &str) -> bool {
    matches!(method, "tools/call" | "resources/read" | "prompts/get" | "completion/complete")
}

/// What is answered in one message, and by the eras only written differently.
async fn serve(
    gate: &Gate,
    caller: &Caller,
    request: Request<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Vec<u8>, Error> {
    let list = |name: &str, part: fn(&Listing) -> &[u8]| {
        params.refuse_cursor()?;
        Ok(results::list(request.id, era, name, part(&gate.tools(caller))))
    };
    match request.method {
        "tools/list" => list("tools", |listing| &listing.mcp),
        "resources/list" => list("resources", |listing| &listing.resources),
        "resources/templates/list" => list("resourceTemplates", |listing| &listing.resource_templates),
        "resources/read" => resources::read(gate, caller, request, params, era).await,
        "prompts/list" => list("prompts", |listing| &listing.prompts),
        "prompts/get" => prompts::get(gate, caller, request, params, era).await,
        "completion/complete" => resources::complete(gate, caller, request, params, era).await,
        _ => Err(Error::method_not_found()),
    }
}
