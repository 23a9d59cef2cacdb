//! Host names in certificates and in the first message of a TLS client (SNI).

use std::collections::HashMap;

/// A table from host names to values. A name with `*.` in front matches one label in its place.
#[derive(Debug)]
pub(super) struct NameTable<T>(HashMap<String, T>);

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        NameTable(HashMap::new())
    }
}

impl<T> NameTable<T> {
    /// Adds a value, unless an earlier one has the name.
    pub(super) fn add(&mut self, name: &str, value: T) {
        self.0.entry(name.to_ascii_lowercase()).or_insert(value);
    }

    /// The value of a name, or of the wildcard that covers it.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = || self.0.get(&format!("*.{}", name.split_once('.')?.1));
        self.0.get(&name).or_else(wildcard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_precedes_a_wildcard_which_covers_one_label() {
        let mut table = NameTable::default();
        for (value, name) in ["a.example", "*.example", "*.a.example", "A.example"].into_iter().enumerate() {
            table.add(name, value);
        }
        for (name, value) in [
            ("a.example", Some(0)),
            ("A.EXAMPLE.", Some(0)),
            ("b.example", Some(1)),
            ("b.a.example", Some(2)),
            ("c.b.a.example", None),
            ("example", None),
            ("", None),
            ("other", None),
        ] {
            assert_eq!(table.find(name).copied(), value, "{name}");
        }
    }
}
