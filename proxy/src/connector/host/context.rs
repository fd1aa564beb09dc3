//! `context`: what a call may know about itself.

use super::Guest;
use crate::connector::bindings::{context, types};

impl types::Host for Guest {}

impl context::Host for Guest {
    async fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.run.runtime.settings.clone())
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.run.scope.deadline.remaining().as_millis()).unwrap_or(u64::MAX))
    }

    async fn subject(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.run.scope.caller.subject.as_ref().map(|subject| subject.name().to_owned()))
    }

    async fn connector_name(&mut self) -> wasmtime::Result<String> {
        Ok(self.run.runtime.connector.to_string())
    }
}
