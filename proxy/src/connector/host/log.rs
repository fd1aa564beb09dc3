//! `log`: lines for the operator, bounded and scrubbed.

use super::Guest;
use crate::connector::bindings::log::{self, Level};

impl log::Host for Guest {
    async fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let run = &mut self.run;
        if run.log_budget == 0 {
            return Ok(());
        }
        let room = run.log_budget;
        run.log_budget = room.saturating_sub(message.len());
        let mut line = run.scrub(message.get(..message.floor_char_boundary(room)).unwrap_or_default());
        if run.log_budget == 0 {
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
        let clean = self.runtime.egress.credentials.scrubber().scrub(text.as_bytes());
        let clean = clean.map_or_else(|| text.to_owned(), |c| String::from_utf8_lossy(&c).into_owned());
        clean.replace(|c: char| c.is_control(), " ")
    }
}
