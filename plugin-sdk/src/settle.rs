//! The settle loop: what happens between sending a request and having an answer that a tool may read.
//!
//! The connector says what each answer means, and the host what follows; as long as it sends again, the next answer is classified
//! anew.

use crate::bindings::base::ferrata::connector::http as wire;
use crate::fault::Fault;
use crate::host;
use crate::request::Request;
use crate::response::Response;
use crate::secret::Secret;
use crate::verdict::{Reading, Verdict};

/// How many requests the host sends at once.
pub const MAX_PARALLEL: usize = 16;

/// Sends several requests at once; the answers come in their order. More than [`MAX_PARALLEL`] are sent in several rounds.
pub(crate) fn send_all(requests: Vec<Request>) -> Vec<Result<Response, Fault>> {
    let mut answers = Vec::with_capacity(requests.len());
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() {
        answers.extend(send_round(requests.by_ref().take(MAX_PARALLEL).collect()));
    }
    answers
}

fn send_round(requests: Vec<Request>) -> Vec<Result<Response, Fault>> {
    let mut sent = Vec::with_capacity(requests.len());
    let prepared: Vec<Result<Settling, Fault>> = requests
        .into_iter()
        .map(|request| {
            let (request, settling) = request.finish()?;
            sent.push(request);
            Ok(settling)
        })
        .collect();
    let mut exchanges = host::send_all(sent).into_iter();
    let mut next = || exchanges.next().unwrap_or_else(|| Err(Fault::broken("The host left out an answer.")));
    prepared.into_iter().map(|settling| settling?.settle(next()?)).collect()
}

/// What remains to be done with an answer.
pub(crate) struct Settling {
    reading: Reading,
    captures: Vec<(&'static str, wire::Place)>,
}

impl Settling {
    pub(crate) fn new(reading: Reading, captures: Vec<(&'static str, wire::Place)>) -> Self {
        Self { reading, captures }
    }

    pub(crate) fn settle(&self, mut exchange: host::Exchange) -> Result<Response, Fault> {
        loop {
            let captured = self.capture(&exchange)?;
            let response = Response::new(exchange, captured);
            self.observe(&response)?;
            let verdict = (self.reading.classify)(&response);
            match (response.settle(&verdict.to_wire())?, verdict) {
                (wire::Directive::SentAgain, _) => exchange = response.into_exchange(),
                (wire::Directive::Accepted, Verdict::Ok) => return Ok(response),
                (wire::Directive::Accepted, Verdict::Rejected(fault)) => return Err(fault),
                (wire::Directive::Accepted, _) => return Err(unfinished(&response)),
            }
        }
    }

    fn observe(&self, response: &Response) -> Result<(), Fault> {
        let limits = self.reading.observe.map(|observe| observe(response)).unwrap_or_default();
        if limits.is_empty() { Ok(()) } else { response.observe(&limits) }
    }

    fn capture(&self, exchange: &host::Exchange) -> Result<Vec<(&'static str, Secret)>, Fault> {
        let mut captured = Vec::new();
        for (field, place) in &self.captures {
            captured.extend(exchange.capture(place)?.map(|name| (*field, Secret(name))));
        }
        Ok(captured)
    }
}

/// The host ends a throttled, unauthenticated or transient exchange with a fault of its own. Should it not, the answer is still
/// none that a tool may read.
fn unfinished(response: &Response) -> Fault {
    let status = response.status();
    Fault::rejected(format!("The system did not do what was asked (HTTP status {status})."))
        .with_code(status.to_string())
}
