//! Reads every JSON text, for comparisons.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use switchboard_event::json::{Text, for_each_member};

/// Reads JSON into a value. A name or value that Rust cannot represent, such as `1e400` or `"\ud800"`, becomes a
/// string: its JSON.
pub fn read_json(json: &str) -> serde_json::Result<Value> {
    Ok(value_of(serde_json::from_str(json)?))
}

fn value_of(json: &RawValue) -> Value {
    let text = json.get();
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let mut members = Map::new();
    let visit = |name: Text<'_>, value: &RawValue| {
        let name = name.unescape().map_or(name.as_json().to_owned(), String::from);
        members.insert(name, value_of(value));
    };
    if for_each_member(text.as_bytes(), visit).is_ok() {
        return Value::Object(members);
    }
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(list) => list.into_iter().map(value_of).collect(),
        Err(_) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_rust_cannot_represent_is_read_as_its_json() {
        let json = r#"{"a":[1,1e400],"\ud800":{"b":"\udfff","\u0063":2}}"#;
        let expected = json!({ "a": [1, "1e400"], r#""\ud800""#: { "b": r#""\udfff""#, "c": 2 } });
        assert_eq!(read_json(json).unwrap(), expected);
        assert!(read_json("{").is_err());
    }
}
