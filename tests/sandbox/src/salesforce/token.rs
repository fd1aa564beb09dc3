//! The token endpoint. It answers without `expires_in`, says where the org is, and refuses as OAuth has it.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;

use super::{AUDIENCE, CLIENT_ID, CLIENT_SECRET, State, USERNAME};
use crate::{Answer, Request};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How far ahead an assertion may end, in seconds.
const ASSERTION_LIFE: u64 = 180;

/// OAuth's error, and the vendor's words for it.
type Refusal = (&'static str, &'static str);

pub(super) fn answer(state: &mut State, request: &Request, now: Duration) -> Answer {
    let fields: Fields = form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name| value(&fields, name);
    let successor = match field("grant_type") {
        "refresh_token" => client(&fields, false)
            .and_then(|()| state.sessions.refresh(field("refresh_token")).ok_or(EXPIRED)),
        "client_credentials" => client(&fields, true).map(|()| None),
        JWT_BEARER => asserted(state.certificate.as_deref(), field("assertion"), now).map(|()| None),
        _ => Err(("unsupported_grant_type", "grant type not supported")),
    };
    match successor {
        Ok(successor) => granted(state, successor, now),
        Err((error, description)) => {
            let body = json!({ "error": error, "error_description": description });
            super::answer(StatusCode::BAD_REQUEST, &body)
        }
    }
}

type Fields = HashMap<String, String>;

fn value<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}

const EXPIRED: Refusal = ("invalid_grant", "expired access/refresh token");

fn client(fields: &Fields, needs_secret: bool) -> Result<(), Refusal> {
    match (value(fields, "client_id"), value(fields, "client_secret")) {
        (id, _) if id != CLIENT_ID => Err(("invalid_client_id", "client identifier invalid")),
        // Whether a refresh needs it is a setting of the app.
        (_, "") if !needs_secret => Ok(()),
        (_, secret) if secret != CLIENT_SECRET => Err(("invalid_client", "invalid client credentials")),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
}

/// By the stand-in's clock, and not by the machine's.
fn asserted(certificate: Option<&str>, assertion: &str, now: Duration) -> Result<(), Refusal> {
    let invalid = |_| ("invalid_grant", "invalid assertion");
    let key = DecodingKey::from_rsa_pem(certificate.unwrap_or_default().as_bytes()).map_err(invalid)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&[AUDIENCE]);
    let claims =
        jsonwebtoken::decode::<Claims>(assertion, &key, &validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidAudience => ("invalid_grant", "audience is invalid"),
            _ => ("invalid_grant", "invalid assertion"),
        })?;
    let Claims { iss, sub, exp } = claims.claims;
    match (iss.as_str(), sub.as_str()) {
        (CLIENT_ID, USERNAME) if exp <= now.as_secs() || exp > now.as_secs() + ASSERTION_LIFE => {
            Err(("invalid_grant", "invalid assertion"))
        }
        (CLIENT_ID, USERNAME) => Ok(()),
        (CLIENT_ID, _) => Err(("invalid_grant", "user hasn't approved this consumer")),
        _ => Err(("invalid_client_id", "client identifier invalid")),
    }
}

fn granted(state: &mut State, successor: Option<String>, now: Duration) -> Answer {
    let mut body = json!({
        "access_token": state.sessions.open(now),
        "instance_url": state.instance,
        "id": "https://login.salesforce.com/id/00DACME00000001AAA/005ACME00000001AAA",
        "token_type": "Bearer",
        "issued_at": now.as_millis().to_string(),
        "signature": "c2FuZGJveA==",
        "scope": "api refresh_token",
    });
    if let Some(successor) = successor {
        body["refresh_token"] = successor.into();
    }
    super::answer(StatusCode::OK, &body)
}
