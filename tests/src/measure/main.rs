//! `cargo measure`: what a tool call through Ferrata costs, beside the same exchange without it.
//!
//! Builds and starts everything, sends the same exchange over every route in turn, and prints one table. Routes take turns in short
//! blocks, so that whatever else the machine does hits all alike, and a ratio compares what was measured within seconds. Times are
//! printed and never judged: `--quick` fails only when something does not work.

#![deny(unsafe_code)]

mod baseline;
mod exchange;
mod load;
mod lookups;
mod machine;
mod plan;
mod policies;
mod process;
mod route;
mod sidecar;
mod start;
mod statistics;
mod table;

use std::path::Path;
use std::process::ExitCode;

use ferrata_tests::{Result, artifacts};
use tokio::runtime::Builder;

use baseline::{Baseline, PROXY, UPSTREAM};
use plan::Plan;

const USAGE: &str = "usage: cargo measure [-- [--quick] [--beside BINARY]]

  --quick          a few calls of each kind, to see that everything works; its figures mean little
  --beside BINARY  another build of ferrata in the same turns, such as the one without shared libraries";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(Plan::full(), None),
        ["--quick"] => run(Plan::quick(), None),
        ["--beside", binary] => run(Plan::full(), Some(binary.as_ref())),
        ["--quick", "--beside", binary] => run(Plan::quick(), Some(binary.as_ref())),
        [UPSTREAM] => baseline::upstream(),
        [PROXY, upstream] => baseline::proxy(upstream),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo measure: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread, so that at most one processor is busy with making the load.
fn run(plan: Plan, beside: Option<&Path>) -> Result<()> {
    artifacts::ferrata()?;
    artifacts::connectors()?;
    artifacts::guest(sidecar::MEASURED)?;
    artifacts::cost()?;
    Builder::new_current_thread().enable_all().build()?.block_on(measure(&plan, beside))
}

async fn measure(plan: &Plan, beside: Option<&Path>) -> Result<()> {
    let before = machine::Moment::now()?;
    let upstream = Baseline::start(&[UPSTREAM]).await?;
    let starts = start::measure(plan, &upstream, beside).await?;
    let exchanges = exchange::measure(plan, &upstream, beside).await?;
    let policies = policies::measure(plan).await?;
    let lookups = lookups::measure(plan).await?;
    println!("{}", machine::describe(&before, &machine::Moment::now()?));
    println!("{}", table::exchanges(&exchanges.cells));
    println!("{}", policies::table(&policies, &lookups));
    println!("{}", table::starts(&starts));
    println!("{}", table::memory(&starts, &exchanges.memory));
    println!("{}", table::budgets(&exchanges.cells, &starts));
    Ok(())
}
