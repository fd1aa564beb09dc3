//! How the demonstration looks: one column of scenes, calm, with colour only on a terminal.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use serde_json::Value;

use crate::stage::Stage;

/// Text is broken at this column.
const WIDTH: usize = 100;
/// What belongs to a scene stands to the right of its number.
const INDENT: &str = "    ";
/// Longest value of a table's cell.
const MAX_CELL: usize = 44;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Writes to standard output and counts what was not as expected.
#[derive(Debug)]
pub struct Page {
    colour: bool,
    scenes: u32,
    unexpected: u32,
}

impl Page {
    pub fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, scenes: 0, unexpected: 0 }
    }

    /// How many outcomes were not the expected ones.
    pub fn unexpected(&self) -> u32 {
        self.unexpected
    }

    pub fn title(&self, name: &str, about: &str) {
        println!("\n{}  {}\n", self.paint(BOLD, name), self.paint(DIM, about));
    }

    /// One line about what was prepared.
    pub fn prepared(&self, what: &str, how: impl Display) {
        println!("{INDENT}{} {how}", self.paint(DIM, &format!("{what:<11}")));
    }

    /// The heading of a scene: what the agent wants, and why it is hard.
    pub fn scene(&mut self, says: &str) {
        self.scenes += 1;
        println!("\n{} {}", self.paint(BOLD, &format!("{:>2} ", self.scenes)), self.paint(BOLD, says));
    }

    /// A call as the agent makes it.
    pub fn call(&self, tool: &str, arguments: &Value) {
        let shown = if arguments.as_object().is_some_and(|a| a.is_empty()) {
            String::new()
        } else {
            arguments.to_string()
        };
        self.wrapped(&format!("{tool} {shown}"), |text| self.paint(CYAN, text));
    }

    /// How a call ended, and how long it took.
    pub fn outcome(&self, kind: &str, took: Duration) {
        let mark = if kind == "ok" { self.paint(GREEN, "ok") } else { self.paint(YELLOW, kind) };
        println!("{INDENT}{mark} {}", self.paint(DIM, &format!("after {} ms", took.as_millis())));
    }

    /// What the agent got to read, or a remark on it.
    pub fn text(&self, text: &str) {
        self.wrapped(text, str::to_owned);
    }

    pub fn remark(&self, text: &str) {
        self.wrapped(text, |text| self.paint(DIM, text));
    }

    pub fn mismatch(&mut self, expected: &str, found: &str) {
        self.unexpected += 1;
        self.wrapped(&format!("NOT AS EXPECTED. Expected {expected}; it was {found}"), |text| {
            self.paint(RED, text)
        });
    }

    pub fn skipped(&self, what: &str, why: &str) {
        println!("\n{} {what}: {why}", self.paint(YELLOW, "skipped"));
    }

    /// Rows under their column names.
    pub fn table(&self, columns: &[String], rows: &[Vec<String>]) {
        let width = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).chain(columns.get(at));
            cells.map(|cell| cell.chars().count().min(MAX_CELL)).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        println!("{INDENT}{}", self.paint(DIM, &aligned(columns, &widths)));
        for row in rows {
            println!("{INDENT}{}", aligned(row, &widths));
        }
    }

    pub fn closing(&self, stage: &Stage) {
        let all = match self.unexpected {
            0 => self.paint(GREEN, "Every outcome was the expected one."),
            n => self.paint(RED, &format!("{n} outcomes were not the expected ones.")),
        };
        println!("\n{all}");
        for (what, why) in stage.lacks() {
            self.skipped(what, why);
        }
    }

    /// Where to look, while everything stays up.
    pub fn stay(&self, stage: &Stage) {
        println!("\n{}", self.paint(BOLD, "It all stays up until Ctrl-C:"));
        for (what, address) in stage.addresses() {
            self.prepared(what, address);
        }
    }

    fn wrapped(&self, text: &str, paint: impl Fn(&str) -> String) {
        for line in wrap(text, WIDTH - INDENT.len()) {
            println!("{INDENT}{}", paint(&line));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Cells, cut and padded.
fn aligned(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| {
        let cut: String = cell.chars().take(MAX_CELL).collect();
        format!("{cut:<width$}")
    });
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let (last, room) = match lines.last_mut() {
            Some(line) if line.is_empty() => (line, true),
            Some(line) => {
                let room = line.chars().count() + 1 + word.chars().count() <= width;
                (line, room)
            }
            None => break,
        };
        if room && !last.is_empty() {
            last.push(' ');
        }
        if room { last.push_str(word) } else { lines.push(word.to_owned()) }
    }
    lines
}
