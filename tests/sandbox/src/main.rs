//! `ferrata-sandbox SYSTEM --port N`: a stand-in to try things against by hand. The first line of output is its URL.

#![deny(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Sandbox};

/// Runs a stand-in for a system, in real time, until it is interrupted.
#[derive(Parser)]
#[command(name = "ferrata-sandbox")]
struct Arguments {
    #[command(subcommand)]
    system: System,
}

#[derive(Subcommand)]
enum System {
    /// Slack's Web API, with the workspace of a company named Acme.
    Slack {
        /// Port on 127.0.0.1; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let System::Slack { port } = Arguments::parse().system;
    match slack(port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferrata-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn slack(port: u16) -> io::Result<()> {
    let sandbox = Sandbox::start_on(Slack::acme(Clock::real()), port).await?;
    println!("{}", sandbox.url());
    println!("bot token: {}", seed::BOT_TOKEN);
    println!("user token (search): {}", seed::USER_TOKEN);
    println!("ends with Ctrl-C");
    tokio::signal::ctrl_c().await
}
