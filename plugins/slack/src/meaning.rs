//! What Slack's answers mean.
//!
//! Owns the envelope (status 200 whether it went well or not) and the translation of Slack's codes into verdicts and faults.
//! A code that is not here is `rejected`, with the code.

use ferrata_sdk::prelude::*;

/// Slack's envelope, which comes with status 200 whether it went well or not.
#[answer]
pub(crate) struct Envelope {
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
    needed: Option<String>,
    provided: Option<String>,
}

pub(crate) fn meaning(response: &Response) -> Verdict {
    let by_status = Verdict::by_status(response);
    if !matches!(by_status, Verdict::Ok) {
        return by_status;
    }
    let envelope: Envelope = match response.json() {
        Ok(envelope) => envelope,
        Err(mismatch) => return Verdict::Rejected(mismatch),
    };
    match (envelope.ok, envelope.error.as_deref()) {
        (true, _) => Verdict::Ok,
        (false, None) => {
            Verdict::Rejected(Fault::schema_mismatch("Slack refuses without a reason.").with_path("/error"))
        }
        // Whoever stands in between may write anything there, and a code is shown as it is.
        (false, Some(text)) if !is_code(text) => {
            let mismatch = Fault::schema_mismatch("Slack refuses with something that is no code of its own.");
            Verdict::Rejected(mismatch.with_path("/error").with_upstream_text(text))
        }
        (false, Some("ratelimited" | "rate_limited")) => Verdict::throttled(response.retry_after()),
        (false, Some(code)) if DEAD_TOKEN.contains(&code) => Verdict::Unauthenticated,
        (false, Some(code)) if PASSING.contains(&code) => Verdict::Transient,
        (false, Some(code @ "missing_scope")) => {
            let (needed, provided) =
                (envelope.needed.unwrap_or_default(), envelope.provided.unwrap_or_default());
            Verdict::Rejected(
                refusal(code).with_upstream_text(format!("needed: {needed}; provided: {provided}")),
            )
        }
        (false, Some(code)) => Verdict::Rejected(refusal(code)),
    }
}

fn is_code(text: &str) -> bool {
    (1..=MAX_CODE_BYTES).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Half as long again as the longest of Slack's codes.
const MAX_CODE_BYTES: usize = 64;

const DEAD_TOKEN: &[&str] =
    &["invalid_auth", "not_authed", "token_expired", "token_revoked", "account_inactive"];
pub(crate) const PASSING: &[&str] =
    &["internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"];

/// What a code of Slack's means for who called the tool.
pub(crate) fn refusal(code: &str) -> Fault {
    let fault = match code {
        "is_archived" => {
            Fault::gone("The channel is archived: nothing can be posted to it.").with_path("/channel")
        }
        "channel_not_found" => {
            Fault::not_found("The bot sees no such channel; a name needs a `#`.").with_path("/channel")
        }
        "user_not_found" | "users_not_found" => {
            Fault::not_found("There is no such account, or it was deactivated.").with_path("/user")
        }
        "thread_not_found" => {
            Fault::not_found("There is no such message in the channel.").with_path("/thread_ts")
        }
        "not_in_channel" => {
            Fault::permission_denied("The bot is not in the channel: a member must invite it.")
                .with_path("/channel")
        }
        "missing_scope" => Fault::permission_denied(
            "The token lacks a scope: add it to the Slack app, and install the app again.",
        ),
        "not_allowed_token_type" => Fault::permission_denied("Slack wants another kind of token here."),
        "no_permission"
        | "access_denied"
        | "ekm_access_denied"
        | "accesslimited"
        | "team_access_not_granted" => {
            Fault::permission_denied("Slack denies this app access: ask an administrator of the workspace.")
        }
        code if code.starts_with("restricted_action") => {
            Fault::permission_denied("The workspace's settings do not let this app post there.")
                .with_path("/channel")
        }
        "no_text" => Fault::invalid_arguments("The text is empty.").with_path("/text"),
        "msg_too_long" => Fault::invalid_arguments("The text is too long.").with_path("/text"),
        "invalid_cursor" => {
            Fault::invalid_arguments("The cursor is not one of this list.").with_path("/cursor")
        }
        "invalid_thread_ts" => {
            Fault::invalid_arguments("That is no `ts` of a message.").with_path("/thread_ts")
        }
        "no_query" => Fault::invalid_arguments("The query is empty.").with_path("/query"),
        code => Fault::rejected(format!("Slack refused it: `{code}`.")),
    };
    fault.with_code(code)
}
