//! What an answer means.
//!
//! A verdict is what `classify` returns. The host hears the class and decides what to do; a rejection's fault is
//! what the tool returns once the host has accepted it.

use std::time::Duration;

use crate::bindings::base::ferrata::connector::http as wire;
use crate::fault::{Fault, millis};
use crate::limit::Observe;
use crate::response::Response;

/// The connector's one function that reads answers for their meaning.
pub type Classify = fn(&Response) -> Verdict;

/// How a connector reads answers.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) classify: Classify,
    pub(crate) observe: Option<Observe>,
}

/// What an answer means.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The system did what was asked.
    Ok,
    /// The system refuses for going too fast. Status 429 is taken as this whatever the connector says.
    Throttled {
        /// What the answer said about when to come back.
        after: Option<Duration>,
        /// Which scope is closed, when the answer says so: `upstream`, or the name of the request's [resource](crate::Request::resource);
        /// otherwise it is the operation.
        scope: Option<String>,
    },
    /// The credential was not accepted: the host renews it once and sends again.
    Unauthenticated,
    /// The system's fault, and it may pass.
    Transient,
    /// Understood and refused; repeating it changes nothing. The fault is what the agent is told.
    Rejected(Fault),
}

impl Verdict {
    /// Too fast, for the operation as a whole.
    pub fn throttled(after: Option<Duration>) -> Self {
        Self::Throttled { after, scope: None }
    }

    /// The verdict of a system that means what its status codes say, and the default of a connector.
    ///
    /// | status | verdict |
    /// |---|---|
    /// | 2xx | ok |
    /// | 401 | unauthenticated |
    /// | 429 | throttled, for what `Retry-After` says |
    /// | 408, 425, 5xx except 501 | transient |
    /// | 403, 404, 409, 410, 412 | rejected: `permission_denied`, `not_found`, `conflict`, `gone`, `conflict` |
    /// | others | `rejected` |
    pub fn by_status(response: &Response) -> Self {
        match response.status() {
            200..=299 => Self::Ok,
            401 => Self::Unauthenticated,
            429 => Self::throttled(response.retry_after()),
            408 | 425 | 500 | 502..=599 => Self::Transient,
            status => Self::Rejected(refusal(status).with_code(status.to_string())),
        }
    }

    pub(crate) fn to_wire(&self) -> wire::Verdict {
        match self {
            Self::Ok => wire::Verdict::Ok,
            Self::Throttled { after, scope } => wire::Verdict::Throttled(wire::Throttle {
                retry_after_ms: after.map(millis),
                scope: scope.clone(),
            }),
            Self::Unauthenticated => wire::Verdict::Unauthenticated,
            Self::Transient => wire::Verdict::Transient,
            Self::Rejected(_) => wire::Verdict::Rejected,
        }
    }
}

fn refusal(status: u16) -> Fault {
    match status {
        403 => Fault::permission_denied("The system does not allow it (HTTP status 403)."),
        404 => Fault::not_found("It does not exist, or is not visible to this credential (HTTP status 404)."),
        409 | 412 => Fault::conflict(format!("It conflicts with what is there (HTTP status {status}).")),
        410 => Fault::gone("It no longer exists (HTTP status 410)."),
        _ => Fault::rejected(format!("The system refused the request (HTTP status {status}).")),
    }
}
