//! stub while the real one is built
mod settings;
mod types;
use crate::call::Deadline;
use crate::fault::Fault;
pub use settings::{Login, LoginSource, Resolver, SqlSettings, system_resolver};
use std::sync::Arc;
pub use types::{Access, Column, Query, Rows, StoppedBy, Value};
pub struct SqlUpstream;
impl SqlUpstream {
    pub fn new(_: impl Into<Arc<str>>, s: SqlSettings) -> Result<Self, Fault> {
        s.check()?;
        Ok(Self)
    }
    pub async fn query(&self, _: Query, _: Deadline) -> Result<Rows, Fault> {
        Err(Fault::internal("stub"))
    }
    pub async fn explain(&self, _: Query, _: Deadline) -> Result<String, Fault> {
        Err(Fault::internal("stub"))
    }
}
