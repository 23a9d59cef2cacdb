//! Settings: a TOML file, then the environment, then flags; each overrides the one before.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use switchboard::Limits;

/// Environment variables begin with this; `__` stands for the dot: `SWITCHBOARD_LIMITS__ENABLED`.
const ENV_PREFIX: &str = "SWITCHBOARD_";

/// All settings of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect. Default `127.0.0.1:3000`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub internal: Internal,
    /// Who may connect.
    pub door: Door,
    /// Every bound.
    pub limits: Limits,
    /// The projects.
    pub projects: Projects,
    /// The log.
    pub log: Log,
    /// How the server stops.
    pub stop: Stop,
}

/// Settings of health and metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Where `/livez`, `/readyz` and `/metrics` answer. Default: where clients connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Settings of the door.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Door {
    /// Origins that pages may come from, such as `https://example.com`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// Proxies whose `x-forwarded-for` is believed, as networks: `10.0.0.0/8`. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Settings of projects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projects {
    /// The project of clients that name none. Default `default`.
    pub default: String,
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

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            internal: Internal::default(),
            door: Door::default(),
            limits: Limits::default(),
            projects: Projects::default(),
            log: Log::default(),
            stop: Stop::default(),
        }
    }
}

impl Default for Projects {
    fn default() -> Self {
        Projects { default: "default".into() }
    }
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

/// Why there are no settings to run with: the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error("cannot read the configuration file {0}")]
    NoFile(String),
    /// A `--set` is not `section.key=value`.
    #[error("--set {0} is not of the form section.key=value")]
    BadSet(String),
    /// Settings that are unknown or have the wrong type, a line each.
    #[error("{}", lines(.0))]
    Settings(Vec<String>),
    /// A setting whose value cannot be.
    #[error("{0}")]
    Value(String),
}

fn lines(lines: &[String]) -> String {
    lines.join("\n")
}

impl Config {
    /// Puts the settings together. `sets` are `section.key=value`, the last say of all.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::NoFile(path.display().to_string()));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
        for set in sets {
            figment = figment.merge(Set::parse(set)?);
        }
        let config: Config = figment.extract().map_err(|errors| {
            ConfigError::Settings(errors.into_iter().map(|error| describe(&error)).collect())
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let heartbeat = self.limits.heartbeat_interval;
        if !heartbeat.is_zero() && heartbeat < Duration::from_secs(1) {
            let ms = heartbeat.as_millis();
            return Err(ConfigError::Value(format!(
                "limits.heartbeat_interval_ms is {ms}; the least is 1000\n\nhint: 0 switches heartbeats off"
            )));
        }
        if let Err(error) = switchboard::Name::new(&self.projects.default) {
            return Err(ConfigError::Value(format!("projects.default cannot be used: {error}")));
        }
        Ok(())
    }

    /// The settings as a TOML file that would give the same.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings that were read from TOML can be written as TOML")
    }
}

/// Says what is wrong with a setting, and where it was set.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let source = match &error.metadata {
        Some(metadata) => match &metadata.source {
            Some(source) => format!(" in {} {source}", metadata.name),
            None => format!(" in {}", metadata.name),
        },
        None => String::new(),
    };
    let key = if key.is_empty() { String::new() } else { format!(" for `{key}`") };
    format!("{}{key}{source}", error.kind)
}

/// One `--set section.key=value`.
struct Set {
    flag: String,
    toml: String,
}

impl Set {
    fn parse(flag: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::BadSet(flag.into());
        let (key, value) = flag.split_once('=').ok_or_else(bad)?;
        let plain =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !key.split('.').all(plain) {
            return Err(bad());
        }
        // What is no TOML value is a text without its quotes.
        let toml = [format!("{key} = {value}"), format!("{key} = {}", toml::Value::from(value))];
        let toml = toml.into_iter().find(|line| line.parse::<toml::Table>().is_ok()).ok_or_else(bad)?;
        Ok(Set { flag: flag.into(), toml })
    }
}

impl Provider for Set {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("--set {}", self.flag))
    }

    fn data(&self) -> Result<figment::value::Map<Profile, figment::value::Dict>, figment::Error> {
        Toml::string(&self.toml).data()
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

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    #[test]
    fn the_effective_settings_give_themselves_again() {
        let config = with(&["limits.messages_per_s=7", "door.origins=[\"https://a.example\"]"]).unwrap();
        let again: Config = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.limits.messages_per_s, Some(7));
    }

    #[test]
    fn a_value_needs_no_quotes() {
        let config =
            with(&["listen=127.0.0.1:0", "log.filter=warn,switchboard=debug", "log.format=json"]).unwrap();
        assert_eq!(config.log, Log { filter: "warn,switchboard=debug".into(), format: LogFormat::Json });
        assert_eq!(config.listen.port(), 0);
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_source() {
        let error = with(&["limits.mesages_per_s=7"]).unwrap_err().to_string();
        assert!(error.contains("mesages_per_s") && error.contains("--set limits.mesages_per_s=7"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_source() {
        let error = with(&["limits.messages_per_s=many"]).unwrap_err().to_string();
        assert!(error.contains("limits.messages_per_s") && error.contains("--set"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_come_with_a_hint() {
        let error = with(&["limits.heartbeat_interval_ms=200"]).unwrap_err().to_string();
        assert!(error.starts_with("limits.heartbeat_interval_ms is 200; the least is 1000"), "{error}");
        assert!(with(&["limits.heartbeat_interval_ms=0"]).is_ok());
        assert!(with(&["projects.default="]).is_err());
        for bad in ["listen", "=1", "a..b=1", "a b=1"] {
            assert!(matches!(with(&[bad]), Err(ConfigError::BadSet(_))), "{bad}");
        }
    }
}
