//! What goes in and what comes out: the types of the `sql` import, without its wire.

/// What a query may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Runs in a read-only transaction that is always rolled back.
    Read,
    /// Runs in a transaction that is committed when everything went well.
    Write,
}

/// A parameter. The server decides each parameter's type; the value is converted to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Anything that has a text form.
    Text(String),
    /// JSON text: for `json` and `jsonb` parameters, and arrays for array parameters.
    Json(String),
    Bytes(Vec<u8>),
}

/// One statement and how much of its answer is wanted.
#[derive(Clone, Debug)]
pub struct Query {
    pub access: Access,
    /// One statement; `$1`, `$2` … are the parameters.
    pub statement: String,
    pub parameters: Vec<Value>,
    /// Stop after this many rows. The operator's cap applies if it is lower.
    pub max_rows: u32,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// As PostgreSQL writes it: `int4`, `timestamptz`, `text[]`.
    pub type_name: String,
}

/// Why an answer is not everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// As many rows as were asked for.
    MaxRows,
    /// As many rows as the operator allows.
    RowCap,
    /// As many bytes as the operator allows.
    ByteCap,
}

impl StoppedBy {
    /// The word that a guest reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxRows => "max_rows",
            Self::RowCap => "row_cap",
            Self::ByteCap => "byte_cap",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub columns: Vec<Column>,
    /// A JSON array of arrays, in the order of the columns. What JSON has no word for is a string: integers beyond ±2^53,
    /// numerics of more than 15 significant digits, `NaN`, infinities, times (RFC 3339 in UTC, or ISO 8601 where the type has
    /// no zone), intervals (ISO 8601), `bytea` (base64). Composites and ranges are objects.
    pub rows: String,
    pub row_count: u32,
    /// `None`: it is complete.
    pub stopped_by: Option<StoppedBy>,
    /// Rows changed, for a statement that returns none.
    pub affected: Option<u64>,
    /// The planner's estimate, when a cost cap is configured and the statement could be estimated.
    pub estimated_cost: Option<f64>,
}

impl Rows {
    /// Whether that is everything.
    pub fn is_complete(&self) -> bool {
        self.stopped_by.is_none()
    }
}
