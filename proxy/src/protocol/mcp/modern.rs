//! Requests of revision 2026-07-28: each says its revision and its client's capabilities, and none
//! depends on another.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::params::{Params, is_object};
use super::version::{self, MODERN};
use super::{Answer, Era, Request, Subscription, call, headers, refused, results};
use crate::call::Caller;
use crate::gate::{Gate, MALFORMED};
use crate::protocol::jsonrpc::{self, Error};

/// The request's revision is not spoken here.
pub const UNSUPPORTED_VERSION: i32 = -32022;

/// Whether a request is to be read as modern: its body says so, or its header names no legacy revision.
pub fn claims(request: &Request<'_>, params: &Params<'_>) -> bool {
    if params.meta.as_ref().is_some_and(|meta| meta.protocol_version.is_some()) {
        return true;
    }
    let header = request.headers.and_then(headers::version);
    header.is_some_and(|version| !version::is_legacy(&version))
}

pub async fn answer(gate: &Arc<Gate>, caller: &Caller, request: Request<'_>, params: &Params<'_>) -> Answer {
    if let Err(error) = admit(&request, params) {
        refused::note(gate, caller, request.into(), MALFORMED);
        return Answer::error(request.id, StatusCode::BAD_REQUEST, &error);
    }
    let served = match request.method {
        "tools/call" => call::answer(gate, caller, request, params, Era::Modern).await,
        "server/discover" => Ok(Answer::ok(results::discover(request.id, &gate.tools(caller)))),
        "subscriptions/listen" => params
            .wanted_changes()
            .map(|lists| Answer::Listen(Subscription { id: request.id.to_owned(), lists })),
        _ => super::serve(gate, caller, request, params, Era::Modern).await.map(Answer::ok),
    };
    served.unwrap_or_else(|error| Answer::error(request.id, status_of(&error), &error))
}

/// Past the envelope a wrong parameter is an answer like any other. A wrong method is the address's fault, and what the client should have
/// said before is its own.
pub fn status_of(error: &Error) -> StatusCode {
    match error.code {
        jsonrpc::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        headers::HEADER_MISMATCH | call::MISSING_CAPABILITY => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// Checks what every modern request must say, in the order that tells a client most: its own members, its
/// agreement with itself, then whether we speak what it speaks.
fn admit(request: &Request<'_>, params: &Params<'_>) -> Result<(), Error> {
    let version = params.meta.as_ref().and_then(|meta| meta.protocol_version);
    let Some(version) = version else { return Err(without_version(request)) };
    let capabilities = params.meta.as_ref().and_then(|meta| meta.client_capabilities);
    if !capabilities.is_some_and(is_object) {
        return Err(missing("io.modelcontextprotocol/clientCapabilities"));
    }
    let version =
        jsonrpc::text(version).ok_or_else(|| Error::invalid_params("The protocol version must be text"))?;
    if let Some(headers) = request.headers {
        headers::check(headers, &version, request.method, params)?;
    }
    if version == MODERN { Ok(()) } else { Err(unsupported(&version)) }
}

/// A header alone made the request modern: either the body forgot its part, or the revision is unheard of.
fn without_version(request: &Request<'_>) -> Error {
    match request.headers.and_then(headers::version) {
        Some(version) if version != MODERN => unsupported(&version),
        _ => missing("io.modelcontextprotocol/protocolVersion"),
    }
}

fn missing(member: &str) -> Error {
    Error::invalid_params(format!("`_meta` must be an object with `{member}`"))
}

pub fn unsupported(version: &str) -> Error {
    let data = json!({"supported": [MODERN], "requested": crate::fault::quotable(version)});
    let message = "Unsupported protocol version; revisions before 2026-07-28 are spoken after `initialize`";
    Error { data: Some(data.to_string()), ..Error::new(UNSUPPORTED_VERSION, message) }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::value::{RawValue, to_raw_value};
    use serde_json::{Value, json};

    use super::super::headers::HEADER_MISMATCH;
    use super::*;

    fn meta(version: &str) -> Value {
        json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }})
    }

    fn headers(version: &str) -> HeaderMap {
        let headers = [(headers::VERSION, version), ("mcp-method", "server/discover")];
        headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The era, and for the modern one the code of the refusal.
    fn judge(params: &Value, headers: Option<&HeaderMap>) -> Option<Result<(), i32>> {
        let (id, params) = (RawValue::from_string("1".into()).unwrap(), to_raw_value(params).unwrap());
        let request =
            Request { id: &id, method: "server/discover", params: Some(&params), headers, session: None };
        let params = Params::read(request.params).unwrap();
        claims(&request, &params).then(|| admit(&request, &params).map_err(|error| error.code))
    }

    #[test]
    fn the_body_decides_the_era_and_the_header_where_it_is_silent() {
        assert_eq!(judge(&meta(MODERN), Some(&headers(MODERN))), Some(Ok(())));
        assert_eq!(judge(&meta(MODERN), None), Some(Ok(())));
        assert_eq!(judge(&json!({}), None), None);
        assert_eq!(judge(&json!({"_meta": {"progressToken": 1}}), Some(&headers("2025-06-18"))), None);
        assert_eq!(judge(&json!({}), Some(&headers(MODERN))), Some(Err(jsonrpc::INVALID_PARAMS)));
        assert_eq!(judge(&json!({}), Some(&headers("1999-01-01"))), Some(Err(UNSUPPORTED_VERSION)));
    }

    #[test]
    fn each_member_is_asked_for_and_disagreement_is_told_before_ignorance() {
        for member in
            ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"]
        {
            let mut params = meta(MODERN);
            params["_meta"].as_object_mut().unwrap().remove(member);
            assert_eq!(
                judge(&params, Some(&headers(MODERN))),
                Some(Err(jsonrpc::INVALID_PARAMS)),
                "{member}"
            );
        }
        assert_eq!(judge(&meta("v999"), Some(&headers("v999"))), Some(Err(UNSUPPORTED_VERSION)));
        assert_eq!(judge(&meta("v999"), Some(&headers(MODERN))), Some(Err(HEADER_MISMATCH)));
        assert_eq!(judge(&meta(MODERN), Some(&headers("2025-11-25"))), Some(Err(HEADER_MISMATCH)));
        assert_eq!(judge(&meta(MODERN), Some(&HeaderMap::new())), Some(Err(HEADER_MISMATCH)));
    }
}
