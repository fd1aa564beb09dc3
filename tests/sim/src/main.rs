//! `cargo sim`: Ferrata's policies on a simulated clock.
//!
//! A seed decides everything: the fleet, the walls or the tokens, the traffic, the troubles. There are two scenarios, each with a model of the
//! other side and a judge that sees only what passes between: the walls of an upstream, and the life of a credential ([`credentials`]). Prints one line per invariant with the number of checks that were made, and the first seed that broke it.

#![deny(unsafe_code)]

mod agenda;
mod credentials;
mod fleet;
mod judge;
mod mutants;
mod neighbour;
mod plan;
mod sidecar;
mod store;
mod upstream;
mod verdict;

// The policies as they stand in the sidecar, or with one mistake: modules `policy`, `egress`, `credential` and `state`.
include!(concat!(env!("OUT_DIR"), "/sidecar/modules.rs"));

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use mutants::{CREDENTIAL_MUTANTS, MUTANTS, Mutant, VARIABLE};
use verdict::{Invariants, Run, Verdict};

const USAGE: &str = "usage: cargo sim [-- [--only walls|credentials] [--seeds N] [--from S] [--mutants all|NAME]]

  --only NAME     one of the two scenarios; both if nothing is said
  --seeds N       how many seeds to run; 1000 if nothing is said
  --from S        the first of them; 0 if nothing is said
  --mutants NAME  break the policies on purpose, by the mistake of that name or by `all`, one after the other on each core, and see that each
                  is found within the seeds";

/// How often a seed is run twice, to see that it gives the same trace.
const REPEAT_EVERY: u64 = 100;

/// How often a seed is run once more beside an upstream that hangs.
const BESIDE_EVERY: u64 = 10;

/// A run that no seed decides, and its name.
type Once = (&'static str, fn() -> Result<Run, String>);

/// Something that is simulated.
struct Scenario {
    name: &'static str,
    run: fn(u64) -> Result<Run, String>,
    /// One run that is made once.
    once: Option<Once>,
    /// The same with something else in trouble beside it, which must not be felt.
    beside: Option<fn(u64) -> Result<Run, String>>,
    invariants: Invariants,
    mutants: &'static [Mutant],
}

const SCENARIOS: [Scenario; 2] = [
    Scenario {
        name: "walls",
        run: fleet::run,
        once: Some(("the full wall", fleet::run_against_a_full_wall)),
        beside: Some(fleet::run_beside_a_hanging_one),
        invariants: judge::INVARIANTS,
        mutants: MUTANTS,
    },
    Scenario {
        name: "credentials",
        run: credentials::run,
        once: None,
        beside: None,
        invariants: credentials::INVARIANTS,
        mutants: CREDENTIAL_MUTANTS,
    },
];

/// What the command line asks for.
struct Asked {
    /// Of one scenario, or of all.
    only: Option<String>,
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
    let mut asked = Asked { only: None, from: 0, seeds: 1_000, mutants: None };
    while let Some(name) = given.next() {
        match name.as_str() {
            "--only" => {
                let name = given.next()?;
                SCENARIOS.iter().find(|scenario| scenario.name == name)?;
                asked.only = Some(name);
            }
            "--seeds" => asked.seeds = given.next()?.parse().ok()?,
            "--from" => asked.from = given.next()?.parse().ok()?,
            "--mutants" => asked.mutants = Some(given.next()?),
            _ => return None,
        }
    }
    Some(asked)
}

impl Asked {
    fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        SCENARIOS.iter().filter(|scenario| self.only.as_deref().is_none_or(|name| name == scenario.name))
    }
}

/// Runs the scenarios and says whether everything held.
fn simulate(asked: &Asked) -> Result<bool, String> {
    let mut held = true;
    for scenario in asked.scenarios() {
        held &= simulate_one(scenario, asked)?;
    }
    Ok(held)
}

/// Runs the seeds, all of them unless a mutant is being looked for.
fn simulate_one(scenario: &Scenario, asked: &Asked) -> Result<bool, String> {
    let is_mutant = option_env!("FERRATA_SIM_MUTANT").is_some_and(|name| !name.is_empty());
    let (next, found) = (AtomicU64::new(asked.from), AtomicBool::new(false));
    let end = asked.from.saturating_add(asked.seeds);
    let work = |_| {
        let mut runs = Runs::new();
        while !(is_mutant && found.load(Ordering::Relaxed)) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let run = run(scenario, seed)?;
            found.fetch_or(run.verdict.failed(), Ordering::Relaxed);
            runs.insert(seed, run);
        }
        Ok(runs)
    };
    let runs: Runs = on_each_core(work)?.into_iter().flatten().collect();
    let mut all = Verdict::new(scenario.invariants);
    runs.iter().for_each(|(seed, run)| all.add(&format!("seed {seed}"), &run.verdict));
    let mut calls: usize = runs.values().map(|run| run.calls).sum();
    if let Some((name, once)) = scenario.once.filter(|_| !is_mutant) {
        let run = once()?;
        all.add(name, &run.verdict);
        calls += run.calls;
    }
    println!("{}: {} seeds from {}, {calls} calls", scenario.name, asked.seeds, asked.from);
    report(scenario.invariants, &all);
    Ok(!all.failed())
}

