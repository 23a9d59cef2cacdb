//! JSON objects: recognizing one, and visiting its members.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use switchboard_event::Payload;

use crate::text::Text;

pub(crate) fn is_object(payload: &Payload) -> bool {
    payload.as_bytes().starts_with(b"{")
}

/// Calls `visit` for each member of an object, in order; for a duplicate member, twice. A caller that keeps the
/// last value behaves like JavaScript, whereas serde's derived readers refuse duplicates.
pub(crate) fn for_each_member<'a>(
    json: &'a [u8],
    visit: impl FnMut(Text<'a>, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer.deserialize_map(Members(visit))?;
    deserializer.end()
}

struct Members<F>(F);

impl<'de, F: FnMut(Text<'de>, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(json: &str) -> Option<Vec<(String, String)>> {
        let mut members = Vec::new();
        for_each_member(json.as_bytes(), |Text(key), value| members.push((key.into(), value.get().into())))
            .ok()?;
        Some(members)
    }

    #[test]
    fn members_are_visited_in_order_and_duplicates_twice() {
        let expected = [("a", "1"), ("\"", "[ ]"), ("a", "null")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(members(r#" {"a":1,"\"":[ ],"a":null} "#).unwrap(), expected);
        assert_eq!(members("{}").unwrap(), []);
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for json in ["", "[]", "null", "{", "{}{}", "{} x", "{\"a\"}", "{1:2}"] {
            assert_eq!(members(json), None, "{json}");
        }
    }
}
