//! What is written down of every call, and what happens when it cannot be.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ByteSize;

/// One JSON line for each call, and for whatever else a connector is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Where the lines go.
    pub to: AuditSink,
    /// What happens while lines cannot be written, once the queue is full or the sink fails.
    #[serde(default)]
    pub on_failure: OnAuditFailure,
    #[serde(default)]
    pub queue: AuditQueue,
}

/// `stdout`, `{ file: … }` or `{ url: … }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AuditSink {
    Console(AuditConsole),
    File(AuditFile),
    Http(AuditHttp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditConsole {
    /// Standard output; standard error where a command answers on standard output (`ferrata stdio`, `ferrata call`).
    Stdout,
}

/// A file that is appended to. Once it is moved away or deleted, a new one is made in its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditFile {
    pub file: PathBuf,
}

/// A service that takes lines by POST (`application/x-ndjson`) and answers 2xx when it has them. After a failure the same lines are sent again:
/// `trace` and `span` together tell whether one is there already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditHttp {
    /// `https://…`; `http://…` too.
    pub url: String,
    /// File with a bearer token, read again for every request.
    #[serde(default)]
    pub token: Option<PathBuf>,
    /// PEM file of certificate authorities that are trusted beside the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAuditFailure {
    /// New calls are refused until lines can be written again.
    #[default]
    Stop,
    /// Calls go on; what no longer fits into the queue is dropped and counted.
    Drop,
}

/// Lines that wait to be written, and calls under way that will need one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQueue {
    #[schemars(range(min = 1, max = 1_000_000))]
    pub items: usize,
    pub bytes: ByteSize,
}

impl Default for AuditQueue {
    fn default() -> Self {
        // Some seconds of the busiest sidecar.
        Self { items: 20_000, bytes: ByteSize::mebibytes(32) }
    }
}
