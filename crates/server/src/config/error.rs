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

/// One setting as it is; several as a list, each with its hint.
fn lines(settings: &[InvalidSetting]) -> String {
    match settings {
        [one] => one.to_string(),
        many => many.iter().fold(format!("{} settings are invalid", many.len()), |text, setting| {
            format!("{text}\n  {}", setting.to_string().replace("\n\nhint: ", "\n    hint: "))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, with};
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
        let other = InvalidSetting::new("listn", "unknown setting");
        assert_eq!(
            ConfigError::Invalid(vec![full, other]).to_string(),
            "2 settings are invalid\n  limits.messages_per_s is `fast` (switchboard.toml:12); expected a whole number\n    \
             hint: leave it out\n  listn: unknown setting"
        );
    }

    #[test]
    fn an_unknown_setting_is_reported_with_its_source_and_a_similar_name() {
        let error = with(&["limits.mesages_per_s=7"]).unwrap_err().to_string();
        let expected = "limits.mesages_per_s (--set limits.mesages_per_s): unknown setting\n\n\
                        hint: did you mean `messages_per_s`?";
        assert_eq!(error, expected);
    }

    #[test]
    fn an_error_in_a_list_names_the_number_of_the_section_and_the_value() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        let rule = |rest: &str| format!("[[limits.rules]]\nevents = [\"/a\"]\n{rest}\n");
        let rules = [
            "per = \"user\"\nrate = \"1/s\"",
            "per = \"room\"\nrate = \"1/s\"",
            "per = \"user\"\nrat = \"1/s\"",
        ];
        std::fs::write(&file, rules.map(rule).concat()).unwrap();
        let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
        assert!(error.starts_with("2 settings are invalid\n"), "{error}");
        assert!(error.contains("limits.rules[2].per is `room` ("), "{error}");
        assert!(error.contains("limits.rules[3].rat ("), "{error}");
        let flag = "limits.rules=[{ events = [\"/a\"], per = \"room\", rate = \"1/s\" }]";
        let error = with(&[flag]).unwrap_err().to_string();
        assert!(
            error.starts_with("limits.rules[1].per is `room` (--set limits.rules); expected one of"),
            "{error}"
        );
    }

    #[test]
    fn all_settings_that_cannot_be_read_are_reported_at_once() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        let text = "listn = 1\n[limits]\nmessages_per_s = \"fast\"\nenabled = 5\n[projects.named.\"a.b\"]\nx = 1\n\
                    [[log]]\nformat = \"json\"\n[mesa]\nsync = 5\n";
        std::fs::write(&file, text).unwrap();
        let sets = ["auth.leeway_s=long".to_owned(), "koji={x = 1}".to_owned()];
        let error = Config::load(Some(file.as_ref()), &sets).unwrap_err().to_string();
        assert!(error.starts_with("8 settings are invalid\n  "), "{error}");
        for (key, line) in [
            ("listn", ":1"),
            ("limits.messages_per_s", ":3"),
            ("limits.enabled", ":4"),
            ("projects.named.a.b.x", ":6"),
            ("log", ":7"),
            ("mesa.sync", ":10"),
        ] {
            assert!(
                error.contains(&format!("\n  {key} ")) && error.contains(&format!("({file}{line})")),
                "{key}: {error}"
            );
        }
        assert!(error.contains("\n  auth.leeway_s is `long` (--set auth.leeway_s); expected"), "{error}");
        assert!(
            error.contains("\n  koji.x (--set koji)") && error.contains("\n    hint: did you mean `listen`?"),
            "{error}"
        );
        let many: Vec<String> = (0..50).map(|n| format!("nonsense{n}=1")).collect();
        let error = Config::load(None, &many).unwrap_err().to_string();
        assert!(error.starts_with("20 settings are invalid"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_reported_with_key_value_and_source() {
        let error = with(&["limits.messages_per_s=many"]).unwrap_err().to_string();
        let source = "(--set limits.messages_per_s)";
        let expected = format!("limits.messages_per_s is `many` {source}; expected a whole number");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_list_in_place_of_a_section_is_refused() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (text, key) in [
            ("limits = [false, 5]", "limits"),
            ("limits = []", "limits"),
            ("[[limits]]\nmessages_per_s = 5", "limits"),
            ("[mesa]\nheartbeat = [true]", "mesa.heartbeat"),
            ("[projects]\nnamed = [[\"a\"]]", "projects.named"),
            ("projects.named.a = [true]", "projects.named.a"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{key} is ")), "{text}: {error}");
            assert!(error.contains("expected a section with settings"), "{text}: {error}");
        }
        assert!(with(&["limits=[false, 5]"]).is_err());
    }

    #[test]
    fn an_error_in_a_project_whose_id_contains_a_dot_names_value_and_source() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        std::fs::write(&file, "[projects.named.\"a.b\"]\ncapacity_max = \"many\"\n").unwrap();
        let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("projects.named.a.b.capacity_max is `many` ({file}:2)")),
            "{error}"
        );
    }

    #[test]
    fn an_error_in_an_inline_table_of_a_flag_names_the_flag() {
        for (set, key) in [
            ("limits={messages_per_s = \"many\"}", "limits.messages_per_s"),
            ("limits={mesages_per_s = 7}", "limits.mesages_per_s"),
            ("mesa={heartbeat = {interval_ms = 0}}", "mesa.heartbeat.interval_ms"),
        ] {
            let error = with(&[set]).unwrap_err().to_string();
            let flag = set.split_once('=').unwrap().0;
            assert!(error.starts_with(key) && error.contains(&format!("(--set {flag})")), "{error}");
        }
    }

    #[test]
    fn an_error_in_a_file_names_its_line() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (text, line) in [
            ("[limits]\n\nmessages_per_s = \"fast\"\n", 3),
            ("listen = \"127.0.0.1:0\"\n[limits]\nmesages_per_s = 1\n", 3),
            ("limits.heartbeat_interval_ms = 1\n", 1),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("({file}:{line})")), "{text}: {error}");
        }
        std::fs::write(&file, "listen = \n").unwrap();
        let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
        assert!(error.starts_with(&file) && error.contains("line 1"), "{error}");
    }

    #[test]
    fn an_invalid_value_is_reported_with_a_hint() {
        let error = with(&["limits.heartbeat_interval_ms=200"]).unwrap_err().to_string();
        let expected = "limits.heartbeat_interval_ms is `200` (--set limits.heartbeat_interval_ms); \
                        expected 0 or at least 1000\n\nhint: ";
        assert!(error.starts_with(expected), "{error}");
        assert!(with(&["limits.heartbeat_interval_ms=0"]).is_ok());
        assert!(with(&["projects.default="]).is_err());
        for bad in ["listen", "=1", "a..b=1", "a b=1"] {
            assert!(matches!(with(&[bad]), Err(ConfigError::BadSet(_))), "{bad}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_reported_with_its_path() {
        let scratch = switchboard_testkit::Scratch::new();
        let error = Config::load(Some(scratch.file("missing").as_ref()), &[]).unwrap_err();
        assert!(matches!(&error, ConfigError::NoFile { path, .. } if path.ends_with("missing")), "{error:?}");
        assert!(error.to_string().contains("expected the path of a TOML file"), "{error}");
        let folder = scratch.file("");
        assert!(matches!(Config::load(Some(folder.as_ref()), &[]), Err(ConfigError::NoFile { .. })));
        let latin1 = scratch.file("latin1");
        std::fs::write(&latin1, b"# \xe9\n").unwrap();
        let error = Config::load(Some(latin1.as_ref()), &[]).unwrap_err();
        assert!(matches!(&error, ConfigError::NotText(path) if *path == latin1), "{error:?}");
    }
}
