//! What an exchange says of the system's health, and of whether it can be repeated.

use std::time::Duration;

use http::StatusCode;

use super::client::ClientError;
use super::exchange::Verdict;
use crate::policy::breaker::Outcome;
use crate::policy::retry::Failure;

/// What a status says when nobody says more.
pub fn of_status(status: StatusCode, took: Duration) -> Outcome {
    of_verdict(&Verdict::of_status(status), took)
}

/// What the connector's word says: only `ok` and `transient` are about the system, the others are about the request.
pub fn of_verdict(verdict: &Verdict, took: Duration) -> Outcome {
    match verdict {
        Verdict::Ok => Outcome::Success { took },
        Verdict::Transient => Outcome::Failure,
        Verdict::Throttled { .. } | Verdict::Unauthenticated | Verdict::Rejected => Outcome::Neutral,
    }
}

pub fn timed_out(waited: Duration) -> Outcome {
    Outcome::TimedOut { waited }
}

/// Whether it may have arrived, what it says of the system, and whether it may be sent again.
pub fn of_error(error: &ClientError) -> (bool, Option<Outcome>, Option<Failure>) {
    match error {
        ClientError::Connect(_) => (false, Some(Outcome::Failure), Some(Failure::NeverSent)),
        // It arrived, and the peer is leaving or full: nothing to hold against it.
        ClientError::NotTaken(_) => (true, None, Some(Failure::NeverSent)),
        ClientError::Broken(_) => (true, Some(Outcome::Failure), Some(Failure::Unclear)),
        ClientError::TooLarge(_) => (true, Some(Outcome::Neutral), None),
    }
}
