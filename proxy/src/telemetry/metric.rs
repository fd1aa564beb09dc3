//! The names of everything that is counted or timed, and what `/metrics` says of it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub const CALLS: &str = "ferrata_calls_total";
pub const CALL_SECONDS: &str = "ferrata_call_seconds";
pub const COALESCED: &str = "ferrata_coalesced_calls_total";
pub const REQUESTS: &str = "ferrata_requests_total";
pub const REQUEST_SECONDS: &str = "ferrata_request_seconds";
pub const BATCH_JOINS: &str = "ferrata_batch_joins_total";
pub const BATCH_CALLS: &str = "ferrata_batch_calls";
pub const UNAUTHORIZED: &str = "ferrata_unauthorized_total";
pub const REFUSED_MESSAGES: &str = "ferrata_refused_messages_total";
pub const AUDIT_LINES: &str = "ferrata_audit_lines_total";
pub const AUDIT_FAILING: &str = "ferrata_audit_failing";
pub const AUDIT_REFUSALS: &str = "ferrata_audit_refusals_total";
pub const EXCHANGES: &str = "ferrata_exchanges_total";
pub const VERDICTS: &str = "ferrata_verdicts_total";
pub const GUEST_REFUSALS: &str = "ferrata_guest_refusals_total";
pub const REDACTIONS: &str = "ferrata_redactions_total";
pub const GUEST_TRAPS: &str = "ferrata_guest_traps_total";
pub const REFUSALS: &str = "ferrata_refusals_total";
pub const RETRIES: &str = "ferrata_retries_total";
pub const THROTTLES: &str = "ferrata_throttles_total";
pub const WALL_USED: &str = "ferrata_wall_used";
pub const WALL_LIMIT: &str = "ferrata_wall_limit";
pub const WALL_OBSERVED: &str = "ferrata_wall_would_have_refused_total";
pub const POLICY_OBSERVED: &str = "ferrata_policy_would_have_refused_total";
pub const BREAKER_STATE: &str = "ferrata_breaker_state";
pub const WAITING: &str = "ferrata_waiting_requests";
pub const UNDER_WAY: &str = "ferrata_requests_under_way";
pub const CREDENTIAL_REFRESHES: &str = "ferrata_credential_refreshes_total";
pub const CREDENTIAL_ALARMS: &str = "ferrata_credential_alarms_total";
pub const CREDENTIAL_LEFT: &str = "ferrata_credential_seconds_left";
pub const CREDENTIAL_REFRESH_LEFT: &str = "ferrata_credential_refresh_token_seconds_left";
pub const CREDENTIAL_DEAD: &str = "ferrata_credential_dead";

