//! From what the driver and the server say to faults, and to what follows for the session.
//!
//! Text that the server wrote is quoted and scrubbed of known secrets; which kind a code has stands in `sqlstate`.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value as Json};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

use super::super::scrub::Scrubber;
use super::types::Access;
use super::{guard, sqlstate, statement};
use crate::credential::SecretValue;
use crate::fault::{Fault, FaultKind, Outcome, quotable};

/// How many passwords are remembered for scrubbing: the one in use and the one before a rotation.
const KNOWN_SECRETS: usize = 2;

/// Why a query got no answer, for the one who may try again.
#[derive(Debug)]
pub(super) enum Failure {
    /// The session was dead before anything of the caller's had been executed.
    Stale(Fault),
    Final(Fault),
}

impl Failure {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::Stale(fault) | Self::Final(fault) => fault,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Final(fault)
    }
}

/// What a session is good for after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// A rollback makes it as good as new.
    Good,
    /// Nobody knows its state.
    Broken,
    /// The connection, or the server's role, is gone; other sessions will be no better.
    Moved,
}

/// A fault, and what it means for the session that it came from.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) fault: Fault,
    pub(super) health: Health,
}

impl Trouble {
    /// The caller's or the answer's fault; the session is fine.
    pub(super) fn plain(fault: Fault) -> Self {
        Self { fault, health: Health::Good }
    }

    pub(super) fn broken(fault: Fault) -> Self {
        Self { fault, health: Health::Broken }
    }
}

/// Why a connection ended, once it has.
pub(super) type End = Arc<OnceLock<tokio_postgres::Error>>;

/// Makes the faults of one database.
pub(super) struct Reporter {
    pub(super) name: Arc<str>,
    known: Mutex<Vec<SecretValue>>,
    superuser_said: AtomicBool,
}

impl Reporter {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, known: Mutex::default(), superuser_said: AtomicBool::new(false) }
    }

    /// Whether this is the first time, so that one line says it and not one per connection.
    pub(super) fn warns_of_superuser(&self) -> bool {
        !self.superuser_said.swap(true, Ordering::Relaxed)
    }

    /// Remembers a password, so that it is recognised in what comes back.
    pub(super) fn learn(&self, secret: &[u8]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|one| one.expose() == secret) {
            known.truncate(KNOWN_SECRETS - 1);
            known.insert(0, SecretValue::new(secret.to_vec()));
        }
    }

    /// A fault whose message starts with the database's name.
    pub(super) fn fault(&self, kind: FaultKind, message: impl std::fmt::Display) -> Fault {
        Fault::new(kind, format!("{}: {message}", self.name))
    }

    /// What an error of a running query means. `end` is why the connection ended, if it did: the query itself is told no
    /// more than that nobody answers any longer.
    pub(super) fn trouble(&self, error: &tokio_postgres::Error, end: &End, access: Access) -> Trouble {
        let error = end.get().filter(|_| error.is_closed()).unwrap_or(error);
        match error.as_db_error() {
            Some(db) => self.answered(db, access),
            None => self.unanswered(error),
        }
    }

    /// The server said no.
    fn answered(&self, db: &DbError, access: Access) -> Trouble {
        let code = db.code().code();
        let writing = access == Access::Write;
        let fatal = matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        let health = if sqlstate::has_moved(code, writing) {
            Health::Moved
        } else if fatal || sqlstate::has_lost_statements(code) {
            Health::Broken
        } else {
            Health::Good
        };
        Trouble { fault: self.server_fault(db, writing), health }
    }

    /// A fault from an error report of the server.
    pub(super) fn server_fault(&self, db: &DbError, writing: bool) -> Fault {
        let code = db.code().code();
        let (mut kind, mut sentence) = sqlstate::meaning(code);
        if code == "42601" && db.routine() == Some("exec_parse_message") {
            sentence = "Only one statement can be run at a time.";
        } else if code == "25006" && writing {
            kind = FaultKind::Unavailable;
            sentence = "The server answers as a read-only replica does; a failover may be under way. Nothing was changed.";
        }
        let said = match db.hint() {
            Some(hint) => format!("{} ({hint})", db.message()),
            None => db.message().to_owned(),
        };
        let fault = self.fault(kind, sentence).with_code(code).with_outcome(Outcome::Rejected);
        with_place(fault.with_upstream_text(&self.scrub(&said)), db)
    }

    /// Nobody answered, or not in a way that makes sense.
    fn unanswered(&self, error: &tokio_postgres::Error) -> Trouble {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        if let Some(bound) = cause.and_then(guard::exceeded) {
            return Trouble::broken(self.too_wide(bound));
        }
        if error.is_closed() || cause.is_some() {
            let fault =
                self.fault(FaultKind::Unavailable, "the connection was lost.").with_outcome(Outcome::Unknown);
            return Trouble { fault, health: Health::Moved };
        }
        tracing::warn!(database = %self.name, error = self.describe(error), "the server's answer was not understood");
        let message =
            "the server answered in a way that is not understood here (a statement such as COPY does that).";
        Trouble::broken(self.fault(FaultKind::SchemaMismatch, message).with_outcome(Outcome::Unknown))
    }

    fn too_wide(&self, bound: usize) -> Fault {
        let message = format!("one row is larger than {bound} bytes: select fewer or shorter columns.");
        self.fault(FaultKind::Rejected, message).with_code("row_too_large").with_outcome(Outcome::Rejected)
    }

    /// An error with its causes.
    pub(super) fn describe(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let mut text = error.to_string();
        for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
            text = format!("{text}: {cause}");
        }
        self.scrub(&text)
    }

    /// `text` without the passwords that this database was logged in to with.
    pub(super) fn scrub(&self, text: &str) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scrubber = Scrubber::default();
        known.iter().for_each(|secret| scrubber.add(secret));
        let scrubbed = scrubber.scrub(text.as_bytes());
        scrubbed.map_or_else(|| text.to_owned(), |clean| String::from_utf8_lossy(&clean).into_owned())
    }
}

