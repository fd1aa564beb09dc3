//! What the policies cost by themselves, as `tests/cost` measures it, and what they are good for.

use std::fmt::Write as _;

use ferrata_tests::{Result, artifacts};
use serde_json::Value;
use tokio::process::Command;

use crate::lookups::Lookups;
use crate::plan::Plan;

/// What all policies together may cost a call that none of them stops, in microseconds.
const STACK_MICROS: f64 = 5.0;

/// The part of a quota that sidecars which share it should be able to use up.
const UTILISATION: f64 = 0.95;

/// Rows of the table, and the figures that they are about.
const ROWS: [(&str, &str); 6] = [
    ("all policies on, none of them met", "stack_all_us"),
    ("the same without walls", "stack_without_walls_us"),
    ("one decision of the limiter alone", "decision_us"),
    ("the same with one wall, in memory", "with_memory_us"),
    ("kept on disk", "with_disk_us"),
    ("leased from a Redis", "with_lease_us"),
];

/// # Errors
/// When it cannot be run, or says nothing that can be read.
pub async fn measure(plan: &Plan) -> Result<Value> {
    let mut command = Command::new(artifacts::cost()?);
    if plan.is_quick {
        command.arg("--quick");
    }
    let output = command.output().await?;
    if !output.status.success() {
        return Err(format!("cost: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// For people.
pub fn table(policies: &Value, lookups: &Lookups) -> String {
    let all = policies["stack_all_us"].as_f64().unwrap_or_default();
    let verdict = if all <= STACK_MICROS { "" } else { ", over" };
    let mut text = format!(
        "{:<42}{:>10}{:>24}\n",
        "policies, in process, per call",
        "time",
        format!("aim {STACK_MICROS:.0} µs for all{verdict}")
    );
    for (name, figure) in ROWS {
        let _ = match policies[figure].as_f64() {
            Some(micros) => {
                writeln!(text, "  {name:<40}{:>10}{:>24.2}", format!("{micros:.2} µs"), micros / all)
            }
            None => writeln!(text, "  {name:<40}{:>10}", "no Redis"),
        };
    }
    text.push_str(&shared(&policies["shared"]));
    let Lookups { made, together, alone } = lookups;
    let _ = writeln!(
        text,
        "requests of {made} look-ups, at a system that takes four at a time: {together} in batches, {alone} one by one"
    );
    text
}

fn shared(shared: &Value) -> String {
    let Some(used) = shared["utilisation"].as_f64() else { return String::new() };
    let (sidecars, limit, spent) = (&shared["sidecars"], &shared["limit"], &shared["spent"]);
    let verdict = match used {
        used if used > 1.0 => ", MORE THAN ALLOWED",
        used if used < UTILISATION => ", under the aim",
        _ => "",
    };
    format!(
        "{sidecars} sidecars used {spent} of {limit} that they share: {:.1} % (aim {:.0} %{verdict})\n",
        used * 100.0,
        UTILISATION * 100.0
    )
}
