//! What a tool can do during a call.

use std::time::Duration;

use serde_json::Value;

use crate::ask::{Bring, Inputs};
use crate::bindings::base::ferrata::connector::types;
use crate::host;
use crate::operation::Operation;
use crate::request::Request;
use crate::response::Response;
use crate::settle;
use crate::sql::Query;
use crate::verdict::Reading;
use crate::{Fault, Secret};

/// One call: the connector's settings, the way out, and what is known about who calls.
pub struct Cx<S> {
    settings: S,
    reading: Reading,
    idempotency_key: String,
    inputs: Inputs,
}

impl<S> Cx<S> {
    pub(crate) fn new(settings: S, reading: Reading) -> Self {
        Self { settings, reading, idempotency_key: String::new(), inputs: Inputs::default() }
    }

    pub(crate) fn begin(&mut self, idempotency_key: String, inputs: Option<types::Inputs>) {
        self.idempotency_key = idempotency_key;
        self.inputs = Inputs::from_wire(inputs);
    }

    /// What the operator configured.
    pub fn settings(&self) -> &S {
        &self.settings
    }

    /// A request of that operation.
    pub fn request(&self, operation: &Operation) -> Request {
        Request::new(operation, self.reading)
    }

    /// Sends several requests at once, [`MAX_PARALLEL`](crate::MAX_PARALLEL) at a time; the answers come in their order.
    pub fn send_all(&self, requests: Vec<Request>) -> Vec<Result<Response, Fault>> {
        settle::send_all(requests)
    }

    /// A statement for an upstream of kind `sql`; `$1`, `$2` … are its parameters.
    pub fn sql(&self, operation: &Operation, statement: impl Into<String>) -> Query {
        Query::new(operation, statement.into())
    }

    /// How long until the call's deadline; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(host::remaining_ms())
    }

    /// For whom the call is made, when the agent said so and the host verified it.
    pub fn subject(&self) -> Option<String> {
        host::subject()
    }

    /// The name that the operator gave this connector.
    pub fn connector_name(&self) -> String {
        host::connector_name()
    }

    /// The same for every attempt at the same call. Send it where the system has a place for it. Empty in a batch, whose
    /// items have one each, and in a login.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// What came back for questions that an earlier run of this call asked. Empty at first, and in a batch, whose items have their own.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Whether the agent's client can be asked for that. A question for anything else is refused by the host.
    pub fn can_bring(&self, what: Bring) -> bool {
        let all: Value = serde_json::from_str(&host::can_bring()).unwrap_or_default();
        let place = match what {
            Bring::Form => "/elicitation/form",
            Bring::Visit => "/elicitation/url",
            Bring::Sample => "/sampling",
            Bring::Roots => "/roots",
        };
        all.pointer(place).is_some()
    }

    /// Says how far the call has come, and where it will end if that is known. Reaches the agent if it asked for that; may be called as
    /// often as there is something to say.
    pub fn progress(&self, done: f64, total: Option<f64>) {
        host::report_progress(done, total, None);
    }

    /// As [`progress`](Self::progress), with a few words for a person.
    pub fn progress_with(&self, done: f64, total: Option<f64>, message: &str) {
        host::report_progress(done, total, Some(message));
    }

    /// HMAC of a message under a secret that the operator has marked for signing; the raw digest.
    ///
    /// # Errors
    /// The host's fault if the secret does not exist or may not sign.
    pub fn sign_hmac(&self, key: &Secret, hash: Hash, message: &[u8]) -> Result<Vec<u8>, Fault> {
        host::sign_hmac(key.name(), hash, message)
    }
}

pub use crate::bindings::base::ferrata::connector::secrets::Hash;
