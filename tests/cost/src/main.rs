//! What the policies cost by themselves: `cargo measure` runs it and shows it, beside what a whole call costs.
//!
//! In one process and without a network, but for the store. Prints one JSON object. Times are printed and never judged.

#![deny(unsafe_code)]

mod fleet;
mod stack;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use ferrata_test_redis::RedisServer;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use stack::Walls;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Calls of each kind.
const CALLS: u32 = 50_000;
const CALLS_QUICK: u32 = 1_000;

fn main() -> ExitCode {
    let calls = match std::env::args().nth(1).as_deref() {
        None => CALLS,
        Some("--quick") => CALLS_QUICK,
        Some(_) => {
            eprintln!("usage: cost [--quick]");
            return ExitCode::from(64);
        }
    };
    match run(calls) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(calls: u32) -> Result<Value> {
    Builder::new_current_thread().enable_all().build()?.block_on(measure(calls))
}

async fn measure(calls: u32) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let redis = RedisServer::start();
    let micros = |took: Duration| took.as_secs_f64() * 1e6 / f64::from(calls);
    let decision = stack::decision(calls)?;
    let none = stack::stack(Walls::None, stack::memory(), calls).await?;
    let all = stack::stack(Walls::Many, stack::memory(), calls).await?;
    let memory = stack::stack(Walls::Quota, stack::memory(), calls).await?;
    let disk = stack::stack(Walls::Quota, stack::disk(folder.path())?, calls).await?;
    let (mut leased, mut shared) = (None, None);
    if let Some(redis) = &redis {
        leased = Some(stack::stack(Walls::Quota, stack::shared(&redis.url())?, calls).await?);
        shared = Some(fleet::spend(&redis.url()).await?);
    }
    Ok(json!({
        "stack_all_us": micros(all),
        "stack_without_walls_us": micros(none),
        "decision_us": micros(decision),
        "with_memory_us": micros(memory),
        "with_disk_us": micros(disk),
        "with_lease_us": leased.map(micros),
        "shared": shared,
    }))
}
