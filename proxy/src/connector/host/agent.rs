//! `agent`: what the agent's side can do while a call runs.

use super::Guest;
use crate::call::MAX_MESSAGE_BYTES;
use crate::connector::bindings::agent;

impl agent::Host for Guest {
    async fn can_bring(&mut self) -> wasmtime::Result<String> {
        Ok(self.run.client.can_bring.unwrap_or_default().to_json().to_string())
    }

    async fn report_progress(
        &mut self,
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
    ) -> wasmtime::Result<()> {
        // Taken out for as long as the message is written by what it is a part of.
        let Some(mut reporter) = self.run.client.reporter.take() else { return Ok(()) };
        reporter.report(progress, total, || {
            let message = message?;
            let cut = message.floor_char_boundary(MAX_MESSAGE_BYTES);
            Some(self.run.scrub(message.get(..cut).unwrap_or_default()))
        });
        self.run.client.reporter = Some(reporter);
        Ok(())
    }
}
