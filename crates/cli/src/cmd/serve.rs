//! `switchboard serve` and `switchboard demo`.

use std::io::Write;

use switchboard_log::{Printable, limited, printable};
use switchboard_server::config::{Log, LogFormat};
use switchboard_server::{Config, Mode};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;

use crate::output::Failure;

/// Runs the server until a signal, also without a reader of its banner and its log.
pub(crate) async fn run(config: &Config, mode: Mode) -> Result<(), Failure> {
    init_log(&config.log)?;
    log_panics();
    let print = |banner: &str| drop(write!(std::io::stdout(), "{banner}"));
    switchboard_server::run(config, mode, print).await.map_err(|error| Failure::Run(error.into()))
}

fn init_log(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| Failure::Usage(anyhow::Error::new(error).context(invalid_filter(&log.filter))))?;
    // An error of the standard error cannot be reported there: the attempt would panic.
    let lines = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        // The lines of other libraries contain text from outside, too.
        LogFormat::Text => lines
            .fmt_fields(
                debug_fn(|line, field, value| match field.name() {
                    "message" => write!(line, "{}", Printable(format_args!("{value:?}"))),
                    name => write!(line, "{name}={}", Printable(format_args!("{value:?}"))),
                })
                .delimited(" "),
            )
            .init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

/// Logs panics. Without this, the standard library prints their messages, which can contain text of clients.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        limited!(ERROR, location, panic = printable(message), "panic");
    }));
}

fn invalid_filter(filter: &str) -> String {
    format!("log.filter is `{filter}`; expected levels such as info or warn,switchboard=debug")
}
