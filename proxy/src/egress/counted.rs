//! Counts exchanges and verdicts of one connector, without looking a counter up by its name and labels each time.

use std::sync::{Arc, PoisonError, RwLock};

use metrics::Counter;

use super::request::Judged;
use crate::telemetry::metric;

/// Most counters that are kept at hand; more operations and statuses than this are looked up.
const MAX_KNOWN: usize = 128;

/// What is counted of a request.
#[derive(Clone, Copy, Debug)]
pub enum Counts<'a> {
    /// The status of its answer, or `none`.
    Exchange(&'a str),
    /// What the connector said that the answer means.
    Verdict(&'static str),
}

/// The counters of one connector.
#[derive(Debug)]
pub struct Counted {
    connector: Arc<str>,
    known: RwLock<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    name: &'static str,
    upstream: Arc<str>,
    operation: Arc<str>,
    value: String,
    counter: Counter,
}

impl Counted {
    pub fn new(connector: Arc<str>) -> Self {
        Self { connector, known: RwLock::default() }
    }

    pub fn count(&self, request: &Judged, what: Counts<'_>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.is_of(request, what)) {
            return known.counter.increment(1);
        }
        let has_room = known.len() < MAX_KNOWN;
        drop(known);
        let counter = self.register(request, what);
        counter.increment(1);
        if has_room {
            self.known.write().unwrap_or_else(PoisonError::into_inner).push(Known {
                name: what.metric(),
                upstream: Arc::clone(&request.upstream),
                operation: Arc::clone(&request.operation),
                value: what.value().to_owned(),
                counter,
            });
        }
    }

    fn register(&self, request: &Judged, what: Counts<'_>) -> Counter {
        metrics::counter!(
            what.metric(),
            "connector" => self.connector.to_string(),
            "upstream" => request.upstream.to_string(),
            "operation" => request.operation.to_string(),
            what.label() => what.value().to_owned(),
        )
    }
}

impl Known {
    fn is_of(&self, request: &Judged, what: Counts<'_>) -> bool {
        self.name == what.metric()
            && self.value == what.value()
            && self.operation == request.operation
            && self.upstream == request.upstream
    }
}

impl<'a> Counts<'a> {
    const fn metric(self) -> &'static str {
        match self {
            Self::Exchange(_) => metric::EXCHANGES,
            Self::Verdict(_) => metric::VERDICTS,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Exchange(_) => "status",
            Self::Verdict(_) => "verdict",
        }
    }

    const fn value(self) -> &'a str {
        match self {
            Self::Exchange(value) | Self::Verdict(value) => value,
        }
    }
}
