//! Settings from the command line: `--set section.key=value`.

use figment::providers::Format;
use figment::{Metadata, Profile, Provider};

use super::ConfigError;
use super::toml_format::Toml;

/// One `--set section.key=value`.
pub(super) struct Set {
    /// Without the value, which may be a secret.
    key: String,
    toml: String,
}

impl Set {
    pub(super) fn parse(flag: &str) -> Result<Self, ConfigError> {
        // Not the value: it may be a secret.
        let bad = || ConfigError::BadSet(flag.split('=').next().unwrap_or_default().into());
        let (key, value) = flag.split_once('=').ok_or_else(bad)?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !key.split('.').all(plain) {
            return Err(bad());
        }
        // What is no TOML value is a text without its quotes.
        let toml = [format!("{key} = {value}"), format!("{key} = {}", toml::Value::from(value))];
        let toml = toml.into_iter().find(|line| line.parse::<toml::Table>().is_ok()).ok_or_else(bad)?;
        Ok(Set { key: key.into(), toml })
    }
}

impl Provider for Set {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("--set {}", self.key))
    }

    fn data(&self) -> Result<figment::value::Map<Profile, figment::value::Dict>, figment::Error> {
        Toml::string(&self.toml).data()
    }
}
