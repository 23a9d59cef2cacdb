//! The `switchboard` command.
//!
//! Exit status: 0 on success, 1 after a failure at run time, 2 for an invalid command line or invalid
//! settings, 141 if the reader of the output is gone.

mod args;
mod cmd;
mod output;
mod settings;
mod streams;
mod version;

use clap::Parser;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    output::exit(cmd::run(args::Args::parse()).await)
}
