//! What an agent is told that must show a token first: what is wrong, and where such tokens come from (RFC 9728).

use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use super::refusal::Refusal;
use super::{Endpoint, MCP_PATH, respond};
use crate::gate::{Gate, Unauthorized};
use crate::server::Body;

/// Where the metadata of a whole host stands, and below it that of one of its addresses.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Endpoint {
    /// The metadata, if that is what is asked for and there are any: whoever looks for a token has none yet.
    pub(super) fn metadata<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let below = request.uri().path().strip_prefix(WELL_KNOWN)?;
        if !matches!(below, "" | MCP_PATH) {
            return None;
        }
        let metadata = self.gate.metadata(&here(request, MCP_PATH))?;
        let served = match self.guard.check(request.uri(), request.headers()) {
            Err(refusal) => Err(refusal),
            Ok(()) if request.method() != Method::GET => Err(Refusal::method("GET")),
            Ok(()) => Ok(respond::json(StatusCode::OK, metadata.to_string())),
        };
        Some(served.unwrap_or_else(Refusal::into_problem))
    }
}

/// The refusal of a caller that is not known. The sentences are short and plain, so that they may stand in a header.
pub fn refusal<B>(gate: &Gate, request: &Request<B>, why: &Unauthorized) -> Refusal {
    let sentence = match why {
        Unauthorized::Unavailable => {
            return Refusal::overloaded(
                "The identity provider's keys cannot be had at the moment.".to_owned(),
            );
        }
        Unauthorized::Missing | Unauthorized::Unknown => {
            "A bearer token that this listener knows is required.".to_owned()
        }
        Unauthorized::Refused(what) => format!("The bearer token is refused: {what}."),
        Unauthorized::SubjectRefused(what) => format!("The user's token is refused: {what}."),
    };
    let mut challenge = "Bearer".to_owned();
    let mut separator = ' ';
    let mut say = |name: &str, value: &str| {
        challenge.push_str(&format!("{separator}{name}=\"{value}\""));
        separator = ',';
    };
    if gate.metadata("").is_some() {
        say("resource_metadata", &here(request, &[WELL_KNOWN, MCP_PATH].concat()));
    }
    if matches!(why, Unauthorized::Refused(_)) {
        say("error", "invalid_token");
        say("error_description", &sentence);
    }
    let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
    Refusal::unauthorized(sentence, challenge)
}

/// An address on this listener, as the request names it. The host was compared with those that are ours before this is told to anybody.
fn here<B>(request: &Request<B>, path: &str) -> String {
    let named = || request.headers().get(HOST)?.to_str().ok().map(str::to_owned);
    let host = request.uri().authority().map(ToString::to_string).or_else(named).unwrap_or_default();
    format!("http://{host}{path}")
}
