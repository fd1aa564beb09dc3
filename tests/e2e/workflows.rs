//! Tasks of several steps: what each has spent is shown, and what one has reserved is there for it.

use std::time::Duration;

use ferrata_sandbox::slack::Slack;
use ferrata_sandbox::{Clock, Sandbox};
use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::setup::Setup;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::{done, fault};

const LIST: &str = "chat_list_channels";
const RESERVE: &str = "ferrata_reserve";

/// What Slack lets through per minute of `conversations.list`, and the part that can be reserved.
const LISTS_PER_MINUTE: usize = 20;
const RESERVABLE: usize = LISTS_PER_MINUTE / 2;

/// Too short to wait for a minute's wall.
const HASTY: Duration = Duration::from_secs(2);

async fn start(members: Value) -> (Sandbox<Slack>, Ferrata) {
    let slack = Sandbox::start(Slack::acme(Clock::real())).await.unwrap();
    let setup = Setup::new().unwrap();
    let mut chat = connectors::slack(&setup, &slack).unwrap();
    chat.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let ferrata = Ferrata::start(setup.connector("chat", chat)).await.unwrap();
    (slack, ferrata)
}

async fn call(mcp: &Mcp, tool: &str, arguments: Value, workflow: Option<&str>) -> Outcome {
    let mut meta = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(HASTY.as_millis()))]);
    meta.extend(workflow.map(|workflow| ("dev.ferrata/workflow".to_owned(), json!(workflow))));
    mcp.call_with(tool, arguments, meta).await.unwrap()
}

async fn list(mcp: &Mcp, workflow: Option<&str>) -> Outcome {
    call(mcp, LIST, json!({ "limit": 1 }), workflow).await
}

async fn reserve(mcp: &Mcp, calls: usize, workflow: &str) -> Outcome {
    let arguments = json!({ "calls": [{ "tool": LIST, "count": calls }], "seconds": 60 });
    call(mcp, RESERVE, arguments, Some(workflow)).await
}

/// The wall on lists, and the account that it belongs to.
async fn wall(ferrata: &Ferrata) -> (Value, Value) {
    let account = ferrata.control().get("/status").await.unwrap().json()["accounts"][0].take();
    let walls = account["walls"].as_array().unwrap();
    let wall = walls.iter().find(|wall| wall["operation"] == "conversations.list").unwrap().clone();
    (wall, account)
}

