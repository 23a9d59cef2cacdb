//! `switchboard serve` and `switchboard demo`.

use std::io::Write;

use switchboard_server::config::Sources;
use switchboard_server::{Mode, RunError, Server, log};

use crate::output::{Failure, has_colours};
use crate::settings;

/// Runs the server until a signal, also without a reader of its banner and its log.
pub(crate) async fn run(sources: Sources, mode: Mode) -> Result<(), Failure> {
    let loaded = settings::load(&sources)?;
    let log = log::init(&loaded.config.log, has_colours(&std::io::stderr()))
        .map_err(|error| Failure::Usage(error.into()))?;
    let server = Server::new(sources, loaded, mode).with_log(log);
    let print = |banner: &str| drop(write!(std::io::stdout(), "{banner}"));
    server.run(print).await.map_err(|error| match error {
        RunError::Config(error) => Failure::Usage(error.into()),
        error => Failure::Run(error.into()),
    })
}
