//! Faults across the border: a host's fault gets a ticket, and a guest that passes it on gets its full record back.

use super::Run;
use crate::connector::bindings::types::{self, FaultKind as Wire};
use crate::fault::{Fault, FaultKind, Outcome, quotable};

/// Most faults of the host's that one run can refer to later; the last place is used again.
const MAX_TICKETS: usize = 256;

/// Largest details of a guest's fault, in bytes; larger ones are left out.
const MAX_DETAILS_BYTES: usize = 8 << 10;

/// The member of `details` that holds an upstream's own words.
const UPSTREAM_SAID: &str = "upstream_said";

/// The host's faults of one run, by ticket.
#[derive(Default)]
pub struct FaultTickets(Vec<Fault>);

/// Converts faults for a guest and from a guest.
pub trait Tickets {
    /// As the guest sees it.
    fn guest_view(&mut self, fault: Fault) -> types::Fault;
    /// As the host reports it: its own record for a ticket, else what the guest may say.
    fn host_view(&self, fault: types::Fault) -> Fault;
}

impl Tickets for Run {
    fn guest_view(&mut self, fault: Fault) -> types::Fault {
        let tickets = &mut self.tickets.0;
        let wire = types::Fault {
            kind: to_wire(fault.kind),
            message: fault.message.clone(),
            code: fault.code.clone(),
            path: fault.path.clone(),
            retry_after_ms: fault.retry_after_secs().map(|s| s.saturating_mul(1000)),
            ticket: Some(tickets.len().min(MAX_TICKETS - 1) as u64),
            details: fault.details.as_ref().and_then(|d| serde_json::to_string(d).ok()),
        };
        if tickets.len() == MAX_TICKETS {
            tickets.pop();
        }
        tickets.push(fault);
        wire
    }

    fn host_view(&self, fault: types::Fault) -> Fault {
        let ticket = fault.ticket.and_then(|t| usize::try_from(t).ok());
        if let Some(own) = ticket.and_then(|t| self.tickets.0.get(t)) {
            return own.clone();
        }
        let kind = from_wire(fault.kind);
        if !kind.is_guests_to_say() {
            let message = format!(
                "The connector `{}` reported `{}`, which only Ferrata can know.",
                self.runtime.connector,
                kind.traits().label
            );
            return Fault::new(FaultKind::ConnectorFailed, message).with_upstream_text(&fault.message);
        }
        self.guests_own(kind, fault)
    }
}

impl Run {
    fn guests_own(&self, kind: FaultKind, fault: types::Fault) -> Fault {
        let mut own = Fault::new(kind, quotable(&fault.message)).with_outcome(match self.scope.attempts() {
            0 => Outcome::NotSent,
            _ => Outcome::Rejected,
        });
        // Often the upstream's text, whatever the connector makes of it.
        (own.code, own.path) = (fault.code.as_deref().map(quotable), fault.path.as_deref().map(quotable));
        let details = fault.details.filter(|d| d.len() <= MAX_DETAILS_BYTES);
        let details = details.and_then(|d| serde_json::from_str(&d).ok());
        if let Some(serde_json::Value::Object(mut details)) = details {
            if let Some(serde_json::Value::String(said)) = details.remove(UPSTREAM_SAID) {
                own = own.with_upstream_text(&said);
            }
            own.details = (!details.is_empty()).then_some(details);
        }
        own
    }
}

macro_rules! same_names {
    ($($name:ident),+ $(,)?) => {
        fn to_wire(kind: FaultKind) -> Wire {
            match kind { $(FaultKind::$name => Wire::$name),+ }
        }

        fn from_wire(kind: Wire) -> FaultKind {
            match kind { $(Wire::$name => FaultKind::$name),+ }
        }
    };
}

same_names!(
    InvalidArguments,
    NotFound,
    Gone,
    Conflict,
    Ambiguous,
    Rejected,
    PermissionDenied,
    SchemaMismatch,
    CredentialDead,
    RateLimited,
    QuotaExhausted,
    Unavailable,
    DeadlineExceeded,
    Overloaded,
    OutcomeUnknown,
    ConnectorFailed,
    Internal,
);
