//! `switchboard serve` and `switchboard demo`.

use switchboard_server::config::{Log, LogFormat};
use switchboard_server::{Config, Mode};
use tracing_subscriber::EnvFilter;

use crate::output::Failure;

/// Runs the server until a signal.
pub(crate) async fn run(config: &Config, mode: Mode) -> Result<(), Failure> {
    init_log(&config.log)?;
    switchboard_server::run(config, mode, |banner| print!("{banner}"))
        .await
        .map_err(|error| Failure::Run(error.into()))
}

fn init_log(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| Failure::Usage(anyhow::Error::new(error).context(invalid_filter(&log.filter))))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

fn invalid_filter(filter: &str) -> String {
    format!("log.filter is `{filter}`; expected levels such as info or warn,switchboard=debug")
}
