//! Credentials in the operator's words: how they are obtained, where they may be written, where their fields come from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Days, Period};

/// A quarter: what most companies ask of a secret.
const DEFAULT_ROTATION_DAYS: u32 = 90;

/// Fields of a login that are no secrets, and may be written as they are.
pub const PUBLIC_FIELDS: [&str; 8] = [
    "subject",
    "audience",
    "scope",
    "resource",
    "client_auth",
    "client_audience",
    "subject_token_type",
    "requested_token_type",
];

/// A credential: how it is obtained, where it may be written, and its fields.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct Credential {
    pub kind: CredentialKind,
    /// Towards which of the connector's upstreams its secrets may be written. Default: those that its manifest names, which are the most.
    #[serde(default)]
    pub upstreams: Option<Vec<String>>,
    /// Where its secrets may be written: `header:<name>` or `body`. Default: `header:authorization`.
    #[serde(default)]
    pub positions: Option<Vec<String>>,
    /// Whether the connector may have arbitrary bytes signed with it.
    #[serde(default)]
    pub sign: bool,
    /// How long one login may take; 15 s when absent. Twice that is how long a sidecar that was killed in the middle of a refresh keeps
    /// the others of its fleet from going on.
    #[serde(default)]
    pub login_timeout: Option<Period>,
    /// Of `jwt-bearer`: whether assertions are for the user for whom a call is, in the place of a `subject`. Each user has a session of their own.
    #[serde(default)]
    pub per_user: bool,
    /// Of a refresh token: whether the identity provider gives a new one with each refresh and takes the old one once. Unless it does
    /// not, each must be kept: `state` cannot be `memory` then, and needs a `key`. Default: yes.
    #[serde(default)]
    pub rotates: Option<bool>,
    /// Of fields that are used as they are: how long after they were replaced the system still takes the ones before. Within that time
    /// whichever it accepts are used. None when absent.
    #[serde(default)]
    pub overlap: Option<Period>,
    /// How old the secrets may be; past that there is an alarm. 90 days when absent, and no bound for a refresh token.
    #[serde(default)]
    pub rotate: Option<Days>,
    /// When the secrets were made, as `2026-08-01`. Otherwise the times of their files say it, which in a pod may be when it started, and
    /// what is remembered of when they were first seen: nothing in `state: memory`, or without `state.key`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub issued: Option<jiff::civil::Date>,
    /// The fields that the manifest names, or those of the login. A secret is the path of a file, or `{ env: NAME }`; what is no secret may
    /// be written as `{ value: … }`.
    ///
    /// Every login may have `scope`, `resource` and `client_auth`: how the client authenticates (`client_secret_basic`, `client_secret_post`,
    /// `private_key_jwt` or `none`), if not as the connector does. With `private_key_jwt` the host signs with `client_key`, for `client_audience`.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Field>,
}

impl Credential {
    /// How old the secrets may be; none for as old as they like.
    pub fn rotation(&self) -> Option<std::time::Duration> {
        let default = (self.kind != CredentialKind::RefreshToken).then_some(Days(DEFAULT_ROTATION_DAYS));
        self.rotate.or(default).map(Days::duration)
    }

    /// Whether each user has a session of their own.
    pub fn is_per_user(&self) -> bool {
        let exchanges =
            self.kind == CredentialKind::TokenExchange && !self.fields.contains_key("subject_token");
        exchanges || self.per_user
    }

    /// Whether losing what it was refreshed to last would be the end of it.
    pub fn must_be_kept(&self) -> bool {
        self.kind == CredentialKind::RefreshToken && self.rotates != Some(false)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// The fields are used as they are.
    Static,
    /// The component logs in with an OAuth client's own identity: fields `client_id` and `client_secret` or `client_key`.
    ClientCredentials,
    /// The component logs in with a refresh token that somebody consented to: fields `refresh_token` (the first one; the newest is kept
    /// beside the counts, until this file changes) and `client_id`, and usually `client_secret`.
    RefreshToken,
    /// The component logs in with an assertion that the host signs (RFC 7523): fields `key`, `client_id`, `audience` and
    /// perhaps `subject`.
    JwtBearer,
    /// The component exchanges the token of the user for whom a call is for one of the system's (RFC 8693): fields `client_id`, and usually
    /// `client_secret`. Each user has a session of their own; a call for no user has none. With a field `subject_token` it is the operator's token
    /// that is exchanged, for everybody.
    TokenExchange,
}

impl CredentialKind {
    /// The name, as in the file and in the grant that a guest gets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::ClientCredentials => "client-credentials",
            Self::RefreshToken => "refresh-token",
            Self::JwtBearer => "jwt-bearer",
            Self::TokenExchange => "token-exchange",
        }
    }
}

/// Where a credential's field comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Field {
    /// With `/`, `./` or `../` in front the path of a file, read again when it changes; one newline at its end is not part of the
    /// secret. Any other text is the value itself, which only a login's public fields (`subject`, `audience`) may be.
    Text(String),
    Env(EnvField),
    Value(PlainField),
}

impl Field {
    /// The file, if it is one.
    pub fn as_file(&self) -> Option<&str> {
        match self {
            Self::Text(text) if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) => Some(text),
            _ => None,
        }
    }
}

/// An environment variable, for laptops.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvField {
    pub env: String,
}

/// A value in the clear: a client id, a user name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainField {
    pub value: String,
}
