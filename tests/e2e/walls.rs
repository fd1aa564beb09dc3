//! The walls: what stands between an agent's haste and a system's patience.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Failure, Sandbox};
use ferrata_test_postgres::{Options, server_or_skip};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::http::Client;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::setup::Setup;
use ferrata_tests::{company, connectors, wait};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{done, fault, within};

/// Calls of a burst: more than any wall here lets through at once.
const BURST: usize = 25;
/// What Slack lets through per minute of `conversations.list`, as the connector knows.
const LISTS_PER_MINUTE: usize = 20;
/// Messages of a burst to one channel, of which Slack takes three at once and then one a second.
const MESSAGES: usize = 6;

/// Failures in a row that open the breaker, and the attempts of one call.
const OPENS_AFTER: u32 = 5;
const ATTEMPTS: u32 = 3;

async fn slack() -> Sandbox<Slack> {
    Sandbox::start(Slack::acme(Clock::real())).await.unwrap()
}

/// Slack as `chat`, with more members of its connector's and its upstream's configuration.
fn chat(setup: &Setup, slack: &Sandbox<Slack>, connector: Value, upstream: Value) -> Value {
    let mut chat = connectors::slack(setup, slack).unwrap();
    // Identical reads at the same time would be one.
    chat["coalesce"] = json!(false);
    chat.as_object_mut().unwrap().extend(connector.as_object().unwrap().clone());
    let api = chat["upstreams"]["api"].as_object_mut().unwrap();
    api.extend(upstream.as_object().unwrap().clone());
    chat
}

async fn with(slack: &Sandbox<Slack>, connector: Value, upstream: Value) -> Ferrata {
    let setup = Setup::new().unwrap();
    let chat = chat(&setup, slack, connector, upstream);
    Ferrata::start(setup.connector("chat", chat)).await.unwrap()
}

async fn list(mcp: &Mcp, connector: &str, time: Duration) -> Outcome {
    let tool = format!("{connector}_list_channels");
    mcp.call_with(&tool, json!({ "limit": 1 }), within(time)).await.unwrap()
}

/// Long enough for everything here, short enough that nobody waits a minute for a wall.
const PATIENT: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_secs(2);

/// Requests that reached a method of Slack's.
fn arrived(slack: &Sandbox<Slack>, method: &str) -> usize {
    slack.requests().iter().filter(|seen| seen.request.path.ends_with(method)).count()
}

