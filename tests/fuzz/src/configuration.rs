//! The operator's file.

use std::path::Path;

use arbitrary::Unstructured;
use ferrata::config::{ConfigError, Mistake, parse, yaml};
use serde_json::Value;

/// A file without a mistake, in block style: a line may be added before each of its lines.
const GOOD: &str = include_str!("good.yaml");

pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((0, rest)) => drop(added(&mut Unstructured::new(rest))),
        Some((1, rest)) => json(rest),
        _ => any(&String::from_utf8_lossy(input)),
    }
}

/// Whatever it is, it is read or refused, and each mistake has a place.
fn any(text: &str) {
    match parse(text, Path::new("ferrata.yaml")) {
        Ok(_) => {}
        Err(ConfigError::Mistakes { mistakes, .. }) => {
            assert!(!mistakes.is_empty());
            mistakes.iter().for_each(|mistake| has_a_place(mistake, text));
        }
        Err(ConfigError::Syntax { reason, .. }) => assert!(!reason.is_empty()),
        Err(error) => panic!("{error}"),
    }
}

fn has_a_place(mistake: &Mistake, text: &str) {
    let Mistake { line, column, message, .. } = mistake;
    assert!(!message.is_empty());
    // YAML has more line breaks than Rust's `lines`, and a document may end before its text does.
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    let widest = lines.clone().map(|line| line.chars().count()).max().unwrap_or_default() + 1;
    assert!((1..=lines.count() as u64).contains(line), "{mistake:?}");
    assert!((1..=widest as u64).contains(column), "{mistake:?}");
}

/// A key that means nothing is a mistake right where it stands; or, where several forms are possible, what it stands in has none of them.
fn added(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let lines: Vec<_> = GOOD.lines().collect();
    let at = input.choose_index(lines.len())?;
    let key: String = (0..input.int_in_range(1..=8)?)
        .map(|_| input.choose(b"abcdefghijklmnopqrstuvwxyz0123456789-").map(|b| char::from(*b)))
        .collect::<Result<_, _>>()?;
    let indent_of = |line: &str| line.len() - line.trim_start().len();
    let indent = indent_of(lines[at]);
    let added = format!("{}zz{key}: [[]]", " ".repeat(indent));
    let text = [&lines[..at], &[added.as_str()], &lines[at..]].concat().join("\n");
    let Err(ConfigError::Mistakes { mistakes, .. }) = parse(&text, Path::new("ferrata.yaml")) else {
        panic!("nothing is said about {text}");
    };
    let around = (0..at).rev().find(|line| indent_of(lines[*line]) < indent);
    let places =
        [Some(at), around].map(|line| line.map(|line| (line as u64 + 1, indent_of(lines[line]) as u64 + 1)));
    assert!(
        mistakes.iter().any(|m| places.contains(&Some((m.line, m.column)))),
        "none of {places:?} in {mistakes:?} of {text}"
    );
    Ok(())
}

/// JSON is YAML: what is read is what was written.
fn json(text: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    let written = value.to_string();
    if let Ok(tree) = yaml::parse(&written) {
        assert_eq!(tree.to_value(), value, "{written}");
    }
}
