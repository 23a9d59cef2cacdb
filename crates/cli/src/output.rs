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
    // Some errors say what their cause says.
    let mut causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    causes.dedup();
    for cause in causes {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(status)
}
