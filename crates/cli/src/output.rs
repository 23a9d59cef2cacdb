//! The end of a command: its error and its exit status.

use std::process::ExitCode;

/// Why a command failed.
pub(crate) enum Failure {
    /// The command line or the settings are invalid: exit status 2.
    Usage(anyhow::Error),
    /// A failure at run time: exit status 1.
    Run(anyhow::Error),
}

/// Prints an error with its causes, and returns the exit status.
pub(crate) fn exit(outcome: Result<(), Failure>) -> ExitCode {
    let (error, status) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
    };
    eprintln!("error: {error}");
    // Some errors repeat the text of their cause.
    let mut causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    causes.dedup();
    for cause in causes {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(status)
}
