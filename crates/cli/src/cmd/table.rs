//! Lists as text: a line with the names of the columns, then a line for each entry, with tabs between the values.

use serde_json::{Map, Value};
use switchboard_log::Printable;

use crate::output::print_json;
use crate::streams::print_line;

/// Prints the entries of one list.
pub(super) struct Table {
    as_json: bool,
    /// The members of the entries so far, in their order; empty before the first entry.
    columns: Vec<String>,
}

impl Table {
    pub(super) fn new(as_json: bool) -> Self {
        Table { as_json, columns: Vec::new() }
    }

    /// Prints some entries. An entry that is no object is a line without a heading.
    pub(super) fn print(&mut self, entries: &[Value]) {
        if !self.as_json && self.columns.is_empty() {
            self.columns = columns(entries);
            if !self.columns.is_empty() {
                print_line(self.columns.iter().map(|name| heading(name)).collect::<Vec<_>>().join("\t"));
            }
        }
        entries.iter().for_each(|entry| match entry {
            entry if self.as_json => print_json(&entry.to_string()),
            Value::Object(members) => print_line(self.row(members)),
            entry => print_line(cell(entry)),
        });
    }

    /// The values of an entry below their headings; `-` for one that it does not have. Members without a heading follow.
    fn row(&self, members: &Map<String, Value>) -> String {
        let known = self.columns.iter().map(|name| members.get(name).map_or_else(|| "-".to_owned(), cell));
        let others = members.iter().filter(|(name, _)| !self.columns.contains(name));
        let others = others.map(|(name, value)| format!("{}={}", Printable(name), cell(value)));
        known.chain(others).collect::<Vec<_>>().join("\t")
    }
}

/// The members of all entries, in the order in which they first appear.
fn columns(entries: &[Value]) -> Vec<String> {
    let mut columns = Vec::new();
    for name in entries.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

fn heading(name: &str) -> String {
    Printable(name.replace('_', " ").to_uppercase()).to_string()
}

/// A value in a line of text: a text, a list of texts with commas, or JSON.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        value => value.to_string(),
    };
    Printable(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stand_below_their_headings_also_if_members_are_missing_or_new() {
        let entries = [json!({ "a": 1, "c_d": ["x", "y"] }), json!({ "a": 2, "b": "\u{1b}" })];
        let mut table = Table::new(false);
        table.columns = columns(&entries);
        assert_eq!(table.columns, ["a", "c_d", "b"]);
        let rows = entries.iter().map(|entry| table.row(entry.as_object().unwrap())).collect::<Vec<_>>();
        assert_eq!(rows, ["1\tx,y\t-", "2\t-\t<U+001B>"]);
        assert_eq!(table.row(json!({ "e": [1] }).as_object().unwrap()), "-\t-\t-\te=[1]");
        assert_eq!((heading("c_d"), columns(&[json!("text")])), ("C D".to_owned(), Vec::<String>::new()));
    }
}
