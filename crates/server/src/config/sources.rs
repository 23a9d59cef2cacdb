//! Where settings come from: a TOML file, then the environment, then flags; each overrides the one before.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::environment::Environment;
use super::error::{ConfigError, InvalidSetting};
use super::explain::{describe, locate};
use super::flag::Flag;
use super::process::LogFormat;
use super::read::Reader;
use super::toml_file;
use super::tree::{Content, Node, Source, Table, find, merge, remove, source_of};

/// Most invalid settings that an error names.
const ERRORS_MAX: usize = 20;

/// The file and the flags of a command line. Together with the environment they give the settings.
///
/// A running server keeps them, because it reads the settings again on SIGHUP.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    flags: Vec<String>,
}

/// Which sources the settings were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) file: Option<String>,
    /// How many environment variables are settings.
    pub(crate) variables: usize,
    /// How many flags are settings.
    pub(crate) flags: usize,
}

/// The settings of all sources, merged and not yet checked.
pub(super) struct Merged {
    table: Table,
    pub(super) origin: Origin,
    /// Names of the variables that an orchestrator sets; they are no settings.
    pub(super) foreign_variables: Vec<String>,
}

impl Sources {
    /// `flags` are `section.key=value`, without `--set`.
    pub fn new(file: Option<&Path>, flags: &[String]) -> Self {
        Sources { file: file.map(Path::to_owned), flags: flags.to_vec() }
    }

    /// Returns false if the file is a pipe, whose content can be read only once.
    pub(crate) fn can_be_read_again(&self) -> bool {
        // A file that is missing now may be there the next time.
        let is_pipe = |path: &PathBuf| path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
        !self.file.as_ref().is_some_and(is_pipe)
    }

    /// Reads and merges all sources.
    pub(super) fn read(&self) -> Result<Merged, ConfigError> {
        let mut table = self.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let environment = Environment::of(std::env::vars_os())?;
        for variable in &environment.settings {
            set(&mut table, &variable.key(), &variable.text, &Source::Variable(variable.name.clone()));
        }
        for flag in &self.flags {
            let Flag { key, text } = Flag::parse(flag)?;
            set(&mut table, key, text, &Source::Flag(key.into()));
        }
        let file = self.file.as_ref().map(|path| path.display().to_string());
        let origin = Origin { file, variables: environment.settings.len(), flags: self.flags.len() };
        Ok(Merged { table, origin, foreign_variables: environment.foreign })
    }

    /// The format of the log in these sources, also if other settings are invalid. `text` if it cannot be read; a pipe is
    /// not read.
    pub fn log_format(&self) -> LogFormat {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Format {
            format: Option<LogFormat>,
        }
        let without_file = || Sources { file: None, ..self.clone() }.read();
        let merged =
            if self.can_be_read_again() { self.read().or_else(|_| without_file()) } else { without_file() };
        let format = merged.ok().and_then(|merged| {
            let log = find(&merged.table, "log").and_then(Node::to_table)?;
            Format::deserialize(Reader::Table(&log)).ok()?.format
        });
        format.unwrap_or(LogFormat::Text)
    }
}

impl Merged {
    /// Reads all settings by their types. The error names all that are unknown or have another type, up to
    /// [`ERRORS_MAX`].
    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let (mut table, mut invalid) = (self.table.clone(), Vec::new());
        loop {
            match T::deserialize(Reader::Table(&table)) {
                Ok(read) if invalid.is_empty() => return Ok(read),
                Ok(_) => return Err(ConfigError::Invalid(invalid)),
                Err(error) => {
                    invalid.push(describe(&error, &self.table));
                    // Without the invalid setting, the next reading finds the next error.
                    if !remove(&mut table, &error.path()) || invalid.len() == ERRORS_MAX {
                        return Err(ConfigError::Invalid(invalid));
                    }
                }
            }
        }
    }

    /// Adds the value and its source to an error that only knows the key.
    pub(super) fn locate(&self, invalid: InvalidSetting) -> InvalidSetting {
        locate(invalid, &self.table)
    }

    /// Returns true if a source sets the key.
    pub(super) fn sets(&self, key: &str) -> bool {
        find(&self.table, key).is_some()
    }

    /// The source of a key, if one sets it.
    pub(super) fn source(&self, key: &str) -> Option<String> {
        self.sets(key).then(|| source_of(&self.table, key)).flatten().map(ToString::to_string)
    }

    /// The keys that a source sets, below a section or equal to `key`.
    pub(super) fn keys_in(&self, key: &str) -> Vec<String> {
        let mut keys = Vec::new();
        if let Some(node) = find(&self.table, key) {
            collect_keys(key, node, &mut keys);
        }
        keys
    }
}

fn collect_keys(key: &str, node: &Node, keys: &mut Vec<String>) {
    match &node.content {
        Content::Table(table) => {
            table.iter().for_each(|(name, inner)| collect_keys(&format!("{key}.{name}"), inner, keys));
        }
        Content::Toml(_) | Content::Text(_) => keys.push(key.into()),
    }
}

/// A file of any kind: a regular one, a pipe, `/dev/stdin`.
fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::InvalidData => ConfigError::NotText(name.clone()),
        _ => ConfigError::NoFile { path: name.clone(), cause },
    })?;
    let table = toml_file::parse(&text, &name).map_err(|problem| InvalidSetting::new(name, problem))?;
    let mut expanded = Table::new();
    table.into_iter().map(expand_redis).for_each(|(name, node)| merge(&mut expanded, name, node));
    Ok(expanded)
}

/// Sets a key to the text of a variable or a flag.
fn set(table: &mut Table, key: &str, text: &str, source: &Source) {
    let path: Vec<&str> = key.split('.').collect();
    let (name, node) = expand_redis(Node::text_at(&path, text, source));
    merge(table, name, node);
}

/// Expands the short form of the address of Redis: `redis = "…"` is `redis.url = "…"`.
fn expand_redis((name, node): (String, Node)) -> (String, Node) {
    if name != "redis" || node.to_table().is_some() {
        return (name, node);
    }
    let source = node.source.clone();
    (name, Node { source, content: Content::Table(Table::from([("url".into(), node)])) })
}