/// Tells the recorder what the names mean. After it was installed.
pub fn describe() {
    describe_counter!(
        CALLS,
        "Tool calls by tool and outcome: `ok`, `stale` or `fallback` for a substitute, `input_required` where somebody is asked first, `cancelled` where the agent went away, or the kind of the fault."
    );
    describe_counter!(BATCH_JOINS, "Calls that joined others that waited for the same permit, by tool.");
    describe_histogram!(BATCH_CALLS, "Calls that travelled as one, by tool; only of tools that batch.");
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
    describe_counter!(UNAUTHORIZED, "Requests of callers that are not known, by reason.");
    describe_counter!(
        REFUSED_MESSAGES,
        "What agents sent that was turned away as it stood, by the door and before any connector, by reason: `malformed`, `unauthorized`, `forbidden`, `not_found`, `method`, `not_acceptable`, `not_json`, `too_large`, `too_slow`, `overloaded`."
    );
    describe_counter!(AUDIT_LINES, "Lines of the audit, by outcome: `written` or `dropped`.");
    describe_gauge!(AUDIT_FAILING, "1 while the audit cannot be written.");
    describe_counter!(AUDIT_REFUSALS, "Calls that were refused because they could not be written down.");
    describe_counter!(
        EXCHANGES,
        "HTTP requests sent to upstreams, by their answers' status; `none` is no answer."
    );
    describe_counter!(VERDICTS, "What connectors said that upstreams' answers mean.");
    describe_counter!(GUEST_REFUSALS, "Requests of connectors that broke a rule and were not sent, by rule.");
    describe_counter!(REDACTIONS, "Bodies and headers of answers that a secret was taken out of.");
    describe_counter!(GUEST_TRAPS, "Runs of connectors that ended without an answer.");
    describe_counter!(REFUSALS, "Requests that no policy let out, by account, wall and reason.");
    describe_counter!(
        RETRIES,
        "Failed requests, by what was decided: `again`, or why they were not sent once more."
    );
    describe_counter!(
        THROTTLES,
        "Answers of upstreams that said \"too fast\"; our own refusals are not among them."
    );
    describe_gauge!(WALL_USED, "What counts against a wall now; of one per resource, the fullest.");
    describe_gauge!(WALL_LIMIT, "The limit that holds now, learned ones included.");
    describe_counter!(
        POLICY_OBSERVED,
        "What breaker, bulkhead or queue would have refused where they are only observed."
    );
    describe_counter!(WALL_OBSERVED, "What a wall would have refused that is only observed.");
    describe_gauge!(BREAKER_STATE, "0: traffic flows; 1: half open, a probe goes next; 2: open.");
    describe_gauge!(WAITING, "Requests that wait for a wall.");
    describe_gauge!(UNDER_WAY, "Requests that were sent and are not answered.");
    describe_counter!(CREDENTIAL_REFRESHES, "Logins and refreshes, by connector, credential and outcome.");
    describe_counter!(
        CREDENTIAL_ALARMS,
        "What somebody must know of a credential: `first_failure`, `half_left`, `quarter_left`, `tenth_left`, `lapsed`, `refresh_token_week`, `refresh_token_day`, `dead`, `rotation_due`, `record_lost`, `unreadable`, `refused`, `insufficient`, `users_failing`."
    );
    describe_gauge!(
        CREDENTIAL_LEFT,
        Unit::Seconds,
        "How much longer the access token in use lives; absent where nobody knows."
    );
    describe_gauge!(
        CREDENTIAL_REFRESH_LEFT,
        Unit::Seconds,
        "How much longer the refresh token lives; absent where nobody knows."
    );
    describe_gauge!(CREDENTIAL_DEAD, "1: somebody must consent again; 0 otherwise.");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a metric's name begins with.
    const PREFIX: &str = "ferrata_";

    /// Is named like one.
    const OWN_TOOL: &str = "ferrata_reserve";

    const README: &str = include_str!("../../../README.md");

    /// What stands between each two of those marks, in pairs, and is a metric's name, without its labels.
    fn names(text: &str, mark: char) -> BTreeSet<&str> {
        let quoted = text.split(mark).skip(1).step_by(2).filter(|quoted| quoted.starts_with(PREFIX));
        let names = quoted.map(|quoted| quoted.split('{').next().unwrap_or_default());
        names.filter(|name| *name != OWN_TOOL).collect()
    }

    /// Everything that the file above names, and what it says of it.
    fn in_code() -> (BTreeSet<&'static str>, &'static str) {
        let (definitions, rest) = include_str!("metric.rs").split_once("pub fn describe").unwrap();
        (names(definitions, '"'), rest.split("#[cfg(test)]").next().unwrap())
    }

    #[test]
    fn the_readme_lists_each_metric_and_no_other() {
        let (_, listed) = README.split_once("- **Metrics** (").unwrap();
        let (listed, _) = listed.split_once("\n- **").unwrap();
        let known = in_code().0;
        assert!(known.contains(CALLS) && known.contains(CREDENTIAL_DEAD));
        assert_eq!(names(listed, '`'), known);
        let elsewhere: Vec<_> = names(README, '`').difference(&known).copied().collect();
        assert_eq!(elsewhere, [""; 0]);
    }

    #[test]
    fn each_metric_is_described() {
        let (known, described) = in_code();
        assert_eq!(described.matches("describe_").count(), known.len());
    }
}
