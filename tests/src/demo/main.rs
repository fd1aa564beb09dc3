//! `cargo demo`: an agent's day with Ferrata, against a real PostgreSQL and a stand-in for Slack.
//!
//! Starts everything, plays the scenes of `story`, says for each call what came of it, and stays up until Ctrl-C. With `--exit` it
//! ends after the last scene: with status 0 only if every outcome was the expected one.

#![deny(unsafe_code)]

mod consent;
mod outage;
mod page;
mod scene;
mod stage;
mod story;

use std::process::ExitCode;

use ferrata_tests::Result;

use page::Page;
use stage::Stage;

const USAGE: &str = "usage: cargo demo [-- --exit]\n\n  --exit  end after the last scene, with status 0 if every outcome was the expected one";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let exit = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--exit"] => true,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match play(exit).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nthe demonstration broke off: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every outcome was the expected one.
async fn play(exit: bool) -> Result<bool> {
    let mut page = Page::new();
    page.title("Ferrata", "an agent's tool calls, through sandboxed connectors, to a database and a chat");
    let stage = tokio::select! {
        stage = Stage::build(&mut page) => stage?,
        _ = tokio::signal::ctrl_c() => return Ok(false),
    };
    tokio::select! {
        played = story::play(&stage, &mut page) => played?,
        _ = tokio::signal::ctrl_c() => return Ok(false),
    }
    page.closing(&stage);
    if exit {
        stage.strike().await?;
    } else {
        page.stay(&stage);
        tokio::signal::ctrl_c().await?;
        stage.leave().await;
    }
    Ok(page.unexpected() == 0)
}
