//! What PostgreSQL's error codes mean in Ferrata's words. The one table.

use crate::fault::FaultKind;

/// The kind of a SQLSTATE, and a sentence that holds for every error of that kind of cause.
///
/// Five-character codes first, then their classes (the first two characters).
pub(super) fn meaning(code: &str) -> (FaultKind, &'static str) {
    use FaultKind as K;
    match code {
        "22001" => (K::InvalidArguments, "A value is longer than its column allows."),
        "22003" => (K::InvalidArguments, "A number is out of its type's range."),
        "22012" => (K::InvalidArguments, "The statement divides by zero."),
        "22P02" => (K::InvalidArguments, "A value cannot be read as the type that the statement wants."),
        "23502" => (K::InvalidArguments, "A column that must have a value was given none."),
        "23001" | "23503" => (K::Conflict, "The change contradicts rows that refer to each other."),
        "23505" => (K::Conflict, "A row with this key exists already."),
        "23P01" => (K::Conflict, "The change collides with a row that exists already."),
        "25006" => (
            K::PermissionDenied,
            "This runs in a read-only transaction, and the statement would change something.",
        ),
        "25P03" | "25P04" => {
            (K::DeadlineExceeded, "The transaction took too long and was ended by the server.")
        }
        "28P01" => (K::CredentialDead, "The database refused the password."),
        "3D000" => (K::Unavailable, "The server has no database of the configured name."),
        "40001" | "40P01" => (
            K::Conflict,
            "The statement collided with another transaction and was undone; it may be repeated.",
        ),
        "40003" => (K::OutcomeUnknown, "The server does not know whether the statement was completed."),
        "42501" => {
            (K::PermissionDenied, "The database does not allow this to the user that Ferrata logs in as.")
        }
        "42601" => (K::InvalidArguments, "The statement is not valid SQL."),
        "42703" => (K::InvalidArguments, "The statement names a column that does not exist."),
        "42883" => (
            K::InvalidArguments,
            "The statement uses a function or operator that does not exist for these types.",
        ),
        "42P01" => (K::InvalidArguments, "The statement names a table or view that does not exist."),
        "42P18" => {
            (K::InvalidArguments, "The type of a parameter cannot be told: write a cast, as in `$1::text`.")
        }
        "53300" => (K::Unavailable, "The database has no connection left."),
        "55006" => (K::Conflict, "Something that the statement needs is in use."),
        "55P03" => (K::Unavailable, "The statement waited too long for a lock that somebody else holds."),
        "57014" => (
            K::DeadlineExceeded,
            "The statement ran too long and was stopped: narrow it, or filter by an indexed column.",
        ),
        "57P01" | "57P02" | "57P03" => (K::Unavailable, "The database is shutting down or starting up."),
        "57P05" => (K::Unavailable, "The database closed an idle session."),
        "P0001" => (K::Rejected, "A rule inside the database refused this."),
        _ => class_meaning(code.get(..2).unwrap_or_default()),
    }
}

fn class_meaning(class: &str) -> (FaultKind, &'static str) {
    use FaultKind as K;
    match class {
        "08" | "57" | "58" => (K::Unavailable, "The database is not available."),
        "0A" => (K::InvalidArguments, "The statement uses something that this server does not support here."),
        "0L" | "0P" => {
            (K::PermissionDenied, "The database does not allow this to the user that Ferrata logs in as.")
        }
        "21" | "22" => (K::InvalidArguments, "A value does not fit what the statement does with it."),
        "23" | "27" | "44" => (K::Rejected, "A rule of the table refused the change."),
        "25" | "26" | "2D" | "34" | "3B" => {
            (K::InvalidArguments, "The statement cannot run inside a transaction of its own.")
        }
        "28" => (K::PermissionDenied, "The database does not let the configured user log in."),
        "2B" | "3F" | "42" | "54" => (K::InvalidArguments, "The statement is not valid for this database."),
        "40" => (K::Conflict, "The statement collided with another transaction and was undone."),
        "53" => (K::Unavailable, "The database has run out of a resource."),
        "55" => (K::Conflict, "What the statement needs is not in the state that it needs."),
        "HV" => (K::Unavailable, "A database behind this database failed."),
        "XX" => (K::Unavailable, "The database failed inside."),
        _ => (K::Rejected, "The database refused the statement."),
    }
}

/// Whether a code says that this server no longer does what it was connected to for, so that every session to it is
/// suspect: it shuts down, crashed, is starting, lost its connections, or answers a write as a replica does.
pub(super) fn has_moved(code: &str, writing: bool) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03") || code.starts_with("08") || (writing && code == "25006")
}

/// Whether a code says that the session's prepared statements are not what the driver thinks they are.
pub(super) fn has_lost_statements(code: &str) -> bool {
    matches!(code, "26000" | "42P05")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_classes_and_everything_has_a_kind() {
        for (code, kind) in [
            ("42501", FaultKind::PermissionDenied),
            ("42P01", FaultKind::InvalidArguments),
            ("42P07", FaultKind::InvalidArguments),
            ("23505", FaultKind::Conflict),
            ("23514", FaultKind::Rejected),
            ("53200", FaultKind::Unavailable),
            ("28000", FaultKind::PermissionDenied),
            ("28P01", FaultKind::CredentialDead),
            ("22007", FaultKind::InvalidArguments),
            ("ZZ999", FaultKind::Rejected),
            ("", FaultKind::Rejected),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_read_only_answer_moves_only_writers() {
        assert!(has_moved("25006", true) && !has_moved("25006", false));
        assert!(has_moved("57P01", false) && has_moved("08006", false) && !has_moved("57014", false));
    }
}
