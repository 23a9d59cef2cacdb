//! Where settings come from: a TOML file, then the environment, then flags; each overrides the one before.
//!
//! Each value keeps its source, so that an error can name the file and line, the variable or the flag.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized};
use figment::value::Value;
use figment::{Figment, Metadata};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{ConfigError, InvalidSetting};
use super::flag::Flag;
use super::short_form::WithShortForm;
use super::toml_format::{Toml, line_of};

/// Environment variables begin with this; `__` replaces the dot: `SWITCHBOARD_LIMITS__ENABLED`.
const ENV_PREFIX: &str = "SWITCHBOARD_";

/// Keys of secrets; their values are never shown.
const SECRET_KEYS: &[&str] = &["api.keys", "auth.jwt_secret", "redis.sentinel_password", "redis.url"];

/// All sources, merged.
pub(super) struct Sources {
    figment: Figment,
    file: Option<PathBuf>,
}

impl Sources {
    /// Merges `file`, the environment and `flags` (`section.key=value`) over `defaults`.
    pub(super) fn read(
        defaults: impl Serialize,
        file: Option<&Path>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(defaults));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::NoFile(path.display().to_string()));
            }
            figment = figment.merge(WithShortForm(Toml::file_exact(path)));
        }
        // The short form is expanded before names are split, so that `SWITCHBOARD_REDIS` and
        // `SWITCHBOARD_REDIS__PREFIX` can be set together.
        let env = Env::prefixed(ENV_PREFIX);
        let env = env.map(|name| if name == "redis" { "redis__url".into() } else { name.into() });
        figment = figment.merge(env.split("__"));
        for flag in flags {
            figment = figment.merge(WithShortForm(Flag::parse(flag)?));
        }
        Ok(Sources { figment, file: file.map(Path::to_owned) })
    }

    /// Reads all settings; the error lists every setting that is unknown or of the wrong type.
    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.figment.extract().map_err(|errors| {
            ConfigError::Invalid(errors.into_iter().map(|error| self.describe(&error)).collect())
        })
    }

    /// Adds the value and its source to an error that only knows the key.
    pub(super) fn locate(&self, mut invalid: InvalidSetting) -> InvalidSetting {
        let Ok(value) = self.figment.find_value(invalid.key()) else { return invalid };
        let shown = if invalid.has_value() { None } else { show(invalid.key(), &value) };
        if let Some(shown) = shown {
            invalid = invalid.with_value(shown);
        }
        match self.figment.get_metadata(value.tag()).and_then(|metadata| self.source(invalid.key(), metadata))
        {
            Some(source) => invalid.with_source(source),
            None => invalid,
        }
    }

    fn describe(&self, error: &figment::Error) -> InvalidSetting {
        let mut key = error.path.join(".");
        if let Kind::UnknownField(field, known) = &error.kind {
            let metadata = error.metadata.as_ref();
            let source = metadata.and_then(|metadata| self.source(&key, metadata));
            let unknown = unknown(key, field, known);
            return match source {
                Some(source) => unknown.with_source(source),
                None => unknown,
            };
        }
        if key.is_empty() {
            // The document has a syntax error, so there is no key yet.
            key = self.file.as_ref().map_or("settings".into(), |file| file.display().to_string());
            return InvalidSetting::new(key, error.kind.to_string());
        }
        self.locate(InvalidSetting::new(key, expected(&error.kind)))
    }

    /// The source of a value in the operator's words; `None` for a default.
    fn source(&self, key: &str, metadata: &Metadata) -> Option<String> {
        if let (Some(figment::Source::File(_)), Some(file)) = (&metadata.source, &self.file) {
            let line = std::fs::read_to_string(file).ok().and_then(|text| line_of(&text, key));
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            return Some(format!("{}{line}", file.display()));
        }
        if metadata.name.starts_with("--") {
            return Some(metadata.name.clone().into_owned());
        }
        metadata.name.contains("environment").then(|| variable(key))
    }
}

/// The environment variable that sets a key.
fn variable(key: &str) -> String {
    let name = |key: &str| format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase());
    match key {
        "redis.url" if std::env::var_os(name(key)).is_none() => name("redis"),
        _ => name(key),
    }
}

/// A value as text, `***` if it is secret; `None` for a table.
fn show(key: &str, value: &Value) -> Option<String> {
    if SECRET_KEYS.iter().any(|secret| key.starts_with(secret)) {
        return Some("***".into());
    }
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Dict(..) => None,
        other => toml::Value::try_from(other).ok().map(|value| value.to_string()),
    }
}

fn unknown(key: String, field: &str, known: &[&str]) -> InvalidSetting {
    let similar = known.iter().max_by(|a, b| strsim::jaro(a, field).total_cmp(&strsim::jaro(b, field)));
    let invalid = InvalidSetting::new(key, "unknown setting");
    match similar.filter(|name| strsim::jaro(name, field) > 0.8) {
        Some(name) => invalid.with_hint(format!("did you mean `{name}`?")),
        None => invalid.with_hint(format!("the settings here are {}", listed(known))),
    }
}

/// The end of the error sentence for a value of the wrong type.
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("expected {}", plain_type(expected))
        }
        Kind::UnknownVariant(_, known) => format!("expected one of {}", listed(known)),
        Kind::Message(text) if text.contains("socket address") => format!("expected {}", plain_type(text)),
        other => other.to_string(),
    }
}

/// Rust's names of types in an operator's words.
fn plain_type(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number that is not negative",
        "a boolean" | "bool" => "true or false",
        "a string" | "string" => "a string",
        address if address.contains("socket address") => "an address with a port, such as 127.0.0.1:3000",
        other => other,
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
