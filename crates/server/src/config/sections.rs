//! Settings of the server itself: where it listens, who may connect, its log, its stop.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Settings of health and metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Where `/livez`, `/readyz` and `/metrics` answer. Default: where clients connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Settings of how clients connect.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// Origins that pages may come from, such as `https://example.com`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
    /// Proxies whose `x-forwarded-for` is believed, as networks: `10.0.0.0/8`. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged, such as `info` or `warn,switchboard=debug`. Default `info`.
    pub filter: String,
    /// `text` for people or `json` for machines. Default `text`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of the stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// Sockets are closed over this time. Default 1,000 ms.
    pub window_ms: u64,
    /// What runs longer than this after the window is left behind. Default 10,000 ms.
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
