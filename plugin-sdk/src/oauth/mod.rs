//! The grants of OAuth 2, against a token endpoint that keeps to RFC 6749.
//!
//! The connector's `authenticate` is usually one line. What a system does in a way of its own is said of its endpoint: a lifetime that it does
//! not tell, a base URL that it assigns, refusals in other words, tokens in another place. One whose answer needs more than that uses
//! [`TokenEndpoint::request`] and reads the answer itself.
//!
//! | grant | what is sent | secrets of the credential |
//! |---|---|---|
//! | `client-credentials` | who the client is | `client_secret` or `client_key` |
//! | `refresh-token` | the refresh token, which the answer may replace | `refresh_token`, and those of the client, if it has any |
//! | `jwt-bearer` | an assertion that the host signs (RFC 7523) | `key` |
//! | `token-exchange` | somebody else's token (RFC 8693) | `subject_token`, and those of the client |
//!
//! An API key or a password needs no login: see [`Request::bearer`] and [`Request::basic`].
//!
//! ```
//! use ferrata_sdk::oauth::TokenEndpoint;
//! use ferrata_sdk::prelude::*;
//!
//! const TOKEN: Operation = Operation::post("login", "oauth.token", "/oauth2/token");
//! const ME: Operation = Operation::get("api", "me", "/me");
//! # /// Who this is.
//! # #[input] struct Me {}
//! # #[data] struct User { name: String }
//! # fn me(cx: &Cx<NoSettings>, _: Me) -> Result<User, Fault> {
//! #     cx.request(&ME).bearer("account.access_token").send()?.json()
//! # }
//!
//! fn authenticate(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
//!     TokenEndpoint::new(TOKEN).login(cx, login)
//! }
//!
//! fn connector() -> Connector<NoSettings, WithLogin> {
//!     let grants = &["client-credentials", "refresh-token"];
//!     Connector::new("accounts", env!("CARGO_PKG_VERSION"))
//!         .upstream(Upstream::http("api"))
//!         .upstream(Upstream::http("login"))
//!         .credential(Credential::login("account", "api", grants).also_for("login").field("access_token"))
//!         .operations(&[TOKEN])
//!         .tool(tool("me", &ME, me))
//!         .login(authenticate)
//! }
//!
//! ferrata_sdk::export!(connector, login);
//!
//! use ferrata_sdk::testing::{Answer, Harness, post};
//!
//! let mut accounts = Harness::new(connector());
//! let tokens = json!({ "access_token": "secret", "expires_in": 3600 });
//! accounts.expect(post("/oauth2/token").answer(Answer::json(200, tokens)));
//! let session = accounts.authenticate("account", json!({ "kind": "client-credentials", "client_id": "me" })).unwrap();
//! assert_eq!(session.expires_in, Some(Duration::from_secs(3600)));
//! ```

mod answer;
mod client;
mod grant;

use std::time::Duration;

pub use answer::{classify, refused, session};
pub use client::ClientAuth;

use crate::cx::Cx;
use crate::fault::Fault;
use crate::login::{Login, Session};
use crate::operation::Operation;
use crate::request::Request;
use crate::response::Response;
use crate::verdict::Classify;

/// A token endpoint, and what it does in its own way.
#[derive(Clone, Copy, Debug)]
pub struct TokenEndpoint {
    operation: Operation,
    client: ClientAuth,
    claims: &'static [&'static str],
    classify: Classify,
    tokens: Tokens,
    lifetime: Option<Duration>,
    refresh_lifetime: Option<Duration>,
    base_url: Option<BaseUrl>,
}

/// Where the tokens stand in an answer: JSON Pointers.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    access: &'static str,
    refresh: &'static str,
}

/// Where an answer says where an upstream is.
#[derive(Clone, Copy, Debug)]
struct BaseUrl {
    upstream: &'static str,
    pointer: &'static str,
}

impl TokenEndpoint {
    /// The endpoint that is this operation, as RFC 6749 has it; the client authenticates in the body.
    pub const fn new(operation: Operation) -> Self {
        Self {
            operation,
            client: ClientAuth::Body,
            claims: &[],
            classify,
            tokens: Tokens { access: "/access_token", refresh: "/refresh_token" },
            lifetime: None,
            refresh_lifetime: None,
            base_url: None,
        }
    }

    /// How the client authenticates, unless the operator says otherwise: see [`ClientAuth`].
    pub const fn client_auth(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Members of the credential's public configuration that a `jwt-bearer` assertion claims as well, for endpoints that want the `scope`
    /// there.
    pub const fn claims(mut self, members: &'static [&'static str]) -> Self {
        self.claims = members;
        self
    }

    /// Reads answers with this function instead of [`classify`]: for refusals in other words. See [`refused`].
    pub const fn classify(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }

    /// Where in the answer the tokens stand, as JSON Pointers, if not at `/access_token` and `/refresh_token`.
    pub const fn tokens(mut self, access: &'static str, refresh: &'static str) -> Self {
        self.tokens = Tokens { access, refresh };
        self
    }

    /// How long an access token lasts when the answer does not say.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How long a new refresh token lasts when the answer does not say: what the host's alarms before its end count from.
    pub const fn refresh_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_lifetime = Some(lifetime);
        self
    }

    /// The answer says, at this JSON Pointer, where that upstream is for this account. The host uses it only if it matches the operator's
    /// pattern.
    pub const fn base_url(mut self, upstream: &'static str, pointer: &'static str) -> Self {
        self.base_url = Some(BaseUrl { upstream, pointer });
        self
    }

    /// Does what the grant asks for, and makes a session of the answer: `access_token`, and `refresh_token` if there is a new one. An
    /// answer that names no scopes granted those that were asked for.
    ///
    /// # Errors
    /// `rejected` with the endpoint's code (`invalid_grant`, `invalid_client` …) if it refuses, which the host takes for the end of the
    /// credential; `schema_mismatch` for an answer without a token; the host's faults, `unavailable` among them.
    pub fn login<S>(&self, cx: &Cx<S>, login: &Login) -> Result<Session, Fault> {
        let response = self.request(cx, login)?.send()?;
        self.session(login, &response)
    }

    /// The request alone, with the tokens captured, for systems whose answer says more or something else.
    ///
    /// # Errors
    /// `invalid_arguments` for a grant of another kind than OAuth's four, or another client authentication than [`ClientAuth`] has.
    pub fn request<S>(&self, cx: &Cx<S>, login: &Login) -> Result<Request, Fault> {
        let form = grant::form(login, self.claims)?;
        let (form, authorization) = self.client.identify(login, form)?;
        let request = cx.request(&self.operation).form(form).classify(self.classify);
        let request =
            request.capture("access_token", self.tokens.access).capture("refresh_token", self.tokens.refresh);
        Ok(match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        })
    }

    /// What the answer to [`request`](Self::request) makes.
    ///
    /// # Errors
    /// `schema_mismatch` if no access token was captured, or the base URL is missing.
    pub fn session(&self, login: &Login, response: &Response) -> Result<Session, Fault> {
        let mut session = answer::session(response)?;
        session.expires_in = session.expires_in.or(self.lifetime);
        let renewed = response.captured("refresh_token").is_some();
        let refresh_lifetime = self.refresh_lifetime.filter(|_| renewed);
        session.refresh_expires_in = session.refresh_expires_in.or(refresh_lifetime);
        session.scopes = session.scopes.or_else(|| login.text("scope").map(answer::scopes));
        match self.base_url {
            Some(BaseUrl { upstream, pointer }) => {
                Ok(session.base_url(upstream, answer::text(response, pointer)?))
            }
            None => Ok(session),
        }
    }
}
