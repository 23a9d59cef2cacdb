//! The settings of one or more sources as a tree. Each value keeps its source, so that an error can name
//! the file and line, the variable or the flag.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The file, and the line of the key, counted from 1.
    File(String, usize),
    /// The name of an environment variable.
    Variable(String),
    /// The key of a `--set`.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(file, line) => write!(f, "{file}:{line}"),
            Source::Variable(name) => f.write_str(name),
            // The only setting with a flag of its own.
            Source::Flag(key) if key == "listen" => f.write_str("--listen"),
            Source::Flag(key) => write!(f, "--set {key}"),
        }
    }
}

/// A section or a value, and where it was set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) source: Source,
    pub(super) content: Content,
}

/// A section or a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A section: nodes by name.
    Table(Table),
    /// A value of the file, which has the type that TOML gives it.
    Toml(toml::Value),
    /// A value of a variable or a flag. Its type is that of the setting.
    Text(String),
}

pub(super) type Table = BTreeMap<String, Node>;

impl Node {
    /// A value of a variable or a flag at `path`, inside one section for each part before the last.
    pub(super) fn text_at(path: &[&str], text: &str, source: &Source) -> (String, Node) {
        let (name, rest) = path.split_first().expect("a key has at least one part");
        let content = match rest {
            [] => Content::Text(text.into()),
            rest => Content::Table(Table::from([Node::text_at(rest, text, source)])),
        };
        ((*name).into(), Node { source: source.clone(), content })
    }

    /// The node as a section: a section, or a text that is an inline table of TOML.
    pub(super) fn to_table(&self) -> Option<Table> {
        match &self.content {
            Content::Table(table) => Some(table.clone()),
            Content::Text(text) => inline_table(text, &self.source),
            Content::Toml(_) => None,
        }
    }
}

/// Sets `name`, and overrides its value: sections are merged, anything else is replaced.
pub(super) fn merge(table: &mut Table, name: String, newer: Node) {
    if let Some(older) = table.get_mut(&name)
        && let (Some(mut merged), Some(inner)) = (older.to_table(), newer.to_table())
    {
        inner.into_iter().for_each(|(name, node)| merge(&mut merged, name, node));
        older.content = Content::Table(merged);
    } else {
        table.insert(name, newer);
    }
}

/// Removes the node at a path of names. Returns false if there is none.
pub(super) fn remove(table: &mut Table, path: &[&str]) -> bool {
    match path {
        [] => false,
        [name] => table.remove(*name).is_some(),
        [section, rest @ ..] => match table.get_mut(*section) {
            Some(node) => match &mut node.content {
                Content::Table(inner) => remove(inner, rest),
                Content::Toml(value) => {
                    value.as_array_mut().is_some_and(|list| remove_item(list, rest))
                        || table.remove(*section).is_some()
                }
                // An inline table of a variable or a flag.
                Content::Text(_) => table.remove(*section).is_some(),
            },
            None => false,
        },
    }
}

/// What a removed section of a list is replaced with, so that the others keep their numbers. No setting contains it.
pub(super) const REMOVED: &str = "\0removed";

/// Removes the section of a list that a path begins with. Returns false if there is none.
fn remove_item(list: &mut [toml::Value], path: &[&str]) -> bool {
    let item = path.first().and_then(|part| number(part)).and_then(|at| list.get_mut(at));
    item.map(|item| *item = REMOVED.into()).is_some()
}

/// The place of `[2]` in a list, which is 1.
fn number(part: &str) -> Option<usize> {
    part.strip_prefix('[')?.strip_suffix(']')?.parse::<usize>().ok()?.checked_sub(1)
}

/// The value at a key in a section of a list, such as `limits.rules[2].per`.
pub(super) fn find_in_list(table: &Table, key: &str) -> Option<toml::Value> {
    let (list, rest) = key.split_once('[')?;
    let (at, inner) = rest.split_once(']')?;
    let list = match &find(table, list)?.content {
        Content::Toml(list) => list.clone(),
        Content::Text(text) => value(text)?,
        Content::Table(_) => return None,
    };
    let item = list.get(number(&format!("[{at}]"))?)?.clone();
    inner.split('.').skip(1).try_fold(item, |value, name| value.get(name).cloned())
}

/// The node at a key such as `limits.messages_per_s`.
pub(super) fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Node> {
    table.iter().find_map(|(name, node)| match (key.strip_prefix(name.as_str())?, &node.content) {
        ("", _) => Some(node),
        // A name may itself contain dots, such as a project's.
        (rest, Content::Table(inner)) => find(inner, rest.strip_prefix('.')?),
        _ => None,
    })
}

/// The source of a key. A key inside an inline table of a variable or a flag has the source of the whole.
pub(super) fn source_of<'a>(table: &'a Table, key: &str) -> Option<&'a Source> {
    table.iter().find_map(|(name, node)| match (key.strip_prefix(name.as_str())?, &node.content) {
        ("", _) => Some(&node.source),
        (rest, Content::Table(inner)) => source_of(inner, rest.strip_prefix('.')?),
        (rest, _) => rest.starts_with(['.', '[']).then_some(&node.source),
    })
}

/// A text such as `{enabled = true}` as a section.
fn inline_table(text: &str, source: &Source) -> Option<Table> {
    // Most values are no table, and need not be parsed to find out.
    let table: toml::Table = text.trim_start().starts_with('{').then(|| value(text))??.try_into().ok()?;
    Some(nodes(table, source))
}

/// The nodes of a table whose values all have one source.
fn nodes(table: toml::Table, source: &Source) -> Table {
    let node = |value| Node {
        source: source.clone(),
        content: match value {
            toml::Value::Table(inner) => Content::Table(nodes(inner, source)),
            other => Content::Toml(other),
        },
    };
    table.into_iter().map(|(name, value)| (name, node(value))).collect()
}

/// Parses a value as TOML writes it in a file.
pub(super) fn value(text: &str) -> Option<toml::Value> {
    use serde::Deserialize;
    toml::Value::deserialize(toml::de::ValueDeserializer::parse(text.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(sets: &[(&str, &str)]) -> Table {
        let mut table = Table::new();
        for (key, text) in sets {
            let path: Vec<&str> = key.split('.').collect();
            let (name, node) = Node::text_at(&path, text, &Source::Flag((*key).into()));
            merge(&mut table, name, node);
        }
        table
    }

    #[test]
    fn sections_are_merged_and_values_are_replaced() {
        let table = merged(&[("a.x", "1"), ("a.y", "2"), ("a.x", "3"), ("b", "4")]);
        let text = |key| match find(&table, key).map(|node| &node.content) {
            Some(Content::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        assert_eq!(["a.x", "a.y", "b", "a", "b.x"].map(text), [Some("3"), Some("2"), Some("4"), None, None]);
        assert_eq!(find(&table, "a.y").unwrap().source, Source::Flag("a.y".into()));
    }

    #[test]
    fn an_inline_table_is_merged_with_a_section_in_either_order() {
        for sets in [[("a", "{x = 1}"), ("a.y", "2")], [("a.y", "2"), ("a", "{x = 1}")]] {
            let table = merged(&sets);
            assert_eq!(find(&table, "a.x").unwrap().content, Content::Toml(1.into()));
            assert_eq!(find(&table, "a.y").unwrap().content, Content::Text("2".into()));
        }
        assert_eq!(find(&merged(&[("a", "{x")]), "a").unwrap().content, Content::Text("{x".into()));
    }
}
