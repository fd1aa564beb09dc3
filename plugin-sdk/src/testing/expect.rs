//! What a test says about exchanges: what should be sent, and what comes back.

use serde_json::Value;

use crate::bindings::base::ferrata::connector::sql as wire;
use crate::fault::{Fault, FaultKind};

/// The next thing that the connector should do.
pub enum Expectation {
    /// An HTTP request.
    Http(Expect),
    /// A statement.
    Sql(ExpectSql),
}

impl Expectation {
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Http(expect) => format!("{} {}", expect.method, expect.path),
            Self::Sql(expect) => format!("a statement of {}", expect.operation),
        }
    }
}

impl From<Expect> for Expectation {
    fn from(expect: Expect) -> Self {
        Self::Http(expect)
    }
}

impl From<ExpectSql> for Expectation {
    fn from(expect: ExpectSql) -> Self {
        Self::Sql(expect)
    }
}

/// A request that the connector should send. What is not said is not checked, except for method and path.
pub struct Expect {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Body>,
    pub(super) resource: Option<String>,
    pub(super) answers: Vec<Result<Answer, Fault>>,
}

pub(super) enum Body {
    Text(String),
    Json(Value),
}

/// A request with that method, path and query.
pub fn request(method: &str, path: &str) -> Expect {
    Expect {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
        resource: None,
        answers: Vec::new(),
    }
}

/// A `GET` with that path and query.
pub fn get(path: &str) -> Expect {
    request("GET", path)
}

/// A `POST` with that path and query.
pub fn post(path: &str) -> Expect {
    request("POST", path)
}

/// A `PUT` with that path and query.
pub fn put(path: &str) -> Expect {
    request("PUT", path)
}

/// A `PATCH` with that path and query.
pub fn patch(path: &str) -> Expect {
    request("PATCH", path)
}

/// A `DELETE` with that path and query.
pub fn delete(path: &str) -> Expect {
    request("DELETE", path)
}

impl Expect {
    /// With this [resource](crate::Request::resource).
    pub fn resource(mut self, name: &str) -> Self {
        self.resource = Some(name.to_owned());
        self
    }

    /// With this header among others.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body, byte for byte.
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(Body::Text(body.to_owned()));
        self
    }

    /// With this body, as JSON.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(Body::Json(body));
        self
    }

    /// What comes back.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(Ok(answer));
        self
    }

    /// What comes back after the connector has called the answer before it throttled, unauthenticated or transient, and the host has sent
    /// the request again. Without it, the host ends such an exchange with its fault.
    pub fn sent_again(self, answer: Answer) -> Self {
        self.answer(answer)
    }

    /// The host ends the exchange with a fault of its own.
    pub fn fault(mut self, kind: FaultKind) -> Self {
        self.answers.push(Err(hosts_own(kind)));
        self
    }
}

/// A fault that the host originates, recognisable by its ticket.
pub(super) fn hosts_own(kind: FaultKind) -> Fault {
    crate::bindings::base::ferrata::connector::types::Fault {
        kind,
        message: "The host says so.".to_owned(),
        code: None,
        path: None,
        retry_after_ms: None,
        ticket: Some(1),
        details: None,
    }
    .into()
}

/// An answer of the system.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    /// Without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// With a JSON body.
    pub fn json(status: u16, body: Value) -> Self {
        Self::text(status, &body.to_string()).header("content-type", "application/json")
    }

    /// With a body of any kind.
    pub fn text(status: u16, body: &str) -> Self {
        Self { body: body.to_owned(), ..Self::status(status) }
    }

    /// With this header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }
}

/// A statement that the connector should send.
pub struct ExpectSql {
    pub(super) operation: String,
    pub(super) contains: Vec<String>,
    pub(super) parameters: Option<Vec<Value>>,
    pub(super) max_rows: Option<u32>,
    pub(super) answer: Result<wire::Rows, Fault>,
    pub(super) plan: Option<Value>,
}

/// A statement of that operation.
pub fn sql(operation: &str) -> ExpectSql {
    ExpectSql {
        operation: operation.to_owned(),
        contains: Vec::new(),
        parameters: None,
        max_rows: None,
        answer: Ok(rows(&[], Value::Array(Vec::new()))),
        plan: None,
    }
}

fn rows(columns: &[(&str, &str)], rows: Value) -> wire::Rows {
    let column = |(name, type_name): &(&str, &str)| wire::Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
    };
    wire::Rows {
        columns: columns.iter().map(column).collect(),
        row_count: rows.as_array().and_then(|rows| u32::try_from(rows.len()).ok()).unwrap_or_default(),
        rows: rows.to_string(),
        complete: true,
        stopped_by: None,
        affected: None,
        estimated_cost: None,
    }
}

impl ExpectSql {
    /// With this text in the statement, white space aside.
    pub fn containing(mut self, text: &str) -> Self {
        self.contains.push(text.to_owned());
        self
    }

    /// With these parameters; JSON values stand for the kinds that they are.
    pub fn parameters(mut self, parameters: &[Value]) -> Self {
        self.parameters = Some(parameters.to_vec());
        self
    }

    /// Stopping after this many rows.
    pub fn max_rows(mut self, rows: u32) -> Self {
        self.max_rows = Some(rows);
        self
    }

    /// What comes back: columns as name and type, and an array of arrays.
    pub fn rows(mut self, columns: &[(&str, &str)], values: Value) -> Self {
        self.answer = Ok(rows(columns, values));
        self
    }

    /// The rows are not everything, for this reason ("max_rows", "row_cap", "byte_cap").
    pub fn stopped_by(mut self, reason: &str) -> Self {
        if let Ok(rows) = &mut self.answer {
            (rows.complete, rows.stopped_by) = (false, Some(reason.to_owned()));
        }
        self
    }

    /// What `explain` returns. The statement is then expected to be explained, and not to be run.
    pub fn plan(mut self, plan: Value) -> Self {
        self.plan = Some(plan);
        self
    }

    /// The host answers with a fault of its own.
    pub fn fault(mut self, kind: FaultKind) -> Self {
        self.answer = Err(hosts_own(kind));
        self
    }

    /// The host answers with this fault, such as one that carries PostgreSQL's code.
    pub fn fails(mut self, fault: Fault) -> Self {
        self.answer = Err(fault);
        self
    }
}
