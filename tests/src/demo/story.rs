//! The story: a support agent's morning at Acme.
//!
//! Each scene is a call that some agent makes every day, and what breaks in it when nobody looks after the connections.

use std::time::Duration;

use ferrata_sandbox::slack::seed;
use ferrata_test_postgres::Server;
use ferrata_tests::mcp::{Fault, Outcome};
use ferrata_tests::{Result, connectors};
use serde_json::{Map, Value, json};

use crate::page::Page;
use crate::scene::{call_with, expect, fails, succeeds, until};
use crate::stage::Stage;
use crate::{consent, outage};

const QUERY: &str = "db_query";
const SEARCH: &str = "chat_search_messages";
const RESERVE: &str = "ferrata_reserve";
const POST: &str = "chat_post_message";
/// A channel of an office that was closed.
const ARCHIVED: &str = "#office-graz";

/// Messages that are posted one after the other.
const MESSAGES: usize = 4;

/// What Slack lets through per minute of `search.messages`, and the steps of a workflow.
const SEARCHES_PER_MINUTE: usize = 20;
const STEPS: usize = 3;

/// The deadline of a call that cannot wait for the next second.
const HURRY: Duration = Duration::from_millis(300);

/// Plays every scene that the stage has the props for.
///
/// # Errors
/// When a call has no outcome at all, or a prop fails.
pub async fn play(stage: &Stage, page: &mut Page) -> Result<()> {
    tools(stage, page).await?;
    if let Some(server) = &stage.database {
        orders(stage, page).await?;
        too_expensive(stage, page).await?;
        capped(stage, page).await?;
        database_away(stage, page, server).await?;
    }
    chat(stage, page).await?;
    archived(stage, page).await?;
    wall(stage, page).await?;
    reserved(stage, page).await?;
    outage::play(stage, page).await?;
    outage::stale(stage, page).await?;
    rotation(stage, page).await?;
    consent::lives(stage, page).await?;
    consent::dies(stage, page).await
}

async fn tools(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("An agent connects. What can it do here?");
    page.call("tools/list", &json!({}));
    let tools = stage.ferrata.mcp().tools().await?;
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    page.text(&names.join(", "));
    for name in [Some(POST), stage.database.as_ref().map(|_| QUERY)].into_iter().flatten() {
        if !names.contains(&name) {
            page.mismatch(&format!("a tool named {name}"), "none");
        }
    }
    Ok(())
}

async fn orders(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("Globex asks where its orders are. The agent looks for the customer …");
    let find = query("select id, name, region from customers where name = $1", json!(["Globex"]));
    let found = succeeds(stage, page, QUERY, find).await?;
    expect(page, "the rows to be all there are, `complete`,", &found["complete"], &json!(true));
    let id = first_cell(&found);
    page.scene("… and for its latest orders, among 400 000.");
    let statement = "select id, status, total, placed_at from orders where customer_id = $1 order by placed_at desc limit 5";
    let found = succeeds(stage, page, QUERY, query(statement, json!([id]))).await?;
    expect(page, "the number of orders", &json!(found["rows"].as_array().map(Vec::len)), &json!(5));
    Ok(())
}

async fn too_expensive(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("It asks for something that has no index: fast on demo data, not on this.");
    let statement = "select customer_id, count(*) from orders where note like '%packed by Anna%' group by 1 order by 2 desc";
    fails(stage, page, QUERY, query(statement, json!([])), "rejected").await?;
    page.remark("The planner was asked first. The query never ran.");
    Ok(())
}

async fn capped(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("It asks for everything. A capped answer must not look like all there is.");
    let mut all = query("select id, name, region from customers order by id", json!([]));
    all["limit"] = json!(10_000);
    let found = succeeds(stage, page, QUERY, all).await?;
    expect(page, "`complete`", &found["complete"], &json!(false));
    let go_on = found["how_to_go_on"].as_str().unwrap_or_default();
    page.remark(&format!("complete: {}, stopped by: {}. {go_on}", found["complete"], found["stopped_by"]));
    Ok(())
}

async fn database_away(stage: &Stage, page: &mut Page, server: &Server) -> Result<()> {
    page.scene("The database crashes.");
    let count = query("select count(*) as customers from customers", json!([]));
    server.crash()?;
    fails(stage, page, QUERY, count.clone(), "unavailable").await?;
    page.remark("It comes back. Nothing else is restarted.");
    server.restart()?;
    succeeds(stage, page, QUERY, count).await.map(drop)
}

