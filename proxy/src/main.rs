//! The `ferrata` command: arguments, exit codes, signals.

// One call is one future from the listener down to the socket, deeper than the default allows.
#![recursion_limit = "256"]

mod cli;

// Only linked, for the symbols that it defines.
#[cfg(target_env = "musl")]
use ferrata_copy as _;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As in `sysexits.h`.
mod exit {
    pub const OK: u8 = 0;
    /// A call ended in a fault.
    pub const FAULT: u8 = 1;
    pub const USAGE: u8 = 64;
    pub const CONFIG: u8 = 65;
    pub const INTERNAL: u8 = 70;
}

fn main() -> ExitCode {
    // A huge page of 2 MiB is resident as a whole, however little of it is used: with a heap for each thread that was most of an
    // idle sidecar's memory. Without the right to change it, it stays so.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` are answers, everything else is a mistake.
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ferrata: the runtime does not start: {error}");
            return ExitCode::from(exit::INTERNAL);
        }
    };
    let code = runtime.block_on(cli::execute(arguments));
    // What still compiles does so for nobody.
    runtime.shutdown_background();
    ExitCode::from(code)
}
