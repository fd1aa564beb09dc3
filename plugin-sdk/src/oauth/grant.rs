//! What each grant sends, but for who the client is.

use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::login::Login;
use crate::secret::Form;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The form of a grant. An assertion claims those members of the public configuration as well.
pub(super) fn form(login: &Login, claims: &[&str]) -> Result<Form, Fault> {
    let form = match login.kind() {
        "client-credentials" => Form::new().field("grant_type", "client_credentials"),
        "refresh-token" => Form::new()
            .field("grant_type", "refresh_token")
            .field("refresh_token", login.secret("refresh_token")),
        "jwt-bearer" => Form::new()
            .field("grant_type", JWT_BEARER)
            .field("assertion", login.signed_jwt(&claimed(login, claims))?),
        "token-exchange" => exchange(login),
        _ => return Err(login.unsupported()),
    };
    let form = match login.kind() {
        // There the audience is the host's to claim.
        "jwt-bearer" => form,
        _ => form.optional("audience", login.text("audience")),
    };
    Ok(form.optional("resource", login.text("resource")).optional("scope", login.text("scope")))
}

fn claimed(login: &Login, claims: &[&str]) -> Map<String, Value> {
    let claim = |name: &&str| Some(((*name).to_owned(), login.text(name)?.into()));
    claims.iter().filter_map(claim).collect()
}

fn exchange(login: &Login) -> Form {
    Form::new()
        .field("grant_type", TOKEN_EXCHANGE)
        .field("subject_token", login.secret("subject_token"))
        .field("subject_token_type", login.text("subject_token_type").unwrap_or(ACCESS_TOKEN))
        .optional("requested_token_type", login.text("requested_token_type"))
}
