//! The names of everything that is counted or timed, and what `/metrics` says of it.

use metrics::{Unit, describe_counter, describe_histogram};

pub const CALLS: &str = "ferrata_calls_total";
pub const CALL_SECONDS: &str = "ferrata_call_seconds";
pub const COALESCED: &str = "ferrata_coalesced_calls_total";
pub const REQUESTS: &str = "ferrata_requests_total";
pub const REQUEST_SECONDS: &str = "ferrata_request_seconds";
pub const EXCHANGES: &str = "ferrata_exchanges_total";
pub const VERDICTS: &str = "ferrata_verdicts_total";
pub const GUEST_REFUSALS: &str = "ferrata_guest_refusals_total";
pub const REDACTIONS: &str = "ferrata_redactions_total";
pub const GUEST_TRAPS: &str = "ferrata_guest_traps_total";

/// Tells the recorder what the names mean. After it was installed.
pub fn describe() {
    describe_counter!(
        CALLS,
        "Tool calls by tool and outcome: `ok`, `stale` or `fallback` for a substitute, or the kind of the fault."
    );
    describe_counter!(COALESCED, "Reads that joined the same one under way, by tool.");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "How long tool calls took, waiting included, by tool.");
    describe_counter!(
        REQUESTS,
        "What connectors were asked besides tool calls, by MCP method, name as listed, and outcome."
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "How long that took, by MCP method and name as listed."
    );
    describe_counter!(
        EXCHANGES,
        "HTTP requests sent to upstreams, by their answers' status; `none` is no answer."
    );
    describe_counter!(VERDICTS, "What connectors said that upstreams' answers mean.");
    describe_counter!(GUEST_REFUSALS, "Requests of connectors that broke a rule and were not sent, by rule.");
    describe_counter!(REDACTIONS, "Bodies and headers of answers that a secret was taken out of.");
    describe_counter!(GUEST_TRAPS, "Runs of connectors that ended without an answer.");
}
