//! A system's own login: what the host's credential manager asks for, and the session that it gets.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::login::exports::ferrata::connector::authenticator as wire;
use crate::fault::{Fault, millis};
use crate::host;
use crate::response::Response;
use crate::secret::{Secret, secret};

/// What is to be done: a grant for a credential.
///
/// The grant's secrets are fields of the credential, usable only here: `client_secret`, `client_key`, `refresh_token`, `key`,
/// `subject_token`.
#[derive(Clone, Debug)]
pub struct Login {
    credential: String,
    grant: Map<String, Value>,
}

impl Login {
    pub(crate) fn new(credential: String, grant: &str) -> Result<Self, Fault> {
        let grant = serde_json::from_str(grant)
            .map_err(|error| Fault::broken(format!("The grant is not a JSON object: {error}.")))?;
        Ok(Self { credential, grant })
    }

    /// The credential's name, as the manifest declares it.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// "client-credentials", "refresh-token", "jwt-bearer" or "token-exchange".
    pub fn kind(&self) -> &str {
        self.text("kind").unwrap_or_default()
    }

    /// A member of the credential's public configuration, if it is a text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.grant.get(member)?.as_str()
    }

    /// A member of the credential's public configuration.
    ///
    /// # Errors
    /// `invalid_arguments` if it is missing or has another shape than `T`.
    pub fn get<T: DeserializeOwned>(&self, member: &str) -> Result<T, Fault> {
        let value = self.grant.get(member).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|error| {
            let path = format!("/{member}");
            Fault::invalid_arguments(format!("The credential's `{member}`: {error}.")).with_path(path)
        })
    }

    /// A secret of the grant.
    pub fn secret(&self, field: &str) -> Secret {
        secret(format!("{}.{field}", self.credential))
    }

    /// A JWT signed with the credential's `key`, as a secret. `iss`, `sub`, `aud`, `iat` and `exp` come from the
    /// credential's configuration; `claims` is an object of further ones.
    ///
    /// # Errors
    /// The host's fault if there is no such key.
    pub fn signed_jwt(&self, claims: &Map<String, Value>) -> Result<Secret, Fault> {
        let claims = Value::Object(claims.clone()).to_string();
        Ok(Secret(host::sign_jwt(self.secret("key").name(), &claims)?))
    }

    /// A JWT that says who the client is (RFC 7523, 2.2), signed with the credential's `client_key`, as a secret. All claims are the host's: `iss`
    /// and `sub` are the `client_id`, `aud` is the `client_audience`.
    ///
    /// # Errors
    /// The host's fault if there is no such key.
    pub fn client_assertion(&self) -> Result<Secret, Fault> {
        Ok(Secret(host::sign_jwt(self.secret("client_key").name(), "{}")?))
    }

    /// The fault for a grant that the connector does not understand.
    pub fn unsupported(&self) -> Fault {
        Fault::invalid_arguments(format!("This connector has no grant of kind {:?}.", self.kind()))
            .with_path("/kind")
    }
}

/// What a login results in.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(crate) secrets: Vec<(String, String)>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_expires_in: Option<Duration>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) base_urls: Vec<(String, String)>,
}

impl Session {
    /// A session of everything that was [captured](crate::Request::capture) from the answer, under the same fields.
    pub fn of(response: &Response) -> Self {
        let captured = response.all_captured().iter();
        let secrets = captured.map(|(field, secret)| ((*field).to_owned(), secret.0.clone())).collect();
        Self { secrets, ..Self::default() }
    }

    /// A captured secret, under the field that requests use.
    pub fn secret(mut self, field: &str, secret: Secret) -> Self {
        self.secrets.push((field.to_owned(), secret.0));
        self
    }

    /// How long the access token lasts, as the answer or the system's documentation says.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }

    /// How long the refresh token lasts.
    pub fn refresh_expires_in(mut self, lifetime: Duration) -> Self {
        self.refresh_expires_in = Some(lifetime);
        self
    }

    /// Scopes that were granted.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// A base URL that the system assigned to an upstream. The host uses it only if it matches the operator's pattern.
    pub fn base_url(mut self, upstream: &str, url: impl Into<String>) -> Self {
        self.base_urls.push((upstream.to_owned(), url.into()));
        self
    }
}

impl From<Session> for wire::Session {
    fn from(session: Session) -> Self {
        Self {
            secrets: session.secrets,
            expires_in_ms: session.expires_in.map(whole_millis),
            refresh_expires_in_ms: session.refresh_expires_in.map(whole_millis),
            scopes: session.scopes,
            base_urls: session.base_urls,
            details: None,
        }
    }
}

/// A lifetime, rounded down to whole milliseconds: never later than it is.
fn whole_millis(lifetime: Duration) -> u64 {
    millis(lifetime.saturating_sub(Duration::from_nanos(999_999)))
}
