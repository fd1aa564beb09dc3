//! The grants of OAuth 2, against a token endpoint that keeps to RFC 6749.
//!
//! A system with manners of its own uses [`TokenEndpoint::request`] and reads the answer itself.
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

use std::time::Duration;

use serde::Deserialize;
use serde_json::Map;

use crate::cx::Cx;
use crate::fault::Fault;
use crate::login::{Login, Session};
use crate::operation::Operation;
use crate::request::Request;
use crate::response::Response;
use crate::secret::{Atom, Form, Parts};
use crate::verdict::Verdict;

/// How the client says who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `Authorization: Basic`, both halves form-encoded (RFC 6749, 2.3.1).
    Basic,
    /// `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// Not at all: a public client, or a grant that says it by itself.
    None,
}

/// A token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct TokenEndpoint {
    operation: Operation,
    client: ClientAuth,
}

impl TokenEndpoint {
    /// The endpoint that is this operation; the client authenticates in the body.
    pub const fn new(operation: Operation) -> Self {
        Self { operation, client: ClientAuth::Body }
    }

    /// How the client authenticates.
    pub const fn client_auth(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Does what the grant asks for, and makes a session of the answer: `access_token`, and `refresh_token` if there is one.
    ///
    /// # Errors
    /// `rejected` with the endpoint's code (`invalid_grant`, `invalid_client` …) if it refuses; the host's faults.
    pub fn login<S>(&self, cx: &Cx<S>, login: &Login) -> Result<Session, Fault> {
        session(&self.request(cx, login)?.send()?)
    }

    /// The request alone, with the tokens captured, for systems whose answer says more or something else.
    ///
    /// # Errors
    /// `invalid_arguments` for a grant of another kind than OAuth's four.
    pub fn request<S>(&self, cx: &Cx<S>, login: &Login) -> Result<Request, Fault> {
        let (form, authorization) = self.identify(login, grant_form(login)?);
        let request = cx.request(&self.operation).form(form).classify(classify);
        let request =
            request.capture("access_token", "/access_token").capture("refresh_token", "/refresh_token");
        Ok(match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        })
    }

    fn identify(&self, login: &Login, form: Form) -> (Form, Option<Parts>) {
        let (id, secret) = (client_id(login), login.secret("client_secret"));
        match self.client {
            // A signed assertion says who the client is (RFC 7523, 2.1): there is no secret to send.
            _ if login.kind() == "jwt-bearer" => (form, None),
            ClientAuth::None => (form, None),
            ClientAuth::Body => (form.field("client_id", id).field("client_secret", secret), None),
            ClientAuth::Basic => (form, Some(Parts::basic(id, secret))),
        }
    }
}

/// The client's id is public configuration, or a secret if the operator keeps it in a file.
fn client_id(login: &Login) -> Atom {
    login.text("client_id").map_or_else(|| login.secret("client_id").into(), Atom::from)
}

fn grant_form(login: &Login) -> Result<Form, Fault> {
    let form = match login.kind() {
        "client-credentials" => Form::new().field("grant_type", "client_credentials"),
        "refresh-token" => Form::new()
            .field("grant_type", "refresh_token")
            .field("refresh_token", login.secret("refresh_token")),
        "jwt-bearer" => Form::new()
            .field("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .field("assertion", login.signed_jwt(&Map::new())?),
        "token-exchange" => Form::new()
            .field("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .field("subject_token", login.secret("subject_token"))
            .field("subject_token_type", login.text("subject_token_type").unwrap_or(ACCESS_TOKEN))
            .optional("audience", login.text("audience"))
            .optional("resource", login.text("resource")),
        _ => return Err(login.unsupported()),
    };
    Ok(form.optional("scope", login.text("scope")))
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    expires_in: Option<f64>,
    #[serde(default)]
    refresh_expires_in: Option<f64>,
    #[serde(default)]
    scope: Option<String>,
}

/// The session that an answer of RFC 6749 describes, with what was captured from it.
///
/// # Errors
/// `schema_mismatch` if no access token was captured.
pub fn session(response: &Response) -> Result<Session, Fault> {
    if response.captured("access_token").is_none() {
        let missing = Fault::schema_mismatch("The token endpoint's answer has no access token.");
        return Err(missing.with_path("/access_token"));
    }
    let granted: Granted = response.json()?;
    let mut session = Session::of(response);
    session.expires_in = granted.expires_in.and_then(seconds);
    session.refresh_expires_in = granted.refresh_expires_in.and_then(seconds);
    session.scopes = granted.scope.map(|scope| scope.split_whitespace().map(str::to_owned).collect());
    Ok(session)
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    error_description: Option<String>,
}

/// What a token endpoint's answer means. A refusal is final: 401 here is about the client, and there is nothing to renew.
pub fn classify(response: &Response) -> Verdict {
    if !matches!(response.status(), 400 | 401 | 403) {
        return Verdict::by_status(response);
    }
    let refusal: Refusal = response.json().unwrap_or_default();
    match refusal.error.as_deref() {
        Some("temporarily_unavailable") => return Verdict::Transient,
        Some("slow_down") => return Verdict::throttled(response.retry_after()),
        _ => {}
    }
    let code = refusal.error.unwrap_or_else(|| response.status().to_string());
    let fault = Fault::rejected("The token endpoint refused the grant.").with_code(code);
    Verdict::Rejected(match refusal.error_description {
        Some(description) => fault.with_upstream_text(description),
        None => fault,
    })
}
