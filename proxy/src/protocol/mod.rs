//! Bytes from an agent to a call, and its outcome to bytes.
//!
//! Owns the wire: MCP over HTTP ([`Endpoint`], `/mcp`) and over a pipe ([`stdio`]), plain HTTP (`/v1`), and the
//! checks that need no knowledge of tools (host, origin, size, shape). Who the caller is and what becomes of
//! a call is the gate's.

mod body;
mod fault_data;
pub mod guard;
pub mod hints;
mod http;
pub mod jsonrpc;
pub mod mcp;
mod metadata;
mod nesting;
mod refusal;
mod respond;
pub mod stdio;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::call::Caller;
use crate::gate::{Gate, Presented};
use crate::server::{Body, Drain};
use guard::Guard;
use refusal::Refusal;

/// Where MCP is served.
pub const MCP_PATH: &str = "/mcp";

/// Where plain HTTP lists the tools; each has its own address below it.
pub const TOOLS_PATH: &str = "/v1/tools";

/// A user's token, beside the agent's own.
const SUBJECT_TOKEN: &str = "ferrata-subject-token";

/// What an operator may change about the agents' endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest request body. Arguments are small; a document to be stored is the largest thing they hold.
    pub body_bytes: usize,
    /// How long a request's body may take to arrive.
    pub body_read: Duration,
    /// Event streams open at a time, over all connections.
    pub listeners: usize,
    /// Hosts that requests may name besides loopback and the listener's own address: `host` or `host:port`.
    pub hosts: Vec<String>,
    /// Origins of web pages that may send requests: `scheme://host[:port]`.
    pub origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes: 4 * 1024 * 1024,
            body_read: Duration::from_secs(30),
            listeners: 256,
            hosts: Vec::new(),
            origins: Vec::new(),
        }
    }
}

/// The agents' HTTP endpoint, for one listener.
#[derive(Debug)]
pub struct Endpoint {
    gate: Arc<Gate>,
    settings: Settings,
    guard: Guard,
    drain: Drain,
    listeners: Arc<Semaphore>,
    cancellations: Arc<mcp::Cancellations>,
}

impl Endpoint {
    /// `local` is the address that the listener is bound to.
    pub fn new(gate: Arc<Gate>, settings: Settings, local: SocketAddr, drain: Drain) -> Self {
        let guard = Guard::new(local, &settings.hosts, &settings.origins);
        let listeners = Arc::new(Semaphore::new(settings.listeners));
        Self { gate, settings, guard, drain, listeners, cancellations: Arc::default() }
    }

    /// Serves one request. Dropping the future gives the call up.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if let Some(metadata) = self.metadata(&request) {
            return metadata;
        }
        let is_mcp = request.uri().path() == MCP_PATH;
        match self.admit(&request).await {
            Ok(caller) if is_mcp => self.mcp(request, caller).await,
            Ok(caller) => self.plain(request, caller).await,
            Err(refusal) if is_mcp => refusal.into_jsonrpc(),
            Err(refusal) => refusal.into_problem(),
        }
    }

    /// Lets nobody in who names a wrong host, comes from a strange page, or is not known.
    async fn admit<B>(&self, request: &Request<B>) -> Result<Caller, Refusal> {
        self.guard.check(request.uri(), request.headers())?;
        let headers = request.headers();
        let subject = subject_token(headers)?;
        let identified = self.gate.identify(Presented { bearer: bearer(headers), subject }).await;
        identified.map_err(|why| metadata::refusal(&self.gate, request, &why))
    }
}

/// For whom the agent acts, if it says so.
fn subject_token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut tokens = headers.get_all(SUBJECT_TOKEN).iter();
    match (tokens.next().map(HeaderValue::to_str), tokens.next()) {
        (None, _) => Ok(None),
        (Some(Ok(token)), None) => Ok(Some(token)),
        _ => {
            Err(Refusal::bad_request("The header Ferrata-Subject-Token must be there once, with one token."))
        }
    }
}

/// The token of `Authorization: Bearer`; an unreadable one is no token that anybody could know.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("There is {MCP_PATH} and {TOOLS_PATH} here."))
}

#[cfg(test)]
mod tests;
