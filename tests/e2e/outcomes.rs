//! What an agent is told about a write of which nobody knows what became of it.

use std::collections::BTreeSet;
use std::time::Duration;

use ferrata_sandbox::slack::Slack;
use ferrata_sandbox::{Clock, Failure, Sandbox};
use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Fault, Outcome};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::deeds::Deed;
use crate::{done, fault};

/// 2026-11-20: walls do not move while a test runs.
const NOW: Duration = Duration::from_secs(1_795_132_800);

/// Given to calls whose answer never comes. Tests do not measure it.
const TIMEOUT_MS: u64 = 2_000;

/// Posts while the system fails like that.
async fn post(failure: Failure) -> Outcome {
    call(failure, "chat.postMessage", "chat_post_message", json!({ "channel": "C0ACME001", "text": "hello" }))
        .await
}

async fn call(failure: Failure, method: &str, tool: &str, arguments: Value) -> Outcome {
    let slack = Sandbox::start(Slack::acme(Clock::frozen(NOW))).await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::slack(&setup, &slack).unwrap();
    let ferrata = Ferrata::start(setup.connector("chat", connector)).await.unwrap();
    slack.force_at(method, failure, 1);
    let meta = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(TIMEOUT_MS))]);
    ferrata.mcp().call_with(tool, arguments, meta).await.unwrap()
}

#[track_caller]
fn is_an_open_question(fault: &Fault) {
    assert_eq!(
        (&fault.data["retryable"], &fault.data["outcome"]),
        (&json!(false), &json!("unknown")),
        "{fault:?}"
    );
    assert!(fault.data.get("retry_at").is_none(), "{fault:?}");
}

#[tokio::test]
async fn a_write_that_is_not_answered_is_an_open_question() {
    for failure in [Failure::Hang, Failure::Reset, Failure::InternalError] {
        is_an_open_question(&fault(post(failure).await, "outcome_unknown"));
    }
}

#[tokio::test]
async fn an_open_question_can_be_asked_again_and_nothing_is_done_twice() {
    let slack = Sandbox::start(Slack::acme(Clock::frozen(NOW))).await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::slack(&setup, &slack).unwrap();
    let ferrata = Ferrata::start(setup.connector("chat", connector)).await.unwrap();
    slack.force_at("chat.postMessage", Failure::Hang, 1);
    let mut meta = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(TIMEOUT_MS))]);
    let post = async |meta: &Map<String, Value>| {
        let arguments = json!({ "channel": "C0ACME001", "text": "hello" });
        fault(
            ferrata.mcp().call_with("chat_post_message", arguments, meta.clone()).await.unwrap(),
            "outcome_unknown",
        )
    };
    let open = post(&meta).await;
    let sent = slack.requests().len();
    meta.insert("dev.ferrata/idempotencyKey".to_owned(), open.data["resume_key"].clone());
    // Slack knows no such keys: whoever asks again is told that it is still open, with the same key.
    for _ in 0..2 {
        let still = post(&meta).await;
        is_an_open_question(&still);
        assert_eq!(still.data["resume_key"], open.data["resume_key"], "{still:?}");
        assert!(still.sentence.contains("Nothing was sent"), "{}", still.sentence);
    }
    assert_eq!(slack.requests().len(), sent);
}

#[tokio::test]
async fn a_write_with_a_key_that_is_made_again_with_its_resume_key_is_done_once() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    let write = async |meta: Map<String, Value>| {
        ferrata.mcp().call_with(&Deed::Keyed.tool(), json!({}), meta).await.unwrap()
    };
    upstream.reply(Reply::Held);
    let hasty = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(TIMEOUT_MS))]);
    let open = fault(write(hasty).await, "outcome_unknown");
    is_an_open_question(&open);
    let resume_key = open.data["resume_key"].clone();
    upstream.reply(Reply::Answer(StatusCode::OK, Vec::new(), "done before".to_owned()));
    let again = Map::from_iter([("dev.ferrata/idempotencyKey".to_owned(), resume_key.clone())]);
    assert_eq!(done(write(again).await), json!({ "text": "done before" }));
    // As a system that honours such keys tells one deed from another.
    let keys = || upstream.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    let sent: Vec<String> = keys();
    let [first, second] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(!first.is_empty() && first == second, "{sent:?}");
    assert!(resume_key.as_str().unwrap().ends_with(first.as_str()), "{resume_key}: {first}");
    // Without the key it is another deed.
    done(write(Map::new()).await);
    let deeds: BTreeSet<String> = BTreeSet::from_iter::<Vec<String>>(keys());
    assert_eq!(deeds.len(), 2, "{deeds:?}");
}

#[tokio::test]
async fn a_write_whose_answer_nobody_understands_is_an_open_question() {
    let drift = Failure::Body(json!({ "ok": true }).to_string());
    is_an_open_question(&fault(post(drift).await, "schema_mismatch"));
}

#[tokio::test]
async fn a_write_that_was_refused_was_not_done() {
    let throttled = fault(post(Failure::RateLimited { retry_after: Some(3) }).await, "rate_limited");
    assert_eq!(
        (&throttled.data["retryable"], &throttled.data["outcome"]),
        (&json!(true), &json!("rejected"))
    );
    let refused = fault(post(Failure::Code("restricted_action".to_owned())).await, "permission_denied");
    assert_eq!(refused.data["outcome"], "rejected");
}

#[tokio::test]
async fn a_read_that_is_not_answered_can_be_tried_again() {
    let read = call(Failure::Hang, "conversations.list", "chat_list_channels", json!({})).await;
    assert_eq!(fault(read, "deadline_exceeded").data["retryable"], true);
}
