//! Credentials for a person: a table of what the status says, and the ones that somebody must look after.

use std::fmt::Write as _;

use serde_json::Value;

/// Members of a credential's status, in the order of the columns, and what stands above them.
const COLUMNS: [(&str, &str); 7] = [
    ("kind", "kind"),
    ("state", "state"),
    ("version", "version"),
    ("age_seconds", "age"),
    ("expires_at", "expires"),
    ("next_refresh_at", "next refresh"),
    ("secrets_due_at", "replace by"),
];

/// The table of a status, as the control socket tells it. Holds no values, because the status holds none.
pub fn table(status: &Value) -> String {
    let heads = ["credential"].into_iter().chain(COLUMNS.map(|(_, head)| head)).map(str::to_owned);
    let mut rows = vec![heads.collect::<Vec<_>>()];
    let mut remarks = String::new();
    for (name, credential) in all(status) {
        let cells = COLUMNS.iter().map(|(member, _)| cell(member, credential));
        rows.push([name.clone()].into_iter().chain(cells).collect());
        let alarms = alarms(credential);
        if !alarms.is_empty() {
            let _ = writeln!(remarks, "{name}: {}", alarms.join(", "));
        }
        for member in ["problem", "last_error"] {
            if let Some(text) = credential[member].as_str() {
                let _ = writeln!(remarks, "{name}: {text}");
            }
        }
    }
    let mut table = aligned(&rows);
    table.push_str(&remarks);
    table
}

/// A line for each that somebody must look after; empty if there is none.
pub fn worries(status: &Value) -> String {
    let worrying = all(status).filter(|(_, credential)| {
        let is_well = matches!(credential["state"].as_str(), Some("good" | "unused"));
        !is_well || credential["problem"].is_string() || !alarms(credential).is_empty()
    });
    let line = |(name, credential): (String, &Value)| {
        let state = credential["state"].as_str().unwrap_or("unknown");
        let more = alarms(credential).into_iter().filter(|alarm| *alarm != state).collect::<Vec<_>>();
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
        format!("credential {name}: {state}{more}\n")
    };
    worrying.map(line).collect()
}

fn alarms(credential: &Value) -> Vec<&str> {
    credential["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn all(status: &Value) -> impl Iterator<Item = (String, &Value)> {
    let connectors = status["connectors"].as_object().into_iter().flatten();
    connectors.flat_map(|(connector, status)| {
        let credentials = status["credentials"].as_object().into_iter().flatten();
        credentials.map(move |(name, credential)| (format!("{connector}/{name}"), credential))
    })
}

fn cell(member: &str, credential: &Value) -> String {
    match &credential[member] {
        // What has no session is as old as the operator's secrets.
        Value::Null if member == "age_seconds" => match &credential["secrets_age_days"] {
            // As far as is known.
            Value::Number(days) if !credential["secrets_age_doubt"].is_null() => format!("≥{days} d"),
            Value::Number(days) => format!("{days} d"),
            _ => "-".to_owned(),
        },
        Value::Null => "-".to_owned(),
        Value::String(time) if member == "secrets_due_at" && !credential["secrets_age_doubt"].is_null() => {
            format!("≤{time}")
        }
        Value::String(text) => text.clone(),
        Value::Number(seconds) if member.ends_with("_seconds") => format!("{seconds} s"),
        other => other.to_string(),
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..=COLUMNS.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_a_table_and_what_is_wrong() {
        let status = json!({ "connectors": { "crm": { "credentials": {
            "ends": { "kind": "refresh-token", "state": "good", "version": 3, "alarms": ["refresh_token_day"] },
            "key": { "kind": "static", "state": "good", "version": 1, "secrets_age_days": 5, "alarms": [] },
            "later": {
                "kind": "static", "state": "good", "version": 1, "secrets_age_days": 5, "alarms": [],
                "secrets_age_doubt": "no answer within 2s",
            },
            "login": {
                "kind": "refresh-token", "state": "dead", "version": 7, "last_error": "invalid_grant",
                "alarms": ["dead"],
            },
        } }, "chat": {} } });
        let table = table(&status);
        assert!(table.starts_with("credential  kind           state  version  age"), "{table}");
        assert!(table.contains("crm/login   refresh-token  dead   7        -"), "{table}");
        assert!(table.contains("crm/key     static         good   1        5 d"), "{table}");
        assert!(table.contains("crm/later   static         good   1        ≥5 d"), "{table}");
        assert!(
            table.ends_with("crm/ends: refresh_token_day\ncrm/login: dead\ncrm/login: invalid_grant\n"),
            "{table}"
        );
        let said = "credential crm/ends: good (refresh_token_day)\ncredential crm/login: dead\n";
        assert_eq!(worries(&status), said);
    }
}
