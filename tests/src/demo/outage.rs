//! A system that is down for a while: left alone, told with its next probe, found again; and what is said of it meanwhile.

use ferrata_sandbox::Failure;
use ferrata_sandbox::slack::seed;
use ferrata_tests::Result;
use serde_json::{Value, json};

use crate::page::Page;
use crate::scene::{expect, fails, substituted, succeeds, until};
use crate::stage::Stage;

const LOOK_UP: &str = "chat_get_user";
const LIST: &str = "chat_list_channels";

/// The operations that the two tools begin with.
const USERS: &str = "users.info";
const CHANNELS: &str = "conversations.list";

/// Failures in a row that open a breaker, and the attempts of one call.
const OPENS_AFTER: u32 = 5;
const ATTEMPTS: u32 = 3;

/// A breaker opens, is told with its next probe, and closes again.
///
/// # Errors
/// When a call has no outcome at all.
pub async fn play(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("Slack goes down. Each call tries three times, in vain …");
    stage.slack.force_at(USERS, Failure::Unavailable, OPENS_AFTER);
    for _ in 0..OPENS_AFTER.div_ceil(ATTEMPTS) {
        fails(stage, page, LOOK_UP, someone(), "unavailable").await?;
    }
    page.scene(
        "… and after five failures nobody knocks any more: a call is told so at once, and until when.",
    );
    let refused = fails(stage, page, LOOK_UP, someone(), "unavailable").await?;
    let arrived = stage.slack.requests().iter().filter(|seen| seen.request.path.ends_with(USERS)).count();
    expect(page, "the requests that Slack got", &json!(arrived), &json!(OPENS_AFTER));
    let breaker = breaker(stage).await?;
    expect(page, "the breaker", &breaker["state"], &json!("open"));
    page.remark(&format!(
        "In /status: the breaker of {USERS} is {}, because of {}; next probe at {}.",
        text(&breaker["state"]),
        text(&breaker["reason"]),
        text(&breaker["next_probe_at"]),
    ));
    let Some(at) = refused.as_ref().and_then(|fault| fault.data["retry_at"].as_str()) else {
        page.mismatch("retry_at to say when", "nothing");
        return Ok(());
    };
    page.scene("Slack is back. One call finds out, a second one closes the breaker.");
    until(at).await?;
    succeeds(stage, page, LOOK_UP, someone()).await?;
    succeeds(stage, page, LOOK_UP, someone()).await?;
    let state = self::breaker(stage).await?["state"].take();
    expect(page, "the breaker", &state, &json!("closed"));
    page.remark("In /status: the breaker is closed.");
    Ok(())
}

/// A read that cannot be had is answered with what was read before, and says so.
///
/// # Errors
/// As [`play`].
pub async fn stale(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene(
        "Slack is down once more. The list of channels was read before, and the operator allows 15 minutes.",
    );
    let list = json!({ "limit": 3 });
    succeeds(stage, page, LIST, list.clone()).await?;
    stage.slack.force_at(CHANNELS, Failure::Unavailable, ATTEMPTS);
    let (sentence, data) = substituted(stage, page, LIST, list.clone()).await?;
    expect(page, "the source", &data["source"], &json!("stale"));
    expect(page, "the reason", &data["reason"], &json!("unavailable"));
    let says_so = sentence.starts_with("Not current") && data["age_ms"].is_u64();
    expect(
        page,
        "the answer to say first that it is not current, and its age",
        &json!(says_so),
        &json!(true),
    );
    page.remark(&format!(
        "As data: age_ms {}, as_of {}, reason {}.",
        data["age_ms"],
        text(&data["as_of"]),
        data["reason"]
    ));
    page.remark("And when Slack is back, so is the present.");
    succeeds(stage, page, LIST, list).await.map(drop)
}

fn someone() -> Value {
    json!({ "user": seed::BOT_USER })
}

/// What the status says of the breaker.
async fn breaker(stage: &Stage) -> Result<Value> {
    let status = stage.ferrata.control().get("/status").await?.json();
    let accounts = status["accounts"].as_array().into_iter().flatten();
    let mut breakers = accounts.flat_map(|account| account["breakers"].as_array().into_iter().flatten());
    Ok(breakers.find(|breaker| breaker["operation"] == USERS).cloned().unwrap_or_default())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
