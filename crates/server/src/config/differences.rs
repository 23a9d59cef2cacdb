//! Differences between settings, for a reload.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The keys whose values differ, sorted.
pub(super) fn differences(one: &Table, other: &Table) -> Vec<String> {
    let (mut old, new) = (BTreeMap::new(), &mut BTreeMap::new());
    flatten("", one, &mut old);
    flatten("", other, new);
    let mut keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| old.get(key) != new.get(key));
    keys
}

/// The values of all settings by their keys.
fn flatten<'a>(section: &str, table: &'a Table, values: &mut BTreeMap<String, &'a Value>) {
    for (name, value) in table {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, values),
            other => drop(values.insert(key, other)),
        }
    }
}