#[tokio::test]
async fn steps_that_were_reserved_go_when_others_have_used_up_the_rest() {
    // Identical reads at the same time may be one: what is reserved goes for itself.
    let (slack, ferrata) = start(json!({})).await;
    let mcp = ferrata.mcp();
    let reserved = done(reserve(&mcp, 3, "onboarding").await);
    assert_eq!((&reserved["reserved"], &reserved["workflow"]), (&json!(3), &json!("onboarding")));
    let until = reserved["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();

    for _ in 0..LISTS_PER_MINUTE - 3 {
        done(list(&mcp, None).await);
    }
    let refused = fault(list(&mcp, None).await, "rate_limited");
    assert_eq!(refused.data["limit"]["name"], "20/min");
    fault(list(&mcp, Some("another")).await, "rate_limited");
    let (full, account) = wall(&ferrata).await;
    assert_eq!((&full["used"], &full["reserved"]), (&json!(LISTS_PER_MINUTE), &json!(3)), "{full}");
    let shown = &account["reservations"][0];
    assert_eq!((&shown["workflow"], &shown["left"][0]["calls"]), (&json!("onboarding"), &json!(3)));
    let shown_until = shown["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    // The answer was made a moment before; both are told to the millisecond.
    assert!(until.as_millisecond() <= shown_until.as_millisecond() + 1, "{until} {shown_until}");

    for _ in 0..3 {
        done(list(&mcp, Some("onboarding")).await);
    }
    fault(list(&mcp, Some("onboarding")).await, "rate_limited");
    let (used, account) = wall(&ferrata).await;
    assert_eq!((&used["reserved"], &account["reservations"]), (&json!(0), &json!([])));
    assert_eq!(used["spent_since_start"]["workflows"], json!({ "onboarding": 3 }));
    assert_eq!(used["spent_since_start"]["agents"], json!({ "default": LISTS_PER_MINUTE }));
    assert_eq!(slack.requests().len(), LISTS_PER_MINUTE);
}

#[tokio::test]
async fn what_cannot_be_reserved_says_which_wall_is_in_the_way_and_until_when() {
    let (_slack, ferrata) = start(json!({})).await;
    let mcp = ferrata.mcp();
    let never = fault(reserve(&mcp, RESERVABLE + 1, "w").await, "invalid_arguments");
    assert!(never.sentence.contains("at most 10"), "{}", never.sentence);
    done(reserve(&mcp, RESERVABLE, "w").await);
    let later = fault(reserve(&mcp, 1, "v").await, "rate_limited");
    assert_eq!(later.data["limit"]["name"], "20/min");
    assert!(later.data["retry_at"].is_string(), "{later:?}");
    // All or none: what one tool has room for is not kept when another has not.
    let calls = json!([{ "tool": "chat_get_user", "count": 5 }, { "tool": LIST, "count": 1 }]);
    fault(call(&mcp, RESERVE, json!({ "calls": calls }), Some("v")).await, "rate_limited");
    let (_, account) = wall(&ferrata).await;
    assert_eq!(account["reservations"].as_array().unwrap().len(), 1);

    let nothing = json!({ "calls": [] });
    let given_back = done(call(&mcp, RESERVE, nothing, Some("w")).await);
    assert_eq!((&given_back["given_back"], &given_back["until"]), (&json!(RESERVABLE), &Value::Null));
    done(reserve(&mcp, 1, "v").await);

    for (tool, workflow) in [("chat_nothing", Some("w")), (RESERVE, Some("w")), (LIST, None)] {
        let arguments = json!({ "calls": [{ "tool": tool, "count": 1 }] });
        fault(call(&mcp, RESERVE, arguments, workflow).await, "invalid_arguments");
    }
}

#[tokio::test]
async fn what_is_asked_for_again_is_not_reserved_once_more() {
    let (_slack, ferrata) = start(json!({})).await;
    let mcp = ferrata.mcp();
    let first = done(reserve(&mcp, 4, "w").await);
    assert_eq!((&first["left"], &first["repeated"]), (&json!(4), &json!(false)));
    // Its answer was lost, and it is sent again, many times at once.
    let again = join_all((0..5).map(|_| reserve(&mcp, 4, "w"))).await;
    for again in again.into_iter().map(done) {
        assert_eq!((&again["repeated"], &again["until"]), (&json!(true), &first["until"]));
        assert_eq!((&again["reserved"], &again["left"]), (&json!(4), &json!(4)));
    }
    let (wall_now, account) = wall(&ferrata).await;
    assert_eq!(
        (&wall_now["reserved"], &account["reservations"][0]["left"][0]["calls"]),
        (&json!(4), &json!(4))
    );
    done(list(&mcp, Some("w")).await);
    assert_eq!(done(reserve(&mcp, 4, "w").await)["left"], 3);

    // Another list, another workflow and another key are other reservations; the same key for something else is none.
    assert_eq!(done(reserve(&mcp, 2, "w").await)["repeated"], false);
    assert_eq!(done(reserve(&mcp, 1, "v").await)["repeated"], false);
    let keyed = async |count: usize| {
        let arguments = json!({ "calls": [{ "tool": LIST, "count": count }], "seconds": 60 });
        let meta = json!({ "dev.ferrata/workflow": "w", "dev.ferrata/idempotencyKey": "k-1" });
        mcp.call_with(RESERVE, arguments, meta.as_object().unwrap().clone()).await.unwrap()
    };
    assert_eq!(done(keyed(2).await)["repeated"], false);
    assert_eq!(done(keyed(2).await)["repeated"], true);
    fault(keyed(1).await, "conflict");
    assert_eq!(wall(&ferrata).await.0["reserved"], 3 + 2 + 1 + 2);

    // What was given back is reserved anew.
    done(call(&mcp, RESERVE, json!({ "calls": [] }), Some("w")).await);
    assert_eq!(done(reserve(&mcp, 4, "w").await)["repeated"], false);
    assert_eq!(wall(&ferrata).await.0["reserved"], 4 + 1);
}

#[tokio::test]
async fn a_wall_that_is_being_hit_says_when_and_who_spends() {
    let (_slack, ferrata) = start(json!({ "coalesce": false })).await;
    let mcp = ferrata.mcp();
    let workflows = ["quarter", "month"].into_iter().cycle().take(LISTS_PER_MINUTE / 2);
    join_all(workflows.map(|workflow| list(&mcp, Some(workflow))))
        .await
        .into_iter()
        .for_each(|o| drop(done(o)));
    let (wall, _) = wall(&ferrata).await;
    // Ten within the first seconds: at that rate the other ten are gone before a minute is over.
    let at = wall["exhausted_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let free = wall["free_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at < free, "{wall}");
    assert_eq!(wall["spent_since_start"]["workflows"], json!({ "quarter": 5, "month": 5 }));
}

#[tokio::test]
async fn it_is_offered_to_those_whose_rules_name_it() {
    let slack = Sandbox::start(Slack::acme(Clock::real())).await.unwrap();
    let setup = Setup::new().unwrap();
    let chat = connectors::slack(&setup, &slack).unwrap();
    let rules = [("one", json!([LIST])), ("two", json!([LIST, RESERVE]))];
    let setup = rules.iter().fold(setup.connector("chat", chat), |setup, (agent, allow)| {
        setup.file(&format!("agents/{agent}"), format!("token-of-agent-{agent}")).unwrap();
        setup.with(&["access", agent], json!({ "allow": allow }))
    });
    let ferrata =
        Ferrata::start(setup.with(&["agent", "auth"], json!({ "tokens": "agents" }))).await.unwrap();
    let agent = |name: &str| {
        Mcp::new(ferrata.agent().with("authorization", &format!("Bearer token-of-agent-{name}")).unwrap())
    };
    let names = async |mcp: &Mcp| {
        let tools = mcp.tools().await.unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&agent("one")).await, [LIST]);
    assert_eq!(names(&agent("two")).await, [LIST, RESERVE]);
    let reserve = |tool| json!({ "calls": [{ "tool": tool, "count": 1 }] });
    let unknown = agent("one").call(RESERVE, reserve(LIST)).await;
    assert!(unknown.is_err(), "a tool that it cannot see is unknown: {unknown:?}");
    // Nobody reserves what it may not call.
    fault(call(&agent("two"), RESERVE, reserve("chat_post_message"), Some("w")).await, "invalid_arguments");
    done(call(&agent("two"), RESERVE, reserve(LIST), Some("w")).await);
}
