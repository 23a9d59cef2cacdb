//! `switchboard serve` and `switchboard demo`.

use std::io::Write;

use switchboard_server::config::{Loaded, LogFormat, Sources};
use switchboard_server::{Mode, RunError, Server, log};

use crate::output::{Failure, has_colours};
use crate::settings;
use crate::version::VERSION;

/// Runs the server until a signal, even if nothing reads its banner and its log. With a JSON log, nothing but JSON is
/// printed: no banner, and the error that ends the server is a line of the log.
pub(crate) async fn run(sources: Sources, mode: Mode, is_public: bool) -> Result<(), Failure> {
    let loaded = settings::load(&sources).map_err(|failure| report(failure, sources.log_format()))?;
    let format = loaded.config.log.format;
    serve(sources, loaded, mode, is_public).await.map_err(|failure| report(failure, format))
}

/// Makes the error a line of the log if the log is JSON.
fn report(failure: Failure, format: LogFormat) -> Failure {
    match format {
        LogFormat::Text => failure,
        LogFormat::Json => {
            let (error, exit_status) = failure.into_parts();
            log::write_failure(error.as_ref(), exit_status);
            Failure::Logged(error, exit_status)
        }
    }
}

async fn serve(sources: Sources, loaded: Loaded, mode: Mode, is_public: bool) -> Result<(), Failure> {
    let settings = &loaded.config.log;
    let log = log::init(settings, has_colours(&std::io::stderr()));
    let log = log.map_err(|error| Failure::Usage(error.into()))?;
    let has_banner = settings.format == LogFormat::Text;
    let print = |banner: &str| {
        if has_banner {
            let _ = write!(std::io::stdout(), "{banner}");
        }
    };
    let server = Server::new(sources, loaded, mode).with_log(log).with_version(VERSION);
    server.with_public_demo(is_public).run(print).await.map_err(failure)
}

/// The exit status of an error: invalid settings are those of the command line.
pub(super) fn failure(error: RunError) -> Failure {
    match error {
        RunError::Config(error) => Failure::Usage(error.into()),
        error @ RunError::PublicDemo(_) => Failure::Usage(error.into()),
        error => Failure::Run(error.into()),
    }
}
