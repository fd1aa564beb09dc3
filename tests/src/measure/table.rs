//! What was measured, for people.

use std::fmt::Write as _;
use std::time::Duration;

use crate::exchange::{BARE, Cell, DIRECT, FRESH, Figures};
use crate::process::Memory;
use crate::start::Start;

/// What Ferrata may cost: a call with a fresh sandbox, beside the exchange made directly, at one connection and the smaller arguments.
const ADDED_MICROS: f64 = 100.0;
const CPU_MICROS: f64 = 100.0;
/// With five connectors.
const IDLE_MEGABYTES: f64 = 20.0;
const START_MILLIS: f64 = 100.0;

/// All routes, cell by cell.
pub fn exchanges(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        let title =
            format!("{} of arguments, {}", size(cell.argument_bytes), connections(cell.block.connections));
        let _ = writeln!(
            text,
            "{title:<36}{:>9}{:>9}{:>9}{:>10}{:>10}{:>10}{:>10}",
            "median", "p99", "calls/s", "CPU/call", "added", "/ direct", "/ bare"
        );
        for figures in &cell.routes {
            text.push_str(&row(figures, &cell.routes[DIRECT], &cell.routes[BARE]));
        }
        text.push('\n');
    }
    text.push_str(
        "CPU/call is of the process in the row alone. added and the ratios are of medians within each round, and of those the median.\n",
    );
    text
}

fn row(figures: &Figures, direct: &Figures, bare: &Figures) -> String {
    format!(
        "  {:<34}{:>9}{:>9}{:>9.0}{:>10}{:>10}{:>10.2}{:>10.2}\n",
        figures.name,
        micros(figures.median),
        micros(figures.p99),
        figures.calls_per_second,
        micros(figures.cpu),
        format!("{:.0} µs", figures.added_micros(direct)),
        figures.ratio(direct),
        figures.ratio(bare),
    )
}

/// Starts.
pub fn starts(starts: &[Start]) -> String {
    let mut text = format!(
        "{:<36}{:>12}{:>14}{:>20}\n",
        "start, until ready", "compiling", "precompiled", "idle CPU per second"
    );
    for start in starts {
        let (cold, warm) = (millis(start.cold), millis(start.warm));
        let _ = writeln!(text, "  {:<34}{cold:>12}{warm:>14}{:>20}", start.name, micros(start.idle_cpu));
    }
    text
}

/// Resident memory, idle and after the load.
pub fn memory(starts: &[Start], loaded: &[(&str, Memory)]) -> String {
    let mut text = format!("{:<36}{:>12}{:>14}{:>12}\n", "resident memory", "all", "own data", "peak");
    for (name, memory) in starts.iter().map(|start| (start.name.as_str(), &start.memory)) {
        text.push_str(&memory_row(&format!("idle, {name}"), memory));
    }
    for (name, memory) in loaded {
        text.push_str(&memory_row(
            &format!("after the load, {}", name.trim_start_matches("Ferrata, ")),
            memory,
        ));
    }
    text
}

fn memory_row(name: &str, memory: &Memory) -> String {
    let [all, own, peak] =
        [memory.resident, memory.anonymous, memory.peak].map(|bytes| format!("{:.1} MB", megabytes(bytes)));
    format!("  {name:<46}{all:>12}{own:>14}{peak:>12}\n")
}

/// What was aimed at.
pub fn budgets(cells: &[Cell], starts: &[Start]) -> String {
    let mut lines = Vec::new();
    if let Some(cell) = cells.iter().min_by_key(|cell| (cell.argument_bytes, cell.block.connections)) {
        let (fresh, direct) = (&cell.routes[FRESH], &cell.routes[DIRECT]);
        lines.push(("added at the median", fresh.added_micros(direct), ADDED_MICROS, "µs"));
    }
    if let Some(cell) =
        cells.iter().min_by_key(|cell| (cell.argument_bytes, usize::MAX - cell.block.connections))
    {
        lines.push((
            "CPU per call, under load",
            cell.routes[FRESH].cpu.as_secs_f64() * 1e6,
            CPU_MICROS,
            "µs",
        ));
    }
    if let Some(start) = starts.iter().find(|start| start.connectors == 5) {
        lines.push(("idle with five connectors", megabytes(start.memory.resident), IDLE_MEGABYTES, "MB"));
        lines.push(("start, precompiled", start.warm.as_secs_f64() * 1e3, START_MILLIS, "ms"));
    }
    let mut text = format!("{:<36}{:>12}{:>14}\n", "budget", "measured", "at most");
    for (name, measured, most, unit) in lines {
        let verdict = if measured <= most { "" } else { "  over" };
        let _ = writeln!(
            text,
            "  {name:<34}{:>12}{:>14}{verdict}",
            format!("{measured:.0} {unit}"),
            format!("{most:.0} {unit}")
        );
    }
    text
}

fn size(bytes: usize) -> String {
    format!("{:.1} kB", bytes as f64 / 1e3)
}

fn connections(count: usize) -> String {
    format!("{count} connection{}", if count == 1 { "" } else { "s" })
}

fn micros(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1e6)
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
