//! Failures on demand: what the next answers will be, whatever was asked.

use std::collections::VecDeque;

use serde::Deserialize;

/// What happens instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Too fast, in the system's own disguise. Seconds; `None` says nothing about when to come back.
    RateLimited { retry_after: Option<u64> },
    /// Status 500.
    InternalError,
    /// Status 503, as during maintenance.
    Unavailable,
    /// Status 200 and a web page, as from a proxy or a login wall in between.
    Html,
    /// A refusal of the system's own, by its code and in its own shape.
    Code(String),
    /// Status 200 with this text as JSON: drift, and other surprises.
    Body(String),
    /// No answer until the peer goes away or the sandbox ends.
    Hang,
    /// The connection is reset after the request was read.
    Reset,
}

/// Failures that wait for their requests, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Planned(VecDeque<Plan>);

#[derive(Debug)]
struct Plan {
    failure: Failure,
    left: u32,
    /// Only requests whose path ends with this; empty for all.
    path_end: String,
}

impl Planned {
    pub(crate) fn add(&mut self, failure: Failure, times: u32, path_end: &str) {
        if times > 0 {
            self.0.push_back(Plan { failure, left: times, path_end: path_end.to_owned() });
        }
    }

    /// The failure for a request to this path, used up by one.
    pub(crate) fn take(&mut self, path: &str) -> Option<Failure> {
        let index = self.0.iter().position(|plan| path.ends_with(&plan.path_end))?;
        let plan = self.0.get_mut(index)?;
        plan.left -= 1;
        let failure = plan.failure.clone();
        if plan.left == 0 {
            self.0.remove(index);
        }
        Some(failure)
    }
}
