//! The Slack connector: what Slack's manners become for an agent.

use std::time::Duration;

use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Failure, Sandbox};
use ferrata_tests::connectors::{self, SLACK_BOT_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use serde_json::{Map, json};

use crate::{done, fault};

/// 2026-11-20: walls do not move while a test runs.
const NOW: Duration = Duration::from_secs(1_795_132_800);

async fn chat() -> (Sandbox<Slack>, Ferrata) {
    let slack = Sandbox::start(Slack::acme(Clock::frozen(NOW))).await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::slack(&setup, &slack).unwrap();
    let ferrata = Ferrata::start(setup.connector("chat", connector)).await.unwrap();
    (slack, ferrata)
}

#[tokio::test]
async fn a_message_arrives_and_its_id_stays_a_string() {
    let (slack, ferrata) = chat().await;
    let message = json!({ "channel": "#support", "text": "hello" });
    let posted = done(ferrata.mcp().call("chat_post_message", message).await.unwrap());
    assert!(posted["ts"].is_string(), "{posted}");
    assert_eq!(slack.system().posted().len(), 1);
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named_by_their_path_and_sent_nowhere() {
    let (slack, ferrata) = chat().await;
    let message = json!({ "channel": 5, "text": "hello" });
    let unfit = fault(ferrata.mcp().call("chat_post_message", message).await.unwrap(), "invalid_arguments");
    assert_eq!(
        (&unfit.data["path"], &unfit.data["outcome"]),
        (&json!("/channel"), &json!("not_sent")),
        "{unfit:?}"
    );
    assert_eq!(slack.system().posted().len(), 0);
}

#[tokio::test]
async fn an_archived_channel_is_gone_and_not_an_error_of_the_agent() {
    let (_slack, ferrata) = chat().await;
    let message = json!({ "channel": "#office-graz", "text": "hello" });
    let gone = fault(ferrata.mcp().call("chat_post_message", message).await.unwrap(), "gone");
    assert_eq!(gone.data["code"], "is_archived");
}

#[tokio::test]
async fn every_spelling_of_too_fast_says_when_to_come_back() {
    for under_200 in [false, true] {
        let (slack, ferrata) = chat().await;
        slack.system().throttle_under_200(under_200);
        slack.force(Failure::RateLimited { retry_after: Some(7) }, 1);
        // Shorter than any wait: it is not waited for.
        let hurry = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(800))]);
        let listed = ferrata.mcp().call_with("chat_list_channels", json!({}), hurry).await.unwrap();
        let limited = fault(listed, "rate_limited");
        assert!(limited.data["retry_at"].is_string(), "{limited:?}");
        assert_eq!(limited.data["retryable"], true);
        assert_eq!(slack.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_page_says_that_it_is_not_everything_and_how_to_go_on() {
    let (_slack, ferrata) = chat().await;
    let mut names = Vec::new();
    let mut cursor = json!(null);
    loop {
        let mut arguments = json!({ "limit": 10 });
        if !cursor.is_null() {
            arguments["cursor"] = cursor.clone();
        }
        let page = done(ferrata.mcp().call("chat_list_channels", arguments).await.unwrap());
        names.extend(page["items"].as_array().unwrap().iter().map(|channel| channel["name"].to_string()));
        if page["complete"] == true {
            break;
        }
        cursor = page["next"].clone();
        assert!(cursor.is_string(), "not complete, and no way to go on: {page}");
    }
    let pages = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), pages, "a channel came twice");
    assert!(names.iter().any(|name| name.contains("support")), "{names:?}");
}

#[tokio::test]
async fn search_uses_the_users_token_and_nothing_else_does() {
    let (_slack, ferrata) = chat().await;
    let found = ferrata.mcp().call("chat_search_messages", json!({ "query": "Globex" })).await.unwrap();
    assert!(!done(found)["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_revoked_token_is_loud_and_its_successor_needs_no_restart() {
    let (slack, ferrata) = chat().await;
    let list = async || ferrata.mcp().call("chat_list_channels", json!({})).await.unwrap();
    slack.system().revoke(seed::BOT_TOKEN);
    let dead = fault(list().await, "credential_dead");
    assert!(dead.sentence.contains("not empty"), "{}", dead.sentence);
    ferrata.setup().file(SLACK_BOT_TOKEN, seed::ROTATING_TOKEN).unwrap();
    done(list().await);
}

#[tokio::test]
async fn a_token_that_is_replaced_in_time_is_never_missed() {
    let (slack, ferrata) = chat().await;
    let list = async || ferrata.mcp().call("chat_list_channels", json!({})).await.unwrap();
    done(list().await);
    ferrata.setup().file(SLACK_BOT_TOKEN, seed::ROTATING_TOKEN).unwrap();
    slack.system().revoke(seed::BOT_TOKEN);
    done(list().await);
}

#[tokio::test]
async fn what_is_no_answer_of_slack_is_not_an_empty_answer() {
    for (failure, kind) in [
        (Failure::Unavailable, "unavailable"),
        (Failure::InternalError, "unavailable"),
        (Failure::Html, "schema_mismatch"),
        (Failure::Body(r#"{"ok":true,"channels":"many"}"#.to_owned()), "schema_mismatch"),
    ] {
        let (slack, ferrata) = chat().await;
        let list = async || ferrata.mcp().call("chat_list_channels", json!({})).await.unwrap();
        // As often as a read is tried.
        slack.force(failure, if kind == "unavailable" { 3 } else { 1 });
        fault(list().await, kind);
        slack.force(Failure::Unavailable, 1);
        done(list().await);
    }
}
