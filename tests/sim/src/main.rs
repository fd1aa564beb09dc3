//! `cargo sim`: Ferrata's policies on a simulated clock.
//!
//! A seed decides everything: the fleet, the walls, the traffic, the troubles. The upstream counts what arrives, and the judge sees only that and
//! what callers see; it knows no policy. Prints one line per invariant with the number of checks that were made, and the first seed that broke it.

#![deny(unsafe_code)]

mod agenda;
mod fleet;
mod judge;
mod mutants;
mod neighbour;
mod plan;
mod sidecar;
mod upstream;
mod verdict;

// The policies as they stand in the sidecar, or with one mistake: modules `policy` and `egress`.
include!(concat!(env!("OUT_DIR"), "/sidecar/modules.rs"));

use std::process::{Command, ExitCode, Stdio};

use mutants::{MUTANTS, Mutant, VARIABLE};
use verdict::{INVARIANTS, Verdict};

const USAGE: &str = "usage: cargo sim [-- [--seeds N] [--from S] [--mutants all|NAME]]

  --seeds N       how many seeds to run; 1000 if nothing is said
  --from S        the first of them; 0 if nothing is said
  --mutants NAME  break the policies on purpose, by the mistake of that name or by `all`, one after the other, and see that each is found
                  within the seeds";

/// How often a seed is run twice, to see that it gives the same trace.
const REPEAT_EVERY: u64 = 100;

/// How often a seed is run once more beside an upstream that hangs.
const BESIDE_EVERY: u64 = 10;

/// What the command line asks for.
struct Asked {
    from: u64,
    seeds: u64,
    /// Which mutants to hunt, if any: one by name, or all.
    mutants: Option<String>,
}

/// Stands for every mutant.
const ALL: &str = "all";

fn main() -> ExitCode {
    let Some(asked) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let passed = if asked.mutants.is_some() { kill_mutants(&asked) } else { simulate(&asked) };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("cargo sim: {why}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { from: 0, seeds: 1_000, mutants: None };
    while let Some(name) = given.next() {
        match name.as_str() {
            "--seeds" => asked.seeds = given.next()?.parse().ok()?,
            "--from" => asked.from = given.next()?.parse().ok()?,
            "--mutants" => asked.mutants = Some(given.next()?),
            _ => return None,
        }
    }
    Some(asked)
}

/// Runs the seeds, all of them unless a mutant is being looked for, and says whether everything held.
fn simulate(asked: &Asked) -> Result<bool, String> {
    let is_mutant = option_env!("FERRATA_SIM_MUTANT").is_some_and(|name| !name.is_empty());
    let (mut all, mut calls) = (Verdict::new(), 0);
    for seed in asked.from..asked.from.saturating_add(asked.seeds) {
        let run = fleet::run(seed)?;
        if seed % REPEAT_EVERY == 0 && fleet::run(seed)?.trace != run.trace {
            return Err(format!("seed {seed} gave two traces"));
        }
        if seed % BESIDE_EVERY == 0 {
            let same = fleet::run_beside_a_hanging_one(seed)?.trace == run.trace;
            let why = || format!("seed {seed}: the calls do not end as they do without the other upstream");
            all.check("isolated", same, why);
        }
        all.add(seed, &run.verdict);
        calls += run.calls;
        if is_mutant && all.failed() {
            break;
        }
    }
    println!("{} seeds from {}, {calls} calls", asked.seeds, asked.from);
    report(&all);
    Ok(!all.failed())
}

fn report(verdict: &Verdict) {
    for (name, meaning) in INVARIANTS {
        let Some(tally) = verdict.get(name) else { continue };
        let mark = if tally.failure.is_some() { "BROKEN" } else { "ok" };
        println!("{mark:<7} {name:<13} {:>10} checks  {meaning}", tally.checks);
        if let Some(why) = &tally.failure {
            println!("        {why}");
        }
    }
}

fn kill_mutants(asked: &Asked) -> Result<bool, String> {
    let mut all_killed = true;
    let asked_for =
        |mutant: &&Mutant| asked.mutants.as_deref().is_some_and(|name| name == ALL || name == mutant.name);
    let wanted: Vec<_> = MUTANTS.iter().filter(asked_for).collect();
    if wanted.is_empty() {
        let names: Vec<_> = MUTANTS.iter().map(|m| m.name).collect();
        return Err(format!("there are these mutants: {}", names.join(", ")));
    }
    for mutant in wanted {
        let found = hunt(mutant, asked)?;
        all_killed &= found.is_some();
        let verdict = found.unwrap_or_else(|| format!("LIVES through {} seeds", asked.seeds));
        println!("{:<30} {:<70} {verdict}", mutant.name, mutant.mistake);
    }
    Ok(all_killed)
}

/// Builds the simulator with this mistake and runs it; what it found, if it did.
fn hunt(mutant: &Mutant, asked: &Asked) -> Result<Option<String>, String> {
    let program =
        std::env::current_exe().map_err(|e| format!("where the simulator is cannot be told: {e}"))?;
    let folder = program.with_file_name("sim-mutants");
    let cargo = |command: &str| {
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        // A folder of its own, so that the simulator that runs is not replaced under its feet.
        cargo.args([command, "--quiet", "--locked", "--package", "ferrata-sim", "--target-dir"]).arg(&folder);
        cargo.env(VARIABLE, mutant.name);
        cargo
    };
    let built = cargo("build").status().map_err(|e| format!("cargo cannot be run: {e}"))?;
    if !built.success() {
        return Err(format!("the mutant `{}` cannot be built", mutant.name));
    }
    let (from, seeds) = (asked.from.to_string(), asked.seeds.to_string());
    let mut run = cargo("run");
    run.args(["--", "--from", &from, "--seeds", &seeds]).stderr(Stdio::inherit());
    let output = run.output().map_err(|e| format!("the mutant `{}` cannot be run: {e}", mutant.name))?;
    let report = String::from_utf8_lossy(&output.stdout);
    let mut lines = report.lines().skip_while(|line| !line.starts_with("BROKEN"));
    let broken = lines.next().and_then(|line| line.split_whitespace().nth(1));
    Ok(broken
        .map(|invariant| format!("killed by `{invariant}`: {}", lines.next().unwrap_or_default().trim())))
}
