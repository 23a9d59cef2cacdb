//! The log of the process, on stderr.

mod json;
mod text;

use std::error::Error;
use std::io::Write;

use switchboard_log::{limited, printable};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{ConfigError, Log, LogFormat};
use json::JsonLines;
use text::TextFields;

/// Changes the filter of the log while the process runs.
#[derive(Debug, Clone)]
pub struct LogControl(Handle<EnvFilter, Registry>);

/// Starts the log of this process, which also gets its panics.
///
/// # Panics
///
/// If the process has a log already.
pub fn init(settings: &Log, has_colours: bool) -> Result<LogControl, ConfigError> {
    let (filter, control) = reload::Layer::new(settings.parse_filter()?);
    // An error of the standard error cannot be reported there: the attempt would panic.
    let lines = fmt::layer().log_internal_errors(false).with_ansi(has_colours).with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.fmt_fields(TextFields).boxed(),
        LogFormat::Json => lines.with_ansi(false).event_format(JsonLines).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    log_panics();
    Ok(LogControl(control))
}

/// Writes the error that ends the process as a line of the JSON log, whatever its filter is. It works before
/// [`init`], too.
pub fn write_failure(error: &(dyn Error + 'static), exit_status: u8) {
    let line = json::failure(error, exit_status);
    // The status reports the failure even if nothing reads the line.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Logs panics. Without this, the standard library prints their messages, which can contain text of clients.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        limited!(ERROR, location, panic = printable(message), "panic");
    }));
}

impl LogControl {
    /// Replaces the filter.
    pub(crate) fn set_filter(&self, settings: &Log) -> Result<(), ConfigError> {
        let filter = settings.parse_filter()?;
        self.0.reload(filter).expect("the log lives as long as the process");
        Ok(())
    }
}
