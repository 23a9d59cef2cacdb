//! TOML as a format of figment. Its own support would add a second version of the parser.

use std::fmt;

use figment::providers::Format;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// TOML files and strings.
pub(super) struct Toml;

/// A syntax error and its position. It omits the line, which may contain a secret.
#[derive(Debug)]
pub(super) struct TomlError(String);

impl TomlError {
    fn new(document: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| document.get(..span.start));
        TomlError(match before {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
                format!("line {line}, column {column}: {}", error.message())
            }
            None => error.message().to_owned(),
        })
    }
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TomlError {}

impl serde::de::Error for TomlError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        TomlError(message.to_string())
    }
}

impl Format for Toml {
    type Error = TomlError;

    const NAME: &'static str = "TOML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        toml::from_str(text).map_err(|error| TomlError::new(text, &error))
    }
}

/// The line on which a TOML document sets `key`, counted from 1; that of the nearest table around the
/// key if the document does not name the key itself.
pub(super) fn line_of(document: &str, key: &str) -> Option<usize> {
    let document_table = DeTable::parse(document).ok()?;
    let (mut table, mut start) = (document_table.get_ref(), None);
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else { break };
        start = Some(name.span().start);
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    Some(document[..start?].matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_in_sections_and_inline_tables() {
        let document = "listen = \"x\"\n\n[limits]\nmessages_per_s = 1\n[mesa]\nsync = { enabled = true }\nnamespace.x = 1\n";
        for (key, line) in [
            ("listen", Some(1)),
            ("limits.messages_per_s", Some(4)),
            ("mesa.sync.enabled", Some(6)),
            ("mesa.namespace.x", Some(7)),
            ("mesa.path", Some(5)),
            ("redis.url", None),
        ] {
            assert_eq!(line_of(document, key), line, "{key}");
        }
    }
}
