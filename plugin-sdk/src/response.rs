//! An answer, and reading it.

use std::cell::OnceCell;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::base::ferrata::connector::http as wire;
use crate::decode;
use crate::fault::Fault;
use crate::host;
use crate::limit::Limit;
use crate::secret::Secret;

/// One answer, whole.
pub struct Response {
    exchange: host::Exchange,
    body: OnceCell<Vec<u8>>,
    captured: Vec<(&'static str, Secret)>,
}

impl Response {
    pub(crate) fn new(exchange: host::Exchange, captured: Vec<(&'static str, Secret)>) -> Self {
        Self { exchange, body: OnceCell::new(), captured }
    }

    pub(crate) fn settle(&self, verdict: &wire::Verdict) -> Result<wire::Directive, Fault> {
        self.exchange.settle(verdict)
    }

    pub(crate) fn observe(&self, limits: &[Limit]) -> Result<(), Fault> {
        let json = serde_json::to_string(limits).map_err(|error| Fault::broken(error.to_string()))?;
        self.exchange.observe(&json)
    }

    pub(crate) fn into_exchange(self) -> host::Exchange {
        self.exchange
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.exchange.status()
    }

    /// The first header of that name, without regard to case, if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.exchange.header(name)
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.exchange.headers()
    }

    /// `Retry-After`, when it counts seconds; fractions are rounded up. A date is not read.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self.header("retry-after")?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds.ceil()).ok()
    }

    /// The whole body.
    pub fn body(&self) -> &[u8] {
        self.body.get_or_init(|| self.exchange.body())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `schema_mismatch` with the path of the member that has another shape than `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        decode::bytes(self.body())
            .map_err(|mismatch| mismatch.into_fault("The system's answer", Fault::schema_mismatch))
    }

    /// The name of what the host took out of the answer under this field.
    pub fn captured(&self, field: &str) -> Option<&Secret> {
        self.captured.iter().find(|(name, _)| *name == field).map(|(_, secret)| secret)
    }

    pub(crate) fn all_captured(&self) -> &[(&'static str, Secret)] {
        &self.captured
    }
}
