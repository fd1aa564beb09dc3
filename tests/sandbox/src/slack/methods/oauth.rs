//! `oauth.v2.access`: the refresh grant. Authorization codes are not given out here, so none is valid.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Call, Outcome, object};
use crate::slack::answer::Refusal;
use crate::slack::seed::{APP_ID, CLIENT_ID, CLIENT_SECRET, TEAM_ID, TEAM_NAME};
use crate::slack::tokens::{Kind, ROTATED_LIFE};

pub(super) fn access(call: &mut Call) -> Outcome {
    let (id, secret) = client(call).ok_or("invalid_client_id")?;
    if id != CLIENT_ID {
        return Err(Refusal::from("invalid_client_id"));
    }
    if secret != CLIENT_SECRET {
        return Err(Refusal::from("bad_client_secret"));
    }
    match call.arguments.get("grant_type") {
        Some("refresh_token") => refresh(call),
        Some("authorization_code") | None => Err(Refusal::from("invalid_code")),
        Some(_) => Err(Refusal::from("invalid_grant_type")),
    }
}

fn refresh(call: &mut Call) -> Outcome {
    let token = call.arguments.get("refresh_token").ok_or("invalid_refresh_token")?;
    let rotated = call.grants.rotate(token, call.now)?;
    let grant = rotated.grant;
    let who = if grant.kind == Kind::Bot { "bot" } else { "user" };
    let mut body = object(json!({
        "access_token": rotated.access,
        "refresh_token": rotated.refresh,
        "token_type": who,
        "expires_in": ROTATED_LIFE.as_secs(),
        "scope": grant.scopes.join(","),
        "app_id": APP_ID,
        "team": { "id": TEAM_ID, "name": TEAM_NAME },
        "enterprise": null,
        "is_enterprise_install": false,
    }));
    body.insert(format!("{who}_id"), grant.user.into());
    Ok(body)
}

/// The client's id and secret, by HTTP Basic or as two arguments.
fn client(call: &Call) -> Option<(String, String)> {
    let Some(basic) = call.request.header("authorization").and_then(|value| value.strip_prefix("Basic "))
    else {
        let named = |name| call.arguments.get(name).map(str::to_owned);
        return Some((named("client_id")?, named("client_secret")?));
    };
    let pair = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
