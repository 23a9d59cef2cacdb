//! A TOML document as a tree of settings, each with its line.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::tree::{Content, Node, Source, Table};

/// Parses a document. The error says where it is wrong, without the line itself, which may contain a
/// secret.
pub(super) fn parse(document: &str, file: &str) -> Result<Table, String> {
    let table = DeTable::parse(document).map_err(|error| syntax_error(document, &error))?;
    nodes(table.into_inner(), document, file)
}

fn nodes(table: DeTable<'_>, document: &str, file: &str) -> Result<Table, String> {
    let node = |(name, value): (Spanned<_>, Spanned<_>)| {
        let line = line_of(document, name.span().start);
        let content = content(value, document, file)
            .map_err(|problem| problem.unwrap_or_else(|| format!("line {line}: number out of range")))?;
        let source = Source::File(file.into(), line);
        Ok((std::borrow::Cow::into_owned(name.into_inner()), Node { source, content }))
    };
    table.into_iter().map(node).collect()
}

/// The error is `None` if the value is a number that cannot be represented.
fn content(value: Spanned<DeValue<'_>>, document: &str, file: &str) -> Result<Content, Option<String>> {
    if matches!(value.get_ref(), DeValue::Table(_)) {
        let DeValue::Table(inner) = value.into_inner() else { unreachable!("it was matched above") };
        return nodes(inner, document, file).map(Content::Table).map_err(Some);
    }
    // The library's error contains the value, which may be a secret.
    toml::Value::deserialize(ValueDeserializer::from(value)).map(Content::Toml).map_err(|_| None)
}

fn line_of(document: &str, at: usize) -> usize {
    document[..at].matches('\n').count() + 1
}

fn syntax_error(document: &str, error: &toml::de::Error) -> String {
    let fix = match error.message().contains("unquoted key") {
        true => "; a name with other characters needs quotes, as in [history.rooms.\"chat-*\"]",
        false => "",
    };
    match error.span().and_then(|span| document.get(..span.start)) {
        Some(before) => {
            let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
            let line = line_of(document, before.len());
            format!("line {line}, column {column}: {}{fix}", error.message())
        }
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::find;
    use super::*;

    #[test]
    fn each_setting_has_the_line_of_its_key() {
        let document = "listen = \"x\"\n\n[limits]\nmessages_per_s = 1\n[mesa]\nsync = { enabled = true }\nnamespace.x = 1\n";
        let table = parse(document, "f").unwrap();
        for (key, line) in [
            ("listen", 1),
            ("limits", 3),
            ("limits.messages_per_s", 4),
            ("mesa.sync.enabled", 6),
            ("mesa.namespace.x", 7),
        ] {
            assert_eq!(find(&table, key).unwrap().source, Source::File("f".into(), line), "{key}");
        }
        assert_eq!(find(&table, "mesa.path"), None);
    }

    #[test]
    fn a_name_that_needs_quotes_is_reported_with_an_example() {
        let error = parse("[history.rooms.chat-*]\nmessages_max = 1\n", "f").unwrap_err();
        assert!(error.starts_with("line 1, column 21: "), "{error}");
        assert!(error.ends_with("needs quotes, as in [history.rooms.\"chat-*\"]"), "{error}");
        assert!(parse("[history.rooms.\"chat-*\"]\nmessages_max = 1\n", "f").is_ok());
        let error = parse("listen = 127.0.0.1:3000\n", "f").unwrap_err();
        assert!(!error.contains("history"), "{error}");
    }

    #[test]
    fn a_number_out_of_range_is_reported_without_the_number() {
        let error = parse("[auth]\njwt_secret = 99999999999999999999999\n", "f").unwrap_err();
        assert_eq!(error, "line 2: number out of range");
    }
}
