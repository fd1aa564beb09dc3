//! Credentials in the operator's words: how they are obtained, where they may be written, where their fields come from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// The fields that the manifest names. A secret is the path of a file, or `{ env: NAME }`; what is no secret may be
    /// written as `{ value: … }`.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// The fields are used as they are.
    Static,
    /// The component logs in with an OAuth client's own identity.
    ClientCredentials,
    /// Not built yet.
    RefreshToken,
    /// The component logs in with an assertion that the host signs (RFC 7523): fields `key`, `client_id`, `audience` and
    /// perhaps `subject`.
    JwtBearer,
    /// Not built yet.
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