/// What the same work, done on every core at once, gives; it is told on which.
fn on_each_core<T: Send>(work: impl Fn(usize) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    let (cores, work) = (std::thread::available_parallelism().map_or(1, NonZero::get), &work);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core))).collect();
        let ended = |worker: ScopedJoinHandle<Result<T, String>>| match worker.join() {
            Ok(done) => done,
            Err(_) => Err("a run broke off".to_owned()),
        };
        workers.into_iter().map(ended).collect()
    })
}

/// By seed.
type Runs = BTreeMap<u64, Run>;

fn run(scenario: &Scenario, seed: u64) -> Result<Run, String> {
    let mut run = (scenario.run)(seed)?;
    if seed.is_multiple_of(REPEAT_EVERY) && (scenario.run)(seed)?.trace != run.trace {
        return Err(format!("{}: seed {seed} gave two traces", scenario.name));
    }
    if let Some(beside) = scenario.beside.filter(|_| seed.is_multiple_of(BESIDE_EVERY)) {
        let same = beside(seed)?.trace == run.trace;
        let why = || "the calls do not end as they do without the other upstream".to_owned();
        run.verdict.check("isolated", same, why);
    }
    Ok(run)
}

fn report(invariants: Invariants, verdict: &Verdict) {
    for (name, meaning) in invariants {
        let Some(tally) = verdict.get(name) else { continue };
        let mark = if tally.failure.is_some() { "BROKEN" } else { "ok" };
        println!("{mark:<7} {name:<13} {:>10} checks  {meaning}", tally.checks);
        if let Some(why) = &tally.failure {
            println!("        {why}");
        }
    }
}

fn kill_mutants(asked: &Asked) -> Result<bool, String> {
    let asked_for =
        |mutant: &Mutant| asked.mutants.as_deref().is_some_and(|name| name == ALL || name == mutant.name);
    let known = || asked.scenarios().flat_map(|scenario| scenario.mutants.iter().map(move |m| (scenario, m)));
    let wanted: Vec<_> = known().filter(|(_, mutant)| asked_for(mutant)).collect();
    if wanted.is_empty() {
        let names: Vec<_> = known().map(|(_, mutant)| mutant.name).collect();
        return Err(format!("there are these mutants: {}", names.join(", ")));
    }
    let next = AtomicUsize::new(0);
    let work = |core| {
        let mut all_killed = true;
        while let Some((scenario, mutant)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = hunt(scenario, mutant, asked, core)?;
            all_killed &= found.is_some();
            let verdict = found.unwrap_or_else(|| format!("LIVES through {} seeds", asked.seeds));
            println!("{:<30} {:<70} {verdict}", mutant.name, mutant.mistake);
        }
        Ok(all_killed)
    };
    Ok(on_each_core(work)?.into_iter().all(|all_killed| all_killed))
}

/// Builds the simulator with this mistake and runs it; what it found, if it did.
fn hunt(scenario: &Scenario, mutant: &Mutant, asked: &Asked, core: usize) -> Result<Option<String>, String> {
    let program =
        std::env::current_exe().map_err(|e| format!("where the simulator is cannot be told: {e}"))?;
    let folder = program.with_file_name(format!("sim-mutants-{core}"));
    let cargo = |command: &str| {
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        // A folder of its own, so that neither the simulator that runs nor another mutant is replaced under its feet.
        cargo.args([command, "--quiet", "--locked", "--package", "ferrata-sim", "--target-dir"]).arg(&folder);
        // A mutant differs from the one before in a line or two.
        cargo.env(VARIABLE, mutant.name).env("CARGO_INCREMENTAL", "1");
        cargo
    };
    let built = cargo("build").status().map_err(|e| format!("cargo cannot be run: {e}"))?;
    if !built.success() {
        return Err(format!("the mutant `{}` cannot be built", mutant.name));
    }
    let run = |from: u64, seeds: u64| {
        let mut run = cargo("run");
        run.args(["--", "--only", scenario.name, "--from", &from.to_string(), "--seeds", &seeds.to_string()]);
        let output = run.stderr(Stdio::inherit()).output();
        let output = output.map_err(|e| format!("the mutant `{}` cannot be run: {e}", mutant.name))?;
        Ok::<_, String>(broken(&String::from_utf8_lossy(&output.stdout)))
    };
    let is_asked_for = (asked.from..asked.from.saturating_add(asked.seeds)).contains(&mutant.seed);
    let found = if is_asked_for { run(mutant.seed, 1)? } else { None };
    found.map_or_else(|| run(asked.from, asked.seeds), |found| Ok(Some(found)))
}

/// The first invariant that a report calls broken, and how.
fn broken(report: &str) -> Option<String> {
    let mut lines = report.lines().skip_while(|line| !line.starts_with("BROKEN"));
    let invariant = lines.next()?.split_whitespace().nth(1)?;
    Some(format!("killed by `{invariant}`: {}", lines.next().unwrap_or_default().trim()))
}
