//! Settings of the process: the log, and the shutdown.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::InvalidSetting;

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Levels by module, such as `info` or `warn,switchboard=debug`; `off` logs nothing. Default `info`.
    pub filter: String,
    /// `text`, or `json` for one JSON object per line. Default `text`.
    pub format: LogFormat,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of the shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// Time in milliseconds from the signal to the window, in which `/readyz` answers 503 and clients can still connect, so that load
    /// balancers choose other nodes before this one refuses clients. 0, the default, begins the window at once.
    pub notice_ms: u64,
    /// Time in milliseconds over which clients are sent to other nodes, or closed; it ends with the last one. Also the
    /// default of a drain. 0 closes all at once. Default 1,000.
    pub window_ms: u64,
    /// Time in milliseconds, after the window, until handlers and connections that have not ended are dropped
    /// and the process ends; 0 waits for none. Default 10,000.
    pub timeout_ms: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".into(), format: LogFormat::Text }
    }
}

impl Log {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        self.parse_filter().map(drop)
    }

    /// The filter as the log needs it.
    pub(crate) fn parse_filter(&self) -> Result<EnvFilter, InvalidSetting> {
        let invalid = |problem: &str| InvalidSetting::new("log.filter", problem).with_hint(LEVELS);
        // Fields in brackets contain commas, too.
        if self.filter.contains('[') {
            return EnvFilter::try_new(&self.filter).map_err(|_| invalid("expected levels by module"));
        }
        let directives: Vec<&str> = self.filter.split(',').map(str::trim).collect();
        // EnvFilter takes a word that is not a level for the name of a module, and logs nothing else.
        let is_level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
        let is_valid = |directive: &&str| match directive.split_once('=') {
            Some((module, level)) => !module.is_empty() && is_level(level),
            None => is_level(directive),
        };
        if let Some(wrong) = directives.iter().find(|directive| !is_valid(directive)) {
            return Err(invalid(&format!("`{wrong}` is neither a level nor a module with its level")));
        }
        EnvFilter::try_new(directives.join(",")).map_err(|_| invalid("expected levels by module"))
    }
}

/// The hint for a filter that cannot be used.
const LEVELS: &str =
    "the levels are off, error, warn, info, debug and trace; `warn,switchboard=debug` sets one for a module";

impl Default for Stop {
    fn default() -> Self {
        Stop { notice_ms: 0, window_ms: 1000, timeout_ms: 10_000 }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_consists_of_levels_and_of_modules_with_their_levels() {
        for good in [
            "info",
            "OFF",
            "warn,switchboard=debug",
            " warn , a::b=trace ",
            "info,a[b{c=1}]=debug",
            "[b]=info",
        ] {
            let log = Log { filter: good.into(), ..Log::default() };
            assert_eq!(log.check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "inof",
            "warning",
            "info,",
            "switchboard",
            "switchboard=",
            "switchboard=loud",
            "[[",
            "info debug",
        ] {
            let log = Log { filter: bad.into(), ..Log::default() };
            let error = log.check().expect_err(bad).to_string();
            assert!(
                error.starts_with("log.filter: ") && error.contains("hint: the levels are"),
                "{bad}: {error}"
            );
        }
    }
}
