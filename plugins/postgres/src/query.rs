//! Statements of the agent's own: running them, and asking the planner about them.

use std::collections::HashMap;

use ferrata_sdk::prelude::*;
use ferrata_sdk::sql::{RawRows, Rows};

use crate::{EXPLAIN, QUERY, default_limit};

/// Runs one SQL statement that reads, and returns its rows. Look at the tables first (list_objects, describe_table); filter and aggregate
/// in SQL instead of fetching everything. Statements that change anything are refused, and so are those that the planner expects
/// to be too expensive.
#[input]
pub(crate) struct RunQuery {
    /// One SELECT (or WITH … SELECT, VALUES, SHOW, TABLE) in PostgreSQL's dialect. Write $1, $2 … for values and pass them in `params`.
    sql: String,
    /// The values of $1, $2 …: strings, numbers, booleans, null; dates and times as strings; arrays as arrays.
    #[serde(default)]
    params: Vec<Value>,
    /// How many rows to return at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 10_000))]
    limit: u32,
}

/// The rows of a statement.
#[output]
pub(crate) struct QueryResult {
    /// Names and types of the columns. Columns of the same name are numbered: id, id_2.
    columns: Vec<ResultColumn>,
    /// One array per row, in the order of `columns`. Numbers that a double cannot hold exactly are strings.
    rows: RawRows,
    row_count: u32,
    /// Whether these are all rows. If not, there are more than `rows` shows.
    complete: bool,
    /// Why these are not all: "max_rows" (the call's limit), "row_cap" or "byte_cap" (the operator's).
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    /// How to get at the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    how_to_go_on: Option<&'static str>,
}

#[output]
pub(crate) struct ResultColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

const HOW_TO_GO_ON: &str = "There are more rows than these. Narrow the statement with WHERE, aggregate, or page by a unique \
                            key: ORDER BY key, and WHERE key > the last key seen.";

pub(crate) fn query(cx: &Cx<NoSettings>, input: RunQuery) -> Result<QueryResult, Fault> {
    let rows = cx.sql(&QUERY, input.sql).bind_all(input.params).max_rows(input.limit).run()?;
    Ok(QueryResult {
        columns: unique_columns(&rows),
        row_count: rows.len(),
        complete: rows.is_complete(),
        stopped_by: rows.stopped_by().map(str::to_owned),
        how_to_go_on: (!rows.is_complete()).then_some(HOW_TO_GO_ON),
        rows: rows.into_raw()?,
    })
}

/// Numbers columns that share a name, so that nothing is lost by who makes objects of the rows.
fn unique_columns(rows: &Rows) -> Vec<ResultColumn> {
    let taken: Vec<&str> = rows.columns().iter().map(|column| column.name.as_str()).collect();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut columns = Vec::with_capacity(taken.len());
    for column in rows.columns() {
        let count = seen.entry(&column.name).and_modify(|count| *count += 1).or_insert(1);
        let mut name = column.name.clone();
        while *count > 1 {
            name = format!("{}_{count}", column.name);
            if !taken.contains(&name.as_str()) {
                break;
            }
            *count += 1;
        }
        columns.push(ResultColumn { name, type_name: column.type_name.clone() });
    }
    columns
}

/// Shows how PostgreSQL would run a statement, without running it: the expected cost, rows and the plan. Use it when a query was
/// refused as too expensive, or may be.
#[input]
pub(crate) struct ExplainQuery {
    /// One statement, as for query.
    sql: String,
    /// The values of $1, $2 …, as for query.
    #[serde(default)]
    params: Vec<Value>,
}

/// The planner's view of a statement.
#[output]
pub(crate) struct Explanation {
    /// The planner's estimate, in its own unit: about 1 per page read in order.
    total_cost: f64,
    /// How many rows the planner expects.
    estimated_rows: f64,
    /// Tables that would be read from end to end.
    full_scans: Vec<String>,
    /// The whole plan, as EXPLAIN (FORMAT JSON) gives it.
    plan: Value,
}

pub(crate) fn explain(cx: &Cx<NoSettings>, input: ExplainQuery) -> Result<Explanation, Fault> {
    let explained = cx.sql(&EXPLAIN, input.sql).bind_all(input.params).explain()?;
    let plan = explained.pointer("/0/Plan").unwrap_or(&Value::Null);
    let estimate = |name: &str| {
        let missing = || {
            Fault::schema_mismatch("PostgreSQL's plan has no estimate.").with_path(format!("/0/Plan/{name}"))
        };
        plan.get(name).and_then(Value::as_f64).ok_or_else(missing)
    };
    Ok(Explanation {
        total_cost: estimate("Total Cost")?,
        estimated_rows: estimate("Plan Rows")?,
        full_scans: full_scans(plan),
        plan: plan.clone(),
    })
}

/// The tables of every sequential scan in a plan, in the plan's order.
fn full_scans(plan: &Value) -> Vec<String> {
    let (mut scanned, mut nodes) = (Vec::new(), vec![plan]);
    while let Some(node) = nodes.pop() {
        if node["Node Type"] == "Seq Scan" {
            scanned.extend(node["Relation Name"].as_str().map(str::to_owned));
        }
        nodes.extend(node["Plans"].as_array().into_iter().flatten().rev());
    }
    scanned
}
