//! `log`: lines for the operator, bounded and scrubbed.

use super::Guest;
use crate::connector::bindings::log::{self, Level};

/// What a line costs beside its text: time, level, connector and trace stand around it, so that an empty one is not free.
const LINE_BYTES: usize = 128;

/// How many bytes of log one run may still write.
pub(super) struct LogBudget(usize);

impl LogBudget {
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Charges a line. How much of its text may be written, and whether that is the last; none if nothing may.
    fn charge<'a>(&mut self, text: &'a str) -> Option<(&'a str, bool)> {
        if self.0 == 0 {
            return None;
        }
        let room = self.0.saturating_sub(LINE_BYTES);
        self.0 = room.saturating_sub(text.len());
        Some((text.get(..text.floor_char_boundary(room)).unwrap_or_default(), self.0 == 0))
    }
}

impl log::Host for Guest {
    async fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let run = &mut self.run;
        let Some((text, is_last)) = run.log_budget.charge(&message) else { return Ok(()) };
        let mut line = run.scrub(text);
        if is_last {
            line.push_str(" … [this call has written all the log text that it may]");
        }
        let (connector, trace) = (&run.runtime.connector, run.scope.trace.trace_id());
        match level {
            Level::Debug => tracing::debug!(target: "ferrata::guest", %connector, %trace, "{line}"),
            Level::Info => tracing::info!(target: "ferrata::guest", %connector, %trace, "{line}"),
            Level::Warn => tracing::warn!(target: "ferrata::guest", %connector, %trace, "{line}"),
            Level::Error => tracing::error!(target: "ferrata::guest", %connector, %trace, "{line}"),
        }
        Ok(())
    }
}

impl super::Run {
    /// Without the secrets that this connector is configured with, and without control characters.
    pub fn scrub(&self, text: &str) -> String {
        let clean = self
            .runtime
            .egress
            .credentials
            .scrubber(self.scope.caller.subject.as_ref())
            .scrub(text.as_bytes());
        let clean = clean.map_or_else(|| text.to_owned(), |c| String::from_utf8_lossy(&c).into_owned());
        clean.replace(|c: char| c.is_control(), " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_use_up_the_budget_too() {
        let mut budget = LogBudget::new(10 * LINE_BYTES);
        let lines: Vec<_> = std::iter::from_fn(|| budget.charge("")).collect();
        assert_eq!(lines.len(), 10);
        assert!(lines[..9].iter().all(|(_, is_last)| !is_last) && lines[9].1);
    }

    #[test]
    fn the_last_line_is_cut_to_what_is_left() {
        let mut budget = LogBudget::new(LINE_BYTES + 3);
        assert_eq!(budget.charge("aéé"), Some(("aé", true)));
        assert_eq!(budget.charge("b"), None);
    }
}
