//! Read a PostgreSQL database.

use ferrata_sdk::prelude::*;

const EXPLAIN: Operation = Operation::sql("db", "explain");

/// Shows how PostgreSQL would run a statement, without running it.
#[input]
struct Explain {
    /// One statement.
    sql: String,
}

/// The plan.
#[output]
struct Plan {
    /// What `EXPLAIN (FORMAT JSON)` says.
    plan: Value,
}

fn explain(cx: &Cx<NoSettings>, input: Explain) -> Result<Plan, Fault> {
    Ok(Plan { plan: cx.sql(&EXPLAIN, input.sql).explain()? })
}

fn connector() -> Connector<NoSettings> {
    Connector::new("postgres", env!("CARGO_PKG_VERSION"))
        .upstream(Upstream::sql("db"))
        .tool(tool("explain", &EXPLAIN, explain))
}

ferrata_sdk::export!(connector);
