//! One call of the story: made, shown, and held against what it should come to.

use std::time::Duration;

use ferrata_tests::Result;
use ferrata_tests::mcp::{Fault, Outcome};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::page::Page;
use crate::stage::Stage;

/// Rows of an answer, or items of a list, that are shown.
const SHOWN_ROWS: usize = 5;

/// Makes a call that should succeed, and returns what it gave.
pub async fn succeeds(stage: &Stage, page: &mut Page, tool: &str, arguments: Value) -> Result<Value> {
    let (outcome, _) = call(stage, page, tool, arguments).await?;
    match outcome {
        Outcome::Done(value) => {
            show(page, &value);
            Ok(value)
        }
        Outcome::Fault(fault) => {
            page.mismatch("ok", fault.kind());
            page.text(&fault.sentence);
            Ok(Value::Null)
        }
    }
}

/// Makes a call that should end as this kind of fault, and returns the fault.
pub async fn fails(
    stage: &Stage,
    page: &mut Page,
    tool: &str,
    arguments: Value,
    kind: &str,
) -> Result<Option<Fault>> {
    let (outcome, _) = call(stage, page, tool, arguments).await?;
    if outcome.kind() != kind {
        page.mismatch(kind, outcome.kind());
    }
    match outcome {
        Outcome::Done(value) => {
            show(page, &value);
            Ok(None)
        }
        Outcome::Fault(fault) => {
            page.text(&fault.sentence);
            Ok(Some(fault))
        }
    }
}

/// Makes a call and shows how it ended.
pub async fn call(stage: &Stage, page: &Page, tool: &str, arguments: Value) -> Result<(Outcome, Duration)> {
    call_with(stage, page, tool, arguments, Map::new()).await
}

/// The same with more members in `_meta`.
pub async fn call_with(
    stage: &Stage,
    page: &Page,
    tool: &str,
    arguments: Value,
    meta: Map<String, Value>,
) -> Result<(Outcome, Duration)> {
    page.call(tool, &arguments);
    let before = Instant::now();
    let outcome = stage.ferrata.mcp().call_with(tool, arguments, meta).await?;
    let took = Instant::now() - before;
    page.outcome(outcome.kind(), took);
    Ok((outcome, took))
}

/// Waits until then.
pub async fn until(at: &str) -> Result<()> {
    let wait = at.parse::<jiff::Timestamp>()?.duration_since(jiff::Timestamp::now());
    tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    Ok(())
}

/// Makes a call that should be answered by something else than the system, and returns what stands in its place: the sentence for the
/// model, and the data.
pub async fn substituted(
    stage: &Stage,
    page: &mut Page,
    tool: &str,
    arguments: Value,
) -> Result<(String, Value)> {
    page.call(tool, &arguments);
    let before = Instant::now();
    let params = json!({ "name": tool, "arguments": arguments });
    let mut result = stage.ferrata.mcp().request("tools/call", params).await?;
    let data = result["_meta"]["dev.ferrata/substitute"].take();
    page.outcome(data["source"].as_str().unwrap_or("ok"), Instant::now() - before);
    let sentence = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    if data.is_null() {
        page.mismatch("an earlier answer", &sentence);
    } else {
        page.text(&sentence);
        show(page, &result["structuredContent"]);
    }
    Ok((sentence, data))
}

/// Holds a part of an answer against what it should be.
pub fn expect(page: &mut Page, what: &str, found: &Value, expected: &Value) {
    if found != expected {
        page.mismatch(&format!("{what} to be {expected}"), &found.to_string());
    }
}

/// An answer: rows and lists as a table, anything else as JSON.
fn show(page: &Page, value: &Value) {
    if let (Some(columns), Some(rows)) = (value["columns"].as_array(), value["rows"].as_array()) {
        let names = columns.iter().map(|column| plain(&column["name"])).collect();
        let cells = rows.iter().filter_map(Value::as_array).map(|row| row.iter().map(plain).collect());
        table(page, names, cells.collect());
    } else if let Some(items) = value["items"].as_array() {
        let first = items.first().and_then(Value::as_object);
        let simple = first.into_iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array());
        let names: Vec<String> = simple.map(|(name, _)| name.clone()).collect();
        let cells = items.iter().map(|item| names.iter().map(|name| plain(&item[name])).collect()).collect();
        table(page, names, cells);
        page.remark(&format!("complete: {}", value["complete"]));
    } else {
        page.text(&value.to_string());
    }
}

fn table(page: &Page, names: Vec<String>, mut rows: Vec<Vec<String>>) {
    let more = rows.len().saturating_sub(SHOWN_ROWS);
    rows.truncate(SHOWN_ROWS);
    page.table(&names, &rows);
    if more > 0 {
        page.remark(&format!("… and {more} rows more"));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
