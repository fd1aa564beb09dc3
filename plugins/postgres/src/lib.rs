//! PostgreSQL for agents: look around a database, and read from it.
//!
//! Every tool is a read. What a statement may cost, how long it may run and how many rows come back is the host's to
//! enforce; this connector says what came back, and whether that is everything.

mod catalog;
mod query;
#[cfg(test)]
mod tests;

use ferrata_sdk::prelude::*;

const QUERY: Operation = Operation::sql("db", "query");
const EXPLAIN: Operation = Operation::sql("db", "explain");
const CATALOG: Operation = Operation::sql("db", "catalog");

/// Rows and items that are returned unless the call says otherwise.
const DEFAULT_LIMIT: u32 = 100;

fn default_limit() -> u32 {
    DEFAULT_LIMIT
}

fn connector() -> Connector<NoSettings> {
    Connector::new("postgres", env!("CARGO_PKG_VERSION"))
        .describe("Reads a PostgreSQL database.")
        .upstream(Upstream::sql("db").describe("The database, reached as a role that may only read."))
        .tool(tool("query", &QUERY, query::query).title("Run a query"))
        .tool(tool("list_schemas", &CATALOG, catalog::list_schemas))
        .tool(tool("list_objects", &CATALOG, catalog::list_objects).title("List tables and other objects"))
        .tool(tool("describe_table", &CATALOG, catalog::describe_table))
        .tool(tool("explain", &EXPLAIN, query::explain).title("Explain a query"))
}

ferrata_sdk::export!(connector);
