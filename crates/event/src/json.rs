//! Reading JSON without a tree: the members of an object, strings, and the depth of nesting.
//!
//! Everything that RFC 8259 allows can be read. A string, and so the name of a member, may contain half of a
//! surrogate pair (`"\ud800"`), which no Rust string can hold: it is available as it was written.

mod raw;
mod scanner;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use raw::{Raw, Text};
use scanner::Scanner;

/// Maximum number of levels of nested arrays and objects in a frame, including the frame's own object: 64.
/// Receivers parse frames, and their parsers may fail or recurse.
pub const DEPTH_MAX: usize = 64;

/// Maximum number of levels in the data of an event: 63, because a frame adds one.
pub const DATA_DEPTH_MAX: usize = DEPTH_MAX - 1;

/// Calls `visit` with the name and the value of each member of an object, in order; for a repeated member, each time. Of an
/// invalid text, it may visit the members before the error.
pub fn for_each_raw_member<'a>(
    json: &'a [u8],
    visit: impl FnMut(Text<'a>, Raw<'a>),
) -> Result<(), serde_json::Error> {
    let scanned = std::str::from_utf8(json).ok().and_then(|text| Scanner::new(text).members(visit));
    match scanned {
        Some(()) => Ok(()),
        // Fails too, and its error has the place.
        None => for_each_member(json, |_, _: &RawValue| ())
            .and_then(|()| Err(serde_json::Error::custom("the text is not a JSON object"))),
    }
}

/// Calls `visit` with the name and the value of each member of an object, in order; for a repeated member, each
/// time. A caller that keeps the last value reads like JavaScript, whereas serde's derived readers refuse
/// repeated members.
///
/// # Errors
/// If the bytes are not one JSON object in UTF-8. The members before the error have been visited.
pub fn for_each_member<'a, V: Deserialize<'a>>(
    json: &'a [u8],
    visit: impl FnMut(Text<'a>, V),
) -> Result<(), serde_json::Error> {
    // Checked once, or serde_json would check each member again.
    match std::str::from_utf8(json) {
        Ok(text) => read(serde_json::Deserializer::from_str(text), visit),
        // Fails too, and its error has the place.
        Err(_) => read(serde_json::Deserializer::from_slice(json), visit),
    }
}

fn read<'a, R: serde_json::de::Read<'a>, V: Deserialize<'a>>(
    mut json: serde_json::Deserializer<R>,
    visit: impl FnMut(Text<'a>, V),
) -> Result<(), serde_json::Error> {
    json.deserialize_map(Members { visit, value: PhantomData })?;
    json.end()
}

struct Members<F, V> {
    visit: F,
    value: PhantomData<V>,
}

impl<'de, V: Deserialize<'de>, F: FnMut(Text<'de>, V)> Visitor<'de> for Members<F, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&'de RawValue, V>()? {
            (self.visit)(Text::new(name.get()), value);
        }
        Ok(())
    }
}

/// Returns true if JSON nests deeper than this number of levels. Accepts any bytes.
pub fn is_deeper_than(levels: usize, json: &[u8]) -> bool {
    if json.len() <= levels {
        return false;
    }
    // An upper bound that counts brackets inside strings too; most frames pass it.
    let brackets = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    brackets > levels && depth(json) > levels
}

fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Skips to the byte after the closing quote.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn members(json: &str) -> Option<Vec<(&str, &str)>> {
        let mut members = Vec::new();
        for_each_member(json.as_bytes(), |name, value: &RawValue| {
            members.push((name.as_json(), value.get()))
        })
        .ok()?;
        Some(members)
    }

    fn unescaped(json: &str) -> Option<Cow<'_, str>> {
        Text::of(serde_json::from_str(json).unwrap()).unwrap().unescape()
    }

    #[test]
    fn members_are_visited_in_order_and_repeated_ones_each_time() {
        let expected = [("\"a\"", "1"), ("\"\\\"\"", "[ ]"), ("\"a\"", "null")];
        assert_eq!(members(r#" {"a":1, "\"" : [ ],"a":null} "#).unwrap(), expected);
        assert_eq!(members("{}").unwrap(), []);
    }

    #[test]
    fn half_a_surrogate_pair_is_read_as_it_was_written() {
        let json = r#"{"\ud800":"\udfff","x\uD83D":{"\udc00":0}}"#;
        let expected = [(r#""\ud800""#, r#""\udfff""#), (r#""x\uD83D""#, r#"{"\udc00":0}"#)];
        assert_eq!(members(json).unwrap(), expected);
        for half in [r#""\ud800""#, r#""a\udc00b""#, r#""\udc00\ud800""#] {
            assert_eq!(unescaped(half), None, "{half}");
        }
        assert_eq!(unescaped(r#""\ud83d\ude00""#).unwrap(), "😀");
    }

    #[test]
    fn a_string_is_borrowed_unless_it_has_escapes() {
        for (json, text) in [("\"\"", ""), ("\"é\u{7f}\u{2028}\"", "é\u{7f}\u{2028}")] {
            assert!(matches!(unescaped(json), Some(Cow::Borrowed(own)) if own == text), "{json}");
        }
        assert_eq!(unescaped(r#""\u0061\/\"\\\u0000""#).unwrap(), "a/\"\\\0");
        assert_eq!(Text::of(serde_json::from_str("5").unwrap()), None);
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for json in
            ["", "[]", "null", "{", "{}{}", "{} x", "{\"a\"}", "{1:2}", "{\"\u{1}\":0}", r#"{"\x":0}"#]
        {
            assert_eq!(members(json), None, "{json}");
        }
        assert!(for_each_member(b"{\"\xff\":0}", |_, _: &RawValue| ()).is_err());
        assert!(for_each_member(b"{\"\":\"\xff\"}", |_, _: &RawValue| ()).is_err());
    }

    #[test]
    fn the_last_permitted_level_passes_and_one_more_does_not() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!is_deeper_than(64, nested(64).as_bytes()));
        assert!(is_deeper_than(64, nested(65).as_bytes()));
    }

    #[test]
    fn brackets_side_by_side_and_in_strings_do_not_nest() {
        assert!(!is_deeper_than(64, "[],".repeat(1000).as_bytes()));
        let text = format!(r#"["\"{}",1]"#, "[".repeat(1000));
        assert!(!is_deeper_than(64, text.as_bytes()));
    }
}
