//! The `switchboard` command.
//!
//! Exit status: 0 all went well, 1 something failed while running, 2 the command line or the
//! settings are wrong.

mod args;
mod cmd;
mod output;

use clap::Parser;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    output::exit(cmd::run(args::Args::parse()).await)
}