/// Says where in the statement, or in which parameter, the mistake is, and which constraint was in the way.
fn with_place(mut fault: Fault, db: &DbError) -> Fault {
    let mut details = Map::new();
    if let Some(ErrorPosition::Original(position)) = db.position() {
        details.insert("position".to_owned(), Json::from(*position));
    }
    for (name, value) in [("table", db.table()), ("column", db.column()), ("constraint", db.constraint())] {
        if let Some(value) = value {
            details.insert(name.to_owned(), Json::from(quotable(value)));
        }
    }
    if fault.kind == FaultKind::InvalidArguments {
        let parameter = db.where_().and_then(parameter_of);
        fault.path = Some(parameter.map_or_else(|| statement::PATH.to_owned(), super::encode::path));
        if let Some(index) = parameter {
            fault.message = format!("{} It is parameter ${}.", fault.message, index + 1);
        }
    }
    if !details.is_empty() {
        fault.details = Some(details);
    }
    fault
}

/// The index of the parameter that a server's context line is about ("unnamed portal parameter $2 = …").
fn parameter_of(context: &str) -> Option<usize> {
    let is_about_one = |line: &&str| line.starts_with("portal ") || line.starts_with("unnamed portal ");
    let (_, rest) = context.lines().find(is_about_one)?.split_once("parameter $")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_passwords_are_scrubbed() {
        let reporter = Reporter::new("db".into());
        for password in ["first-secret", "second-secret", "third-secret", "third-secret"] {
            reporter.learn(password.as_bytes());
        }
        assert_eq!(reporter.scrub("third-secret second-secret"), "[redacted] [redacted]");
        assert_eq!(reporter.scrub("first-secret"), "first-secret");
    }

    #[test]
    fn a_parameter_is_found_in_the_servers_context() {
        assert_eq!(parameter_of("portal \"p1\" parameter $2 = 'x'"), Some(1));
        assert_eq!(parameter_of("JSON data, line 1: {\nunnamed portal parameter $12"), Some(11));
        assert_eq!(parameter_of("PL/pgSQL function f() line 1\nparameter $1"), None);
    }
}
