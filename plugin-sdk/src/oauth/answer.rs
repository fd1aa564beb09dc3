//! What a token endpoint answers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::login::Session;
use crate::response::Response;
use crate::verdict::Verdict;

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    expires_in: Option<Seconds>,
    /// Not in the standard, and under several names.
    #[serde(default, alias = "refresh_token_expires_in", alias = "x_refresh_token_expires_in")]
    refresh_expires_in: Option<Seconds>,
    #[serde(default)]
    scope: Option<String>,
}

/// Some endpoints write their numbers as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn duration(self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.trim().parse().ok(),
        };
        Duration::try_from_secs_f64(seconds?).ok()
    }
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
    session.expires_in = granted.expires_in.and_then(Seconds::duration);
    session.refresh_expires_in = granted.refresh_expires_in.and_then(Seconds::duration);
    session.scopes = granted.scope.as_deref().map(scopes);
    Ok(session)
}

/// Scopes are divided by spaces; some endpoints divide theirs by commas.
pub(super) fn scopes(text: &str) -> Vec<String> {
    let scopes = text.split([' ', ',']).filter(|scope| !scope.is_empty());
    scopes.map(str::to_owned).collect()
}

/// A text of the answer that must be there.
pub(super) fn text(response: &Response, pointer: &str) -> Result<String, Fault> {
    let answer: Value = response.json()?;
    let text = answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let missing = || Fault::schema_mismatch("The token endpoint's answer lacks a text.").with_path(pointer);
    text.ok_or_else(missing)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<String>,
    error_description: Option<String>,
}

/// What a token endpoint's answer means, in the words of RFC 6749: a refusal is a 400 or 401 with an `error`. Some endpoints refuse with a 403, or
/// even a 200, and their words count as well; a 403 without any is not the endpoint's but that of something on the way to it, and may pass.
pub fn classify(response: &Response) -> Verdict {
    let status = response.status();
    if !matches!(status, 200..=299 | 400 | 401 | 403) {
        return Verdict::by_status(response);
    }
    let refusal: Refusal = response.json().unwrap_or_default();
    match (refusal.error, status) {
        (Some(code), _) if code == "slow_down" => Verdict::throttled(response.retry_after()),
        (Some(code), _) => refused(&code, refusal.error_description),
        (None, 200..=299) => Verdict::Ok,
        (None, 403) => Verdict::Transient,
        (None, _) => refused(&status.to_string(), None),
    }
}

/// The verdict for a refusal in words of the endpoint's own: `code` is OAuth's code for it (`invalid_grant`, `invalid_client` …), or the system's
/// if there is none. A refusal is final: 401 here is about the client, and there is nothing to renew. `temporarily_unavailable` and
/// `server_error` are none.
pub fn refused(code: &str, description: Option<String>) -> Verdict {
    if matches!(code, "temporarily_unavailable" | "server_error") {
        return Verdict::Transient;
    }
    let fault = Fault::rejected("The token endpoint refused the grant.").with_code(code);
    Verdict::Rejected(match description {
        Some(description) => fault.with_upstream_text(description),
        None => fault,
    })
}
