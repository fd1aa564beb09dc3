//! What an agent is told of a request that no policy lets out: which one, why, and until when.

use std::sync::Arc;
use std::time::Duration;

use super::Account;
use super::core::{Refusal, Request};
use crate::fault::{BindingLimit, Fault, FaultKind};
use crate::policy::breaker;
use crate::policy::limit::booking::MOST_BOOKED_PERCENT;
use crate::policy::limit::{self, Reason};
use crate::policy::queue;
use crate::telemetry::metric;

/// From this window on, in milliseconds, a full wall is a quota that is used up: nobody waits an hour for a tool.
const QUOTA_FROM_MS: u64 = 3_600_000;

impl Account {
    /// The fault of a refusal, which is counted.
    pub fn refused(&self, system: &str, request: &Request, refusal: Refusal) -> Fault {
        self.count_refusal(&refusal);
        let now = self.now();
        let fault = match refusal {
            Refusal::Breaker(refused) => down(system, refused).with_retry_after(refused.wait(now)),
            Refusal::Wall { wall: Some(wall), waiting } => {
                let turn = match waiting {
                    queue::Refused::TooLate { turn } => turn,
                    _ => None,
                };
                let at = turn.or(wall.retry_at.map(|at| at.mono));
                let wait = at.map(|at| now.mono.until(at)).or_else(|| self.earliest(request));
                retry_after(at_a_wall(system, &wall), wait)
            }
            Refusal::Wall { wall: None, waiting } => {
                let message =
                    format!("Too many calls of `{system}` wait for it already ({}).", waiting.label());
                retry_after(Fault::new(FaultKind::Overloaded, message), self.earliest(request))
            }
            Refusal::Bulkhead(full) => {
                let message = format!("`{system}` has as many requests under way as it may have.");
                let limit = limit("concurrent", full.used as u64, full.places as u64);
                let mut fault = Fault::new(FaultKind::Overloaded, message);
                fault.limit = Some(limit);
                fault.with_retry_after(now.mono.until(full.retry_at))
            }
            Refusal::Expired => {
                let message = format!("The call waited for its turn at `{system}` until its time was over.");
                retry_after(Fault::new(FaultKind::RateLimited, message), self.earliest(request))
            }
            Refusal::Budget => {
                let message = format!("`{system}` fails too often for requests to be sent again.");
                Fault::new(FaultKind::Unavailable, message)
            }
        };
        fault.with_operation(Arc::clone(&request.operation))
    }

    /// The fault of a reservation that cannot be had, which is counted.
    pub fn not_booked(&self, system: &str, refused: &limit::Refused) -> Fault {
        self.count(super::status::wall_label(refused.wall.as_deref()), "reservation");
        let (fault, wait) = (unreserved(system, refused), refused.retry_at.map(|at| at.mono));
        retry_after(fault, wait.map(|at| self.now().mono.until(at)))
    }

    fn count_refusal(&self, refusal: &Refusal) {
        let reason = match refusal {
            Refusal::Breaker(refused) => refused.label(),
            Refusal::Wall { waiting, .. } => waiting.label(),
            Refusal::Bulkhead(_) => "bulkhead",
            Refusal::Expired => "expired",
            Refusal::Budget => "retry_budget",
        };
        let wall = match refusal {
            Refusal::Wall { wall: Some(refused), .. } => super::status::wall_label(refused.wall.as_deref()),
            _ => String::new(),
        };
        self.count(wall, reason);
    }

    fn count(&self, wall: String, reason: &'static str) {
        metrics::counter!(
            metric::REFUSALS,
            "account" => self.name.account.to_string(),
            "upstream" => self.name.upstream.to_string(),
            "wall" => wall,
            "reason" => reason,
        )
        .increment(1);
    }
}

fn down(system: &str, refused: breaker::Refused) -> Fault {
    let message = match refused {
        breaker::Refused::Open { why, .. } => format!("`{system}` is down and is not asked for now: {why}."),
        breaker::Refused::Maintenance { .. } => format!("`{system}` is in declared maintenance."),
    };
    Fault::new(FaultKind::Unavailable, message)
}

fn at_a_wall(system: &str, refused: &limit::Refused) -> Fault {
    let message = match (&refused.wall, refused.reason) {
        (_, Reason::Throttled) => format!("`{system}` takes no more calls of this kind for now."),
        (_, Reason::Away) => format!("The store that keeps the limits of `{system}` does not answer."),
        (Some(wall), Reason::Reserved) => {
            format!("What is left of the limit {} of `{system}` is kept for interactive calls.", wall.name)
        }
        (Some(wall), Reason::TooLarge) => {
            format!("The call costs more than the limit {} of `{system}` ever lets through.", wall.name)
        }
        (Some(wall), _) => format!("The limit {} of `{system}` is reached.", wall.name),
        (None, _) => format!("`{system}` takes no more calls for now."),
    };
    wall_fault(refused, kind(refused), message)
}

fn kind(refused: &limit::Refused) -> FaultKind {
    if refused.reason == Reason::Away {
        return FaultKind::Unavailable;
    }
    let span = refused.wall.as_ref().and_then(|wall| wall.quota.span_ms());
    match span {
        Some(span) if span >= QUOTA_FROM_MS => FaultKind::QuotaExhausted,
        _ => FaultKind::RateLimited,
    }
}

fn unreserved(system: &str, refused: &limit::Refused) -> Fault {
    let (wall, limit) = (refused.wall.as_ref().map_or("", |wall| &wall.name), refused.limit);
    let (kind, what) = match refused.reason {
        Reason::TooLarge => {
            let most = (limit * MOST_BOOKED_PERCENT / 100).max(1);
            let what = format!("at most {most} calls can be reserved of the limit {wall} of `{system}`");
            (FaultKind::InvalidArguments, what)
        }
        Reason::Overloaded => {
            (FaultKind::Overloaded, format!("there are as many reservations at `{system}` as there may be"))
        }
        Reason::Reserving | Reason::Away => {
            (FaultKind::Unavailable, format!("the store that keeps the limits of `{system}` does not answer"))
        }
        Reason::Booked => (
            kind(refused),
            format!("as much of the limit {wall} of `{system}` as may be is reserved already"),
        ),
        _ => (kind(refused), format!("too little is left of the limit {wall} of `{system}`")),
    };
    wall_fault(refused, kind, format!("Nothing was reserved: {what}."))
}

fn wall_fault(refused: &limit::Refused, kind: FaultKind, message: String) -> Fault {
    let mut fault = Fault::new(kind, message);
    fault.limit = refused.wall.as_ref().map(|wall| limit(&wall.name, refused.used, refused.limit));
    fault
}

fn limit(name: &str, used: u64, limit: u64) -> BindingLimit {
    BindingLimit { name: name.to_owned(), used, limit }
}

fn retry_after(fault: Fault, wait: Option<Duration>) -> Fault {
    match wait {
        Some(wait) => fault.with_retry_after(wait),
        None => fault,
    }
}
