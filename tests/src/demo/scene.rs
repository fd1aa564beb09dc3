//! One call of the story: made, shown, and held against what it should come to.

use std::time::Duration;

use ferrata_tests::Result;
use ferrata_tests::mcp::{Fault, Outcome};
use serde_json::Value;
use tokio::time::Instant;

use crate::page::Page;
use crate::stage::Stage;

/// Rows of an answer that are shown.
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
    page.call(tool, &arguments);
    let before = Instant::now();
    let outcome = stage.ferrata.mcp().call(tool, arguments).await?;
    let took = Instant::now() - before;
    page.outcome(outcome.kind(), took);
    Ok((outcome, took))
}

/// Holds a part of an answer against what it should be.
pub fn expect(page: &mut Page, what: &str, found: &Value, expected: &Value) {
    if found != expected {
        page.mismatch(&format!("{what} to be {expected}"), &found.to_string());
    }
}

/// An answer: rows as a table, anything else as JSON.
fn show(page: &Page, value: &Value) {
    let (Some(columns), Some(rows)) = (value["columns"].as_array(), value["rows"].as_array()) else {
        page.text(&value.to_string());
        return;
    };
    let columns: Vec<String> = columns.iter().map(|column| plain(&column["name"])).collect();
    let cells = |row: &Value| match row {
        Value::Array(cells) => cells.iter().map(plain).collect(),
        object => columns.iter().map(|name| plain(&object[name])).collect(),
    };
    let shown: Vec<Vec<String>> = rows.iter().take(SHOWN_ROWS).map(cells).collect();
    page.table(&columns, &shown);
    if rows.len() > SHOWN_ROWS {
        page.remark(&format!("… and {} rows more", rows.len() - SHOWN_ROWS));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
