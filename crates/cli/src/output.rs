//! What the command prints when it ends.

use std::process::ExitCode;

/// How a command failed.
pub(crate) enum Failure {
    /// The operator's to mend: exit status 2.
    Usage(anyhow::Error),
    /// Exit status 1.
    Run(anyhow::Error),
}

/// Prints the error with its causes, and turns it into the exit status.
pub(crate) fn exit(outcome: Result<(), Failure>) -> ExitCode {
    let (error, status) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
    };
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(status)
}
