//! Settings from the command line: `--set section.key=value`.

use figment::providers::Format;
use figment::value::{Dict, Map};
use figment::{Metadata, Profile, Provider};

use super::error::ConfigError;
use super::toml_format::Toml;

/// One `--set section.key=value`.
pub(super) struct Flag {
    /// Without the value, which may be a secret.
    key: String,
    toml: String,
}

impl Flag {
    pub(super) fn parse(flag: &str) -> Result<Self, ConfigError> {
        // The error omits the value, which may be a secret.
        let bad = || ConfigError::BadSet(flag.split('=').next().unwrap_or_default().into());
        let (key, value) = flag.split_once('=').ok_or_else(bad)?;
        let is_plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !key.split('.').all(is_plain) {
            return Err(bad());
        }
        // A value that is not TOML is a string without its quotes.
        let toml = [format!("{key} = {value}"), format!("{key} = {}", toml::Value::from(value))];
        let toml = toml.into_iter().find(|line| line.parse::<toml::Table>().is_ok()).ok_or_else(bad)?;
        Ok(Flag { key: key.into(), toml })
    }
}

impl Provider for Flag {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("--set {}", self.key))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Toml::string(&self.toml).data()
    }
}