async fn chat(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("It tells the support channel.");
    succeeds(stage, page, POST, post("#support", "Globex: the latest order is on its way.")).await?;
    let arrived = stage.slack.system().posted().len();
    expect(page, "the messages that arrived in Slack", &json!(arrived), &json!(1));
    Ok(())
}

async fn archived(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("It writes to the channel of an office that was closed. Slack answers 200 to this.");
    fails(stage, page, POST, post(ARCHIVED, "Anybody here?"), "gone").await.map(drop)
}

async fn wall(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene(
        "It posts the orders one by one. A channel takes one message per second: who can wait, waits.",
    );
    for number in 1..=MESSAGES {
        succeeds(stage, page, POST, post("#orders", &format!("Order {number} of many"))).await?;
    }
    page.remark("The last one has no time to wait. It is not sent, and told until when at once.");
    let hurry = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(HURRY.as_millis()))]);
    let (outcome, _) = call_with(stage, page, POST, post("#orders", "One more, now"), hurry).await?;
    match outcome {
        Outcome::Fault(fault) if fault.kind() == "rate_limited" => {
            page.text(&fault.sentence);
            again(stage, page, &fault).await
        }
        other => {
            page.mismatch("rate_limited", other.kind());
            Ok(())
        }
    }
}

/// Comes back when the fault says.
async fn again(stage: &Stage, page: &mut Page, fault: &Fault) -> Result<()> {
    let Some(at) = fault.data["retry_at"].as_str() else {
        page.mismatch("retry_at to say when", "nothing");
        return Ok(());
    };
    page.remark(&format!("It was told when to come back, {at}, and does."));
    until(at).await?;
    succeeds(stage, page, POST, post("#orders", "The other orders are in the list.")).await.map(drop)
}

/// A workflow that cannot stop halfway, beside somebody who uses up what there is.
async fn reserved(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene(
        "A workflow must not stop between its steps. It reserves them; then somebody else uses up the limit.",
    );
    let meta = || Map::from_iter([("dev.ferrata/workflow".to_owned(), json!("close-the-quarter"))]);
    let steps = json!({ "calls": [{ "tool": SEARCH, "count": STEPS }], "seconds": 60 });
    let (outcome, _) = call_with(stage, page, RESERVE, steps, meta()).await?;
    match &outcome {
        Outcome::Done(answer) => page.text(&answer.to_string()),
        Outcome::Fault(fault) => page.mismatch("ok", &fault.sentence),
    }
    let mcp = stage.ferrata.mcp();
    for number in 0..SEARCHES_PER_MINUTE - STEPS {
        mcp.call(SEARCH, json!({ "query": format!("order {number}") })).await?;
    }
    let hurry = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(HURRY.as_millis()))]);
    let (refused, _) = call_with(stage, page, SEARCH, json!({ "query": "one more" }), hurry).await?;
    match &refused {
        Outcome::Fault(fault) if fault.kind() == "rate_limited" => page.text(&fault.sentence),
        other => page.mismatch("rate_limited", other.kind()),
    }
    page.remark("Everybody else must wait now. The workflow need not.");
    for number in 1..=STEPS {
        let query = json!({ "query": format!("quarter {number}") });
        let (outcome, _) = call_with(stage, page, SEARCH, query, meta()).await?;
        if outcome.kind() != "ok" {
            page.mismatch("ok", outcome.kind());
        }
    }
    Ok(())
}

async fn rotation(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("Somebody revokes the token. That is not an empty list of channels.");
    stage.slack.system().revoke(seed::BOT_TOKEN);
    let list = json!({ "limit": 3 });
    fails(stage, page, "chat_list_channels", list.clone(), "credential_dead").await?;
    page.remark("A new token is put into the file. Nothing is restarted.");
    stage.ferrata.setup().file(connectors::SLACK_BOT_TOKEN, seed::ROTATING_TOKEN)?;
    succeeds(stage, page, "chat_list_channels", list).await.map(drop)
}

fn query(statement: &str, params: Value) -> Value {
    json!({ "sql": statement, "params": params })
}

fn post(channel: &str, text: &str) -> Value {
    json!({ "channel": channel, "text": text })
}

fn first_cell(found: &Value) -> Value {
    let row = &found["rows"][0];
    if row.is_array() { row[0].clone() } else { row["id"].clone() }
}