/// Answers of the system that said "too fast", by Ferrata's own count.
async fn throttles(ferrata: &Ferrata) -> u64 {
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    let counted = metrics.lines().filter(|line| line.starts_with("ferrata_throttles_total{"));
    counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn seconds(retry_at: &Value) -> i64 {
    retry_at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

/// The account of `chat` in the status.
async fn account(ferrata: &Ferrata) -> Value {
    ferrata.control().get("/status").await.unwrap().json()["accounts"][0].take()
}

/// The same burst without Ferrata: how often the system said "too fast".
async fn naive(slack: &Sandbox<Slack>, burst: usize, method: &str, body: Value) -> usize {
    let client = Client::new(slack.url());
    let client = client.with("authorization", &format!("Bearer {}", seed::BOT_TOKEN)).unwrap();
    let path = format!("/{method}");
    let answers = join_all((0..burst).map(|_| client.post(&path, &body))).await;
    answers.iter().filter(|answer| answer.as_ref().unwrap().status == 429).count()
}

#[tokio::test]
async fn a_burst_earns_no_429_and_who_cannot_wait_is_told_until_when() {
    let slack = slack().await;
    let ferrata = with(&slack, json!({}), json!({})).await;
    let mcp = ferrata.mcp();
    let start = now();
    let outcomes = join_all((0..BURST).map(|_| list(&mcp, "chat", HASTY))).await;
    let (went, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|o| matches!(o, Outcome::Done(_)));
    assert_eq!(went.len(), LISTS_PER_MINUTE);
    for refused in refused {
        let fault = fault(refused, "rate_limited");
        let limit = json!({ "name": "20/min", "used": LISTS_PER_MINUTE, "limit": LISTS_PER_MINUTE });
        assert_eq!((&fault.data["limit"], &fault.data["outcome"]), (&limit, &json!("not_sent")));
        // A minute after the first was answered, in whole seconds, rounded up.
        let at = seconds(&fault.data["retry_at"]);
        assert!((start + 60..=now() + 62).contains(&at), "{at} after {start}");
    }
    assert_eq!((throttles(&ferrata).await, arrived(&slack, "conversations.list")), (0, LISTS_PER_MINUTE));
    slack.system().enforce_walls(true);
    assert_eq!(naive(&slack, BURST, "conversations.list", json!({})).await, BURST - LISTS_PER_MINUTE);
}

#[tokio::test]
async fn a_burst_to_one_channel_waits_its_turn_whatever_the_channel_is_called() {
    let slack = slack().await;
    let ferrata = with(&slack, json!({}), json!({})).await;
    let mcp = ferrata.mcp();
    // The first looks the name up; the others find it remembered.
    let post = async |channel: &str| {
        let message = json!({ "channel": channel, "text": "hello" });
        done(mcp.call_with("chat_post_message", message, within(PATIENT)).await.unwrap())
    };
    let id = post("#support").await["channel"].as_str().unwrap().to_owned();
    let channels = ["#support", &id].into_iter().cycle().take(MESSAGES - 1);
    join_all(channels.map(post)).await;
    assert_eq!((throttles(&ferrata).await, slack.system().posted().len()), (0, MESSAGES));
    // One window for the channel, and nothing charged to its names.
    let walls = account(&ferrata).await["walls"].clone();
    let charged = |wall: &&Value| wall["resource"].is_string() && wall["used"] != 0;
    let resources = walls.as_array().unwrap().iter().filter(charged);
    assert_eq!(resources.count(), 1, "{walls}");

    slack.system().enforce_walls(true);
    let message = json!({ "channel": id, "text": "hello" });
    assert!(naive(&slack, MESSAGES, "chat.postMessage", message).await >= MESSAGES - 4);
}

#[tokio::test]
async fn a_throttle_in_disguise_that_names_no_time_is_waited_out() {
    let slack = slack().await;
    let ferrata = with(&slack, json!({}), json!({})).await;
    slack.system().throttle_under_200(true);
    slack.force(Failure::RateLimited { retry_after: None }, 1);
    done(list(&ferrata.mcp(), "chat", PATIENT).await);
    assert_eq!((throttles(&ferrata).await, arrived(&slack, "conversations.list")), (1, 2));
}

#[tokio::test]
async fn a_system_that_is_down_is_left_alone_and_no_other_suffers() {
    let (sick, well) = (slack().await, slack().await);
    let setup = Setup::new().unwrap();
    let connectors = ["sick", "well"].into_iter().zip([&sick, &well]);
    let connectors: Vec<_> =
        connectors.map(|(name, slack)| (name, chat(&setup, slack, json!({}), json!({})))).collect();
    let setup = connectors.into_iter().fold(setup, |setup, (name, chat)| setup.connector(name, chat));
    let ferrata = Ferrata::start(setup).await.unwrap();
    let mcp = ferrata.mcp();

    sick.force(Failure::Unavailable, OPENS_AFTER);
    for _ in 0..OPENS_AFTER.div_ceil(ATTEMPTS) {
        fault(list(&mcp, "sick", PATIENT).await, "unavailable");
    }
    let refused = fault(list(&mcp, "sick", PATIENT).await, "unavailable");
    assert!(refused.sentence.contains("5 failures in a row"), "{}", refused.sentence);
    assert!(refused.data["retry_at"].is_string(), "{refused:?}");
    assert_eq!(arrived(&sick, "conversations.list"), OPENS_AFTER as usize);
    done(list(&mcp, "well", PATIENT).await);

    let status = ferrata.control().get("/status").await.unwrap().json();
    let breakers: Vec<_> = status["accounts"].as_array().unwrap().iter().map(|a| &a["breakers"][0]).collect();
    assert_eq!(
        (&breakers[0]["reason"], &breakers[1]["state"]),
        (&json!("5 failures in a row"), &json!("closed"))
    );
    let back = async || matches!(list(&mcp, "sick", PATIENT).await, Outcome::Done(_)).then_some(());
    wait::until("the system to be asked again", back).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_down_is_left_alone_and_comes_back() {
    let Some(server) = server_or_skip(&Options::default()) else { return };
    company::create_sized(&server, 10, 10).unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::postgres(&setup, &server).unwrap();
    connector["limits"] = json!({ "db": [{ "wall": "1000/min", "operation": "query" }, "8 concurrent"] });
    let ferrata = Ferrata::start(setup.connector("db", connector)).await.unwrap();
    let query = async || {
        let sql = json!({ "sql": "select 1 as one" });
        ferrata.mcp().call_with("db_query", sql, within(PATIENT)).await.unwrap()
    };
    done(query().await);
    server.crash().unwrap();
    let opened = async || {
        let down = fault(query().await, "unavailable");
        down.sentence.contains("is not asked for now").then_some(down)
    };
    let refused = wait::until("the breaker to open", opened).await.unwrap();
    assert!(refused.data["retry_at"].is_string(), "{refused:?}");
    server.restart().unwrap();
    let back = async || matches!(query().await, Outcome::Done(_)).then_some(());
    wait::until("the database to be asked again", back).await.unwrap();
    let walls = account(&ferrata).await["walls"].clone();
    assert!(walls.as_array().unwrap().iter().any(|wall| wall["wall"] == "1000/min"), "{walls}");
}

#[tokio::test]
async fn an_observed_wall_lets_everybody_through_and_says_whom_it_would_have_stopped() {
    let slack = slack().await;
    let limits = json!({ "limits": { "api": { "walls": ["1/min"], "mode": "observe" } } });
    let ferrata = with(&slack, limits, json!({})).await;
    for _ in 0..3 {
        done(list(&ferrata.mcp(), "chat", HASTY).await);
    }
    let walls = account(&ferrata).await["walls"].clone();
    let wall = walls.as_array().unwrap().iter().find(|wall| wall["wall"] == "1/min").unwrap();
    assert_eq!((&wall["used"], &wall["would_have_refused"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn two_connectors_of_one_account_spend_from_one_quota() {
    let slack = slack().await;
    let setup = Setup::new().unwrap();
    let limits = json!({ "limits": { "api": ["3/min"] } });
    let connectors = ["chat", "bot"].map(|name| {
        let account = json!({ "account": "acme" });
        (name, chat(&setup, &slack, limits.clone(), account))
    });
    let setup = connectors.into_iter().fold(setup, |setup, (name, chat)| setup.connector(name, chat));
    let ferrata = Ferrata::start(setup).await.unwrap();
    let mcp = ferrata.mcp();
    for connector in ["chat", "bot", "chat"] {
        done(list(&mcp, connector, HASTY).await);
    }
    for connector in ["chat", "bot"] {
        let fault = fault(list(&mcp, connector, HASTY).await, "rate_limited");
        assert_eq!(fault.data["limit"], json!({ "name": "3/min", "used": 3, "limit": 3 }));
    }
    let account = account(&ferrata).await;
    assert_eq!((&account["account"], &account["connectors"]), (&json!("acme"), &json!(["bot", "chat"])));
}

#[tokio::test]
async fn neither_a_swap_nor_tighter_walls_give_quota_back() {
    let slack = slack().await;
    let setup = Setup::new().unwrap();
    let mut chat = chat(&setup, &slack, json!({ "limits": { "api": ["1/2s"] } }), json!({}));
    let component = std::fs::read(chat["component"].as_str().unwrap()).unwrap();
    setup.file("slack.wasm", &component).unwrap();
    chat["component"] = json!("./slack.wasm");
    let setup = setup.connector("chat", chat.clone());
    let ferrata = Ferrata::start(setup).await.unwrap();
    let mcp = ferrata.mcp();
    let generation = async || {
        ferrata.control().get("/status").await.unwrap().json()["connectors"]["chat"]["generation"].as_u64()
    };
    let before = generation().await;

    done(list(&mcp, "chat", PATIENT).await);
    let waiting = tokio::spawn({
        let mcp = mcp.clone();
        async move { list(&mcp, "chat", PATIENT).await }
    });
    let waits = async || (account(&ferrata).await["waiting"]["calls"] == 1).then_some(());
    wait::until("a call to wait for the wall", waits).await.unwrap();
    let aside = ferrata.setup().file("aside", &component).unwrap();
    std::fs::rename(aside, ferrata.setup().folder().join("slack.wasm")).unwrap();
    wait::until("the other generation", async || (generation().await > before).then_some(())).await.unwrap();
    done(waiting.await.unwrap());
    let refused = fault(list(&mcp, "chat", Duration::from_millis(200)).await, "rate_limited");
    assert_eq!(refused.data["limit"]["name"], "1/2s");

    let mut config: Value =
        serde_json::from_slice(&std::fs::read(ferrata.setup().folder().join("ferrata.yaml")).unwrap())
            .unwrap();
    config["connectors"]["chat"]["limits"]["api"] = json!(["1/2s", "2/h"]);
    let aside = ferrata.setup().file("aside", config.to_string()).unwrap();
    std::fs::rename(aside, ferrata.setup().folder().join("ferrata.yaml")).unwrap();
    let tighter = async || account(&ferrata).await["walls"].to_string().contains("2/h").then_some(());
    wait::until("the tighter wall", tighter).await.unwrap();
    // A wall that is new begins empty; what was counted before under the other stays with that.
    done(list(&mcp, "chat", PATIENT).await);
    done(list(&mcp, "chat", PATIENT).await);
    fault(list(&mcp, "chat", PATIENT).await, "quota_exhausted");
}

#[tokio::test]
async fn priority_deadline_and_workflow_come_with_the_call_within_the_operators_caps() {
    let slack = slack().await;
    let ferrata = with(&slack, json!({ "limits": { "api": ["5/min"] } }), json!({})).await;
    let call = async |priority: &str| {
        let mut meta = within(HASTY);
        meta.insert("dev.ferrata/priority".to_owned(), json!(priority));
        meta.insert("dev.ferrata/workflow".to_owned(), json!("close-the-quarter"));
        ferrata.mcp().call_with("chat_list_channels", json!({ "limit": 1 }), meta).await.unwrap()
    };
    for _ in 0..4 {
        done(call("background").await);
    }
    // A fifth of the wall is kept for those for whom somebody waits.
    let kept = fault(call("background").await, "rate_limited");
    assert!(kept.sentence.contains("interactive"), "{}", kept.sentence);
    done(call("interactive").await);
    let walls = account(&ferrata).await["walls"].clone();
    let wall = walls.as_array().unwrap().iter().find(|wall| wall["wall"] == "5/min").unwrap();
    assert_eq!(wall["spent_since_start"]["workflows"]["close-the-quarter"], 5);
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    assert!(
        metrics.contains("ferrata_wall_used{") && metrics.contains("ferrata_refusals_total{"),
        "{metrics}"
    );
}
