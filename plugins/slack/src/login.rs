//! Logging in to a workspace whose app has token rotation on: its tokens last twelve hours, and each refresh token is good for one use.

use ferrata_sdk::prelude::*;

use crate::meaning::{Envelope, PASSING};
use crate::{Settings, TIER_4};

pub(crate) const ACCESS: Operation =
    Operation::post("api", "oauth.v2.access", "/oauth.v2.access").walls(TIER_4);

/// What Slack says of a refresh token that it does not take: somebody must install the app again.
const SPENT: &[&str] = &["invalid_refresh_token", "token_revoked", "account_inactive"];

/// What a refresh makes: the token, under the name that it has as a credential of kind `static`.
pub(crate) fn log_in(cx: &Cx<Settings>, login: &Login) -> Result<Session, Fault> {
    let endpoint = oauth::TokenEndpoint::new(ACCESS).classify(granted);
    let response = endpoint.request(cx, login)?.send()?;
    let session = endpoint.session(login, &response)?;
    let token = response.captured("access_token").cloned();
    Ok(token.into_iter().fold(session, |session, token| session.secret("token", token)))
}

/// Slack refuses with status 200 and words of its own; nothing of it is about a token that could be renewed.
fn granted(response: &Response) -> Verdict {
    let by_status = Verdict::by_status(response);
    let (Verdict::Ok, Ok(envelope)) = (&by_status, response.json::<Envelope>()) else { return by_status };
    match envelope.error.as_deref().filter(|_| !envelope.ok) {
        None => Verdict::Ok,
        Some("ratelimited" | "rate_limited") => Verdict::throttled(response.retry_after()),
        Some(code) if PASSING.contains(&code) => Verdict::Transient,
        Some(code) if SPENT.contains(&code) => oauth::refused("invalid_grant", Some(code.to_owned())),
        Some(code) => oauth::refused(code, None),
    }
}
