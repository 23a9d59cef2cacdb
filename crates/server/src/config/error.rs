//! Errors of settings, for the operator: each names the key, its value, its source and a likely fix.

use std::{fmt, io};

/// An error in the settings. The operator has to correct it; the process exits with status 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file of `--config` cannot be read.
    #[error("cannot read the configuration file {path}; expected the path of a TOML file")]
    NoFile {
        /// The path of `--config`.
        path: String,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The file of `--config`, or a variable, is not UTF-8.
    #[error("{0} is not text in UTF-8")]
    NotText(String),
    /// A `--set` is not `section.key=value`.
    #[error("--set {0} is not of the form section.key=value")]
    BadSet(String),
    /// Unknown settings and values that are not allowed, one per line.
    #[error("{}", lines(.0))]
    Invalid(Vec<InvalidSetting>),
}

/// One unknown setting, or one with a value that is not allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvalidSetting {
    key: String,
    /// As set, `***` in place of a secret; none if the setting has no single value.
    value: Option<String>,
    /// The file and line, the variable or the flag that set the value.
    source: Option<String>,
    /// The part of the sentence behind the value.
    problem: String,
    hint: Option<String>,
}

impl InvalidSetting {
    /// `problem` follows the value and its source: "expected at least 1000".
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        InvalidSetting { key: key.into(), problem: problem.into(), ..InvalidSetting::default() }
    }

    /// Adds a line with the likely fix.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the value, as it may be shown.
    pub(super) fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds the source of the value.
    pub(super) fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn has_value(&self) -> bool {
        self.value.is_some()
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidSetting { key, value, source, problem, hint } = self;
        match (value, source) {
            (Some(value), Some(source)) => write!(f, "{key} is `{value}` ({source}); {problem}")?,
            (Some(value), None) => write!(f, "{key} is `{value}`; {problem}")?,
            (None, Some(source)) => write!(f, "{key} ({source}): {problem}")?,
            (None, None) => write!(f, "{key}: {problem}")?,
        }
        match hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<InvalidSetting> for ConfigError {
    fn from(invalid: InvalidSetting) -> Self {
        ConfigError::Invalid(vec![invalid])
    }
}

fn lines(settings: &[InvalidSetting]) -> String {
    settings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_key_value_source_and_fix_as_far_as_they_are_known() {
        let bare = InvalidSetting::new("limits.messages_per_s", "expected a whole number");
        assert_eq!(bare.to_string(), "limits.messages_per_s: expected a whole number");
        let full = bare.with_value("fast").with_source("switchboard.toml:12").with_hint("leave it out");
        assert_eq!(
            full.to_string(),
            "limits.messages_per_s is `fast` (switchboard.toml:12); expected a whole number\n\nhint: leave it out"
        );
    }
}
