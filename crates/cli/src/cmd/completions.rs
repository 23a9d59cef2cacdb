//! `switchboard completions`: a script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::streams::print;

/// Prints the script. It is made in memory first, so that a reader that ends early is noticed.
pub(crate) fn run(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "switchboard", &mut script);
    print(format_args!("{}", String::from_utf8_lossy(&script)));
}
