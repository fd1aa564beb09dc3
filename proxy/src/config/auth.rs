//! How agents, and the users behind them, prove who they are.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

/// `none`, `{ tokens: <folder or file> }` or `{ jwt: … }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Whoever reaches the listener is the agent `default`. Only on loopback.
    #[default]
    None,
    /// Bearer tokens: a folder with one file per agent, named as the agent, or one file of `name: token` lines.
    Tokens(PathBuf),
    /// Bearer tokens of an identity provider, for agents that act for a user: `sub` is the user, `azp` or `client_id` the agent. A token whose
    /// `sub` is the agent itself is for no user.
    Jwt(Jwt),
}

/// Which tokens of an identity provider count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// `iss`, to the letter.
    pub issuer: String,
    /// `aud` must be this, or one of these.
    pub audience: OneOrMore,
    /// The issuer's public keys: the path of a JWKS file, read again when it changes, or its address. When absent, they are where the issuer's
    /// `/.well-known/openid-configuration` says.
    #[serde(default)]
    pub jwks: Option<String>,
    /// PEM file of certificate authorities that are trusted for these addresses beside the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How tokens may be signed.
    #[serde(default = "Jwt::default_algorithms")]
    #[schemars(length(min = 1))]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The claim that names the user's tenant, where one issuer has several.
    #[serde(default)]
    pub tenant: Option<String>,
    /// What this endpoint is called in its OAuth metadata; `http://<Host>/mcp` when absent.
    #[serde(default)]
    pub resource: Option<String>,
}

impl Jwt {
    fn default_algorithms() -> Vec<JwtAlgorithm> {
        vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256]
    }

    /// The keys' file, if they are in one.
    pub fn jwks_file(&self) -> Option<&str> {
        self.jwks.as_deref().filter(|jwks| ["/", "./", "../"].iter().any(|start| jwks.starts_with(start)))
    }
}

/// An address whose answer nobody on the way can change. The error is a sentence's end, for the operator.
pub fn key_address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|e| format!("`{text}` is no address: {e}"))?;
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback =
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback => Ok(uri),
        _ => Err(format!(
            "`{text}` must begin with https://, or whoever is on the way could say which keys count"
        )),
    }
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Signatures by private key. What anybody can make who can check it (`HS256`) is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_travel_where_nobody_can_change_them() {
        for good in
            ["https://id.example/keys", "http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"]
        {
            key_address(good).unwrap();
        }
        for bad in ["http://id.example/keys", "ftp://id.example", "/keys", ""] {
            key_address(bad).unwrap_err();
        }
    }
}
