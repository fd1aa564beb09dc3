//! Which statements may be asked for at all, by their first word.
//!
//! This is for clear sentences and a second line of defence. What holds is the server's: the extended protocol takes
//! one statement, reads run in a read-only transaction that is rolled back, and a read that returns no columns is
//! refused before it runs.

use super::MAX_STATEMENT_BYTES;
use super::types::Access;
use crate::fault::{Fault, FaultKind};

/// Where the statement stands in the import's request record.
pub(super) const PATH: &str = "/statement";

/// Statements about the session or the transaction, which are Ferrata's, and bulk transfer, which has another protocol.
const SESSION_WORDS: [&str; 23] = [
    "abort",
    "begin",
    "close",
    "commit",
    "copy",
    "deallocate",
    "declare",
    "discard",
    "end",
    "execute",
    "fetch",
    "listen",
    "load",
    "lock",
    "move",
    "prepare",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "start",
    "unlisten",
];

/// Statements that `EXPLAIN` takes and that can be asked for here.
const EXPLAINABLE_WORDS: [&str; 9] =
    ["select", "with", "values", "table", "insert", "update", "delete", "merge", "("];

/// Judges a statement before anything is sent. `priced` says that its cost will be estimated first.
pub(super) fn check(statement: &str, access: Access, priced: bool) -> Result<(), Fault> {
    let word = first_word(statement)?;
    if SESSION_WORDS.contains(&word.as_str()) {
        return Err(invalid(format!(
            "`{}` cannot be used here: each statement runs in a transaction and a session state of its own.",
            word.to_ascii_uppercase()
        )));
    }
    if access == Access::Read && priced && word != "show" && !EXPLAINABLE_WORDS.contains(&word.as_str()) {
        return Err(invalid(format!(
            "`{}` cannot be used here: its cost cannot be estimated before it runs. Use a SELECT; to see a plan, ask for \
             the explanation of the statement itself.",
            word.to_ascii_uppercase()
        )));
    }
    Ok(())
}

/// Whether `EXPLAIN` takes it.
pub(super) fn can_be_explained(statement: &str) -> bool {
    first_word(statement).is_ok_and(|word| EXPLAINABLE_WORDS.contains(&word.as_str()))
}

/// Judges a statement that is to be explained.
pub(super) fn check_explainable(statement: &str) -> Result<(), Fault> {
    let word = first_word(statement)?;
    if EXPLAINABLE_WORDS.contains(&word.as_str()) {
        return Ok(());
    }
    Err(invalid(format!(
        "`{}` cannot be explained: give the SELECT, INSERT, UPDATE, DELETE or MERGE itself, without EXPLAIN.",
        word.to_ascii_uppercase()
    )))
}

/// The first word in lower case, or the single character that stands there instead.
fn first_word(statement: &str) -> Result<String, Fault> {
    if statement.len() > MAX_STATEMENT_BYTES {
        return Err(invalid(format!("The statement is longer than {MAX_STATEMENT_BYTES} bytes.")));
    }
    if statement.contains('\0') {
        return Err(invalid("The statement holds a NUL character.".to_owned()));
    }
    let text = skip_blank(statement);
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    match (end, text.chars().next()) {
        (_, None) => Err(invalid("The statement is empty.".to_owned())),
        (0, Some(other)) => Ok(other.to_string()),
        _ => Ok(text[..end].to_ascii_lowercase()),
    }
}

/// Skips what PostgreSQL's lexer skips before a statement: white space, comments, and empty statements.
fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c', ';']);
        text = if let Some(comment) = text.strip_prefix("--") {
            comment.find(['\n', '\r']).map_or("", |end| &comment[end..])
        } else if text.starts_with("/*") {
            skip_block_comment(text)
        } else {
            return text;
        };
    }
}

/// `text` starts with `/*`; block comments nest.
fn skip_block_comment(text: &str) -> &str {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::InvalidArguments, message).with_path(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_found_behind_anything_that_the_server_skips() {
        for (statement, word) in [
            ("SELECT 1", "select"),
            (" \t\r\n\x0c\x0bselect(1)", "select"),
            (";;/* a /* nested */ comment; select */ -- line\r Commit", "commit"),
            ("--x\nEND;", "end"),
            ("(select 1)", "("),
            ("\"select\"", "\""),
            ("/*é*/select", "select"),
        ] {
            assert_eq!(first_word(statement).unwrap(), word, "{statement}");
        }
        for empty in ["", " ; ", "-- only a comment", "/* open", "/* /* */"] {
            assert!(first_word(empty).is_err(), "{empty}");
        }
    }

    #[test]
    fn an_explanation_cannot_be_smuggled_past_the_cost_check() {
        assert!(check("explain analyze select 1", Access::Read, false).is_ok());
        assert!(check("explain analyze select 1", Access::Read, true).is_err());
        assert!(check("show work_mem", Access::Read, true).is_ok());
        assert!(check_explainable("explain select 1").is_err());
        assert!(check_explainable("analyze select 1").is_err());
    }
}
