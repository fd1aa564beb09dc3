//! Statements for upstreams of kind `sql`, and their rows.
//!
//! ```
//! use ferrata_sdk::prelude::*;
//!
//! const ORDERS: Operation = Operation::sql("db", "orders");
//!
//! /// Lists what a customer has ordered, latest first.
//! #[input]
//! struct ListOrders {
//!     customer: i64,
//! }
//!
//! #[data]
//! struct Order {
//!     id: i64,
//!     placed_at: Timestamp,
//! }
//!
//! fn list_orders(cx: &Cx<NoSettings>, input: ListOrders) -> Result<Page<Order>, Fault> {
//!     let statement = "SELECT id, placed_at FROM orders WHERE customer = $1 ORDER BY placed_at DESC";
//!     let rows = cx.sql(&ORDERS, statement).bind(input.customer).max_rows(100).run()?;
//!     if rows.is_complete() {
//!         return Ok(Page::complete(rows.decode()?));
//!     }
//!     Err(Fault::rejected("The customer has more orders than can be listed."))
//! }
//!
//! # fn connector() -> Connector<NoSettings> {
//! #     Connector::new("orders", "0.1.0").upstream(Upstream::sql("db")).tool(tool("list_orders", &ORDERS, list_orders))
//! # }
//! use ferrata_sdk::testing::{Harness, sql};
//!
//! let mut shop = Harness::new(connector());
//! let columns = [("id", "int8"), ("placed_at", "timestamptz")];
//! shop.expect(sql("orders").parameters(&[json!(7)]).rows(&columns, json!([[1, "2026-11-23T09:30:00Z"]])));
//! let page = shop.call("list_orders", json!({ "customer": 7 })).unwrap();
//! assert_eq!(page["items"][0]["placed_at"], "2026-11-23T09:30:00Z");
//! ```

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::bindings::base::ferrata::connector::sql as wire;
pub use crate::bindings::base::ferrata::connector::sql::Column;
use crate::fault::Fault;
use crate::operation::{Effect, Operation};
use crate::{decode, host};

/// A parameter. The server decides each parameter's type, and the host converts the value to it.
#[derive(Clone, Debug)]
pub struct Value(pub(crate) wire::Value);

macro_rules! from {
    ($($type:ty => |$value:ident| $wire:expr;)+) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self($wire)
            }
        })+
    };
}

from! {
    &str => |text| wire::Value::Text(text.to_owned());
    String => |text| wire::Value::Text(text);
    bool => |value| wire::Value::Boolean(value);
    i64 => |value| wire::Value::Integer(value);
    i32 => |value| wire::Value::Integer(value.into());
    u32 => |value| wire::Value::Integer(value.into());
    f64 => |value| wire::Value::Float(value);
    Vec<u8> => |value| wire::Value::Bytes(value);
    Json => |value| json(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(wire::Value::Null), Into::into)
    }
}

/// Scalars by their own type, so that an agent's `42` fits an integer and its `"42"` a text; the rest as JSON.
fn json(value: Json) -> wire::Value {
    match value {
        Json::Null => wire::Value::Null,
        Json::Bool(value) => wire::Value::Boolean(value),
        Json::String(text) => wire::Value::Text(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => wire::Value::Integer(integer),
            (None, Some(float)) if number.is_f64() => wire::Value::Float(float),
            // Over 2⁶³: its digits still fit a `numeric`.
            _ => wire::Value::Text(number.to_string()),
        },
        composite => wire::Value::Json(composite.to_string()),
    }
}

/// One statement. [`Cx::sql`](crate::Cx::sql) makes one.
#[must_use = "a statement does nothing until it is run"]
pub struct Query(wire::Request);

/// Rows that are read unless [`Query::max_rows`] says otherwise.
const DEFAULT_MAX_ROWS: u32 = 1000;

impl Query {
    pub(crate) fn new(operation: &Operation, statement: String) -> Self {
        Self(wire::Request {
            upstream: operation.upstream.to_owned(),
            operation: operation.label.to_owned(),
            effect: operation.effect,
            statement,
            parameters: Vec::new(),
            max_rows: DEFAULT_MAX_ROWS,
            options: None,
        })
    }

    /// The next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.0.parameters.push(value.into().0);
        self
    }

    /// Several parameters.
    pub fn bind_all(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.0.parameters.extend(values.into_iter().map(|value| value.into().0));
        self
    }

    /// Stop after this many rows; 1000 if nothing is said. The operator's cap applies if it is lower.
    pub fn max_rows(mut self, rows: u32) -> Self {
        self.0.max_rows = rows;
        self
    }

    /// States another effect than the operation's.
    pub fn effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Runs it in a transaction of its own.
    ///
    /// # Errors
    /// The host's faults.
    pub fn run(self) -> Result<Rows, Fault> {
        Ok(Rows(host::sql_query(&self.0)?))
    }

    /// The planner's view of it, without running it: what `EXPLAIN (FORMAT JSON)` says.
    ///
    /// # Errors
    /// The host's faults.
    pub fn explain(self) -> Result<Json, Fault> {
        read(&host::sql_explain(&self.0)?)
    }
}

/// What a statement returned.
#[derive(Clone, Debug)]
pub struct Rows(wire::Rows);

impl Rows {
    /// Names and types, in the order of the values.
    pub fn columns(&self) -> &[Column] {
        &self.0.columns
    }

    /// How many rows there are here.
    pub fn len(&self) -> u32 {
        self.0.row_count
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether that is everything.
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// Why it is not: "max_rows", "row_cap" or "byte_cap".
    pub fn stopped_by(&self) -> Option<&str> {
        self.0.stopped_by.as_deref()
    }

    /// Rows changed, for a statement that returns none.
    pub fn affected(&self) -> Option<u64> {
        self.0.affected
    }

    /// The planner's estimate, when the operator asked for a cost check.
    pub fn estimated_cost(&self) -> Option<f64> {
        self.0.estimated_cost
    }

    /// The rows as a JSON array of arrays.
    pub fn json(&self) -> &str {
        &self.0.rows
    }

    /// The rows for a tool's result.
    ///
    /// # Errors
    /// `schema_mismatch` if they are no JSON, which the host does not let happen.
    pub fn into_raw(self) -> Result<RawRows, Fault> {
        let raw = RawValue::from_string(self.0.rows);
        raw.map(RawRows).map_err(|error| Fault::schema_mismatch(format!("The rows are no JSON: {error}.")))
    }

    /// Each row as a `T`: a tuple, or a struct whose members stand in the order of the columns.
    ///
    /// # Errors
    /// `schema_mismatch` with the path (`/row/column`) of the value that does not fit.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Vec<T>, Fault> {
        read(&self.0.rows)
    }
}

/// Rows to be passed on as they are: a JSON array of arrays, which is never taken apart.
#[derive(Clone, Debug)]
pub struct RawRows(Box<RawValue>);

impl Serialize for RawRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for RawRows {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rows".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": "array" } })
    }
}

impl From<wire::Rows> for Rows {
    fn from(rows: wire::Rows) -> Self {
        Self(rows)
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    decode::text(text)
        .map_err(|mismatch| mismatch.into_fault("The database's answer", Fault::schema_mismatch))
}
