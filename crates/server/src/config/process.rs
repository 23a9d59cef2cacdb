//! Settings of the process: health and metrics, the log, and the shutdown.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Settings of health checks and metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Address of `/livez`, `/readyz` and `/metrics`; port 0 takes a free one. Default: the address of
    /// `listen`, together with the clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Levels by module, such as `info` or `warn,switchboard=debug`. Default `info`.
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
    /// Time in milliseconds over which the sockets are closed. Default 1,000.
    pub window_ms: u64,
    /// Time in milliseconds, after the window, until handlers and connections that have not ended are dropped
    /// and the process ends. Default 10,000.
    pub timeout_ms: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".into(), format: LogFormat::Text }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Stop { window_ms: 1000, timeout_ms: 10_000 }
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
