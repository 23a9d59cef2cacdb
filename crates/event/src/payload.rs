//! The data of an event: JSON, stored as the received bytes.

mod scratch;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{self, DATA_DEPTH_MAX, Raw, Text};

/// One complete JSON value as UTF-8 bytes. Cheap to clone; forwarding it does not parse it.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Shared(Bytes),
    /// A short value needs no allocation.
    Inline(Inline),
}

/// Bytes of a value that is stored inline: as many as an enum of this and [`Bytes`] holds without growing.
const INLINE_MAX: usize = 3 * size_of::<usize>() - 1;

#[derive(Clone, Copy)]
struct Inline {
    len: u8,
    bytes: [u8; INLINE_MAX],
}

/// The bytes in which a JSON value was found.
#[derive(Debug, Clone, Copy)]
pub enum Buffer<'a> {
    /// Payloads share them.
    Shared(&'a Bytes),
    /// Payloads copy their part.
    Borrowed(&'a [u8]),
}

/// A payload that shares a buffer keeps the other bytes of the buffer in memory, too. It may keep this many, or as many as it
/// has itself if that is more.
const SLACK_MAX: usize = 1024;

/// Why a value is not the data of an event, or data is not a value of the requested type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value cannot be represented as JSON, the text is not JSON, or the JSON does not match the type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Arrays and objects are nested too deeply.
    #[error("data nests deeper than {DATA_DEPTH_MAX} levels")]
    TooDeep,
}

impl Payload {
    /// The empty object, which means "no data".
    pub const EMPTY: Payload = Payload(Repr::Shared(Bytes::from_static(b"{}")));

    /// JSON's `null`.
    pub const NULL: Payload = Payload(Repr::Shared(Bytes::from_static(b"null")));

    /// Serializes a value. Fails if JSON cannot represent it, such as a map with keys that are not strings, or
    /// if its `Serialize` fails.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        scratch::with_scratch(|scratch| {
            serde_json::to_writer(&mut *scratch, value)?;
            Ok(Payload::copy(scratch))
        })
    }

    fn copy(json: &[u8]) -> Self {
        Payload::inline(json).unwrap_or_else(|| Payload(Repr::Shared(Bytes::copy_from_slice(json))))
    }

    /// `None` if the value is too long.
    fn inline(json: &[u8]) -> Option<Self> {
        let mut bytes = [0; INLINE_MAX];
        bytes.get_mut(..json.len())?.copy_from_slice(json);
        Some(Payload(Repr::Inline(Inline { len: json.len() as u8, bytes })))
    }

    /// A part of a JSON text, without a copy, unless that would keep much more than the part in memory. `raw` must
    /// borrow from `buffer`.
    ///
    /// # Panics
    ///
    /// If `raw` is not a slice of `buffer`.
    pub fn slice_of(buffer: &Bytes, raw: &RawValue) -> Self {
        Payload::slice(buffer, raw.get().as_bytes())
    }

    /// A part of a JSON text. `raw` must borrow from `buffer`.
    ///
    /// # Panics
    ///
    /// If `raw` is not a slice of a shared buffer.
    pub fn part_of(buffer: Buffer<'_>, raw: Raw<'_>) -> Self {
        let part = raw.get().as_bytes();
        match buffer {
            Buffer::Shared(buffer) => Payload::slice(buffer, part),
            Buffer::Borrowed(_) => Payload::copy(part),
        }
    }

    fn slice(buffer: &Bytes, part: &[u8]) -> Self {
        if let Some(payload) = Payload::inline(part) {
            return payload;
        }
        let slack = buffer.len() - part.len();
        if slack > SLACK_MAX.max(part.len()) {
            return Payload(Repr::Shared(Bytes::copy_from_slice(part)));
        }
        Payload(Repr::Shared(buffer.slice_ref(part)))
    }

    /// Copies the JSON, so that the payload keeps nothing else in memory. For payloads that are stored.
    pub fn detach(&self) -> Self {
        Payload::copy(self.as_bytes())
    }

    /// Checks that the text is one JSON value of at most [`DATA_DEPTH_MAX`] levels, as in frames of clients, and
    /// copies it.
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Payload::copy(raw.get().as_bytes()).checked_depth()
    }

    /// Checks that the bytes are one JSON value in UTF-8, without a copy and without a bound on its depth: for
    /// data that was accepted before, by a store or another node.
    pub fn parse_bytes(bytes: Bytes) -> Result<Self, PayloadError> {
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        Ok(Payload::slice_of(&bytes, raw))
    }

    /// Fails if the data has more than [`DATA_DEPTH_MAX`] levels.
    pub fn checked_depth(self) -> Result<Self, PayloadError> {
        if json::is_deeper_than(DATA_DEPTH_MAX, self.as_bytes()) {
            Err(PayloadError::TooDeep)
        } else {
            Ok(self)
        }
    }

    /// The JSON as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Shared(bytes) => bytes,
            Repr::Inline(Inline { len, bytes }) => &bytes[..usize::from(*len)],
        }
    }

    /// Deserializes the JSON.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Ok(serde_json::from_slice(self.as_bytes())?)
    }

    /// Returns true if the data is an object.
    pub fn is_object(&self) -> bool {
        self.as_bytes().starts_with(b"{")
    }

    /// The value of a member, without a copy: the last one if the member is repeated. `None` if there is none, or
    /// the data is not an object. Numbers keep their digits, unlike those of a `serde_json::Value`.
    ///
    /// ```
    /// use switchboard_event::Payload;
    ///
    /// let line = Payload::parse(r#"{"text":"hi","sum":1e400}"#).unwrap();
    /// assert_eq!(line.member("text").unwrap().to_text().as_deref(), Some("hi"));
    /// assert_eq!(line.member("sum").unwrap().as_bytes(), b"1e400");
    /// assert_eq!(line.member("author"), None);
    /// ```
    pub fn member(&self, name: &str) -> Option<Payload> {
        let mut found: Option<Raw<'_>> = None;
        json::for_each_raw_member(self.as_bytes(), |own, value| {
            if own.unescape().as_deref() == Some(name) {
                found = Some(value);
            }
        })
        .ok()?;
        found.map(|value| Payload::part_of(self.buffer(), value))
    }

    /// The string, if the data is a string that Rust can represent.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        Text::of(serde_json::from_slice(self.as_bytes()).ok()?)?.unescape()
    }

    fn buffer(&self) -> Buffer<'_> {
        match &self.0 {
            Repr::Shared(bytes) => Buffer::Shared(bytes),
            Repr::Inline(_) => Buffer::Borrowed(self.as_bytes()),
        }
    }

    /// Returns true for the falsy values of JavaScript: `null`, `false`, `""` and zero.
    pub fn is_falsy(&self) -> bool {
        match self.as_bytes() {
            b"null" | b"false" | b"\"\"" => true,
            [b'-' | b'0', ..] => self.to::<f64>().is_ok_and(|number| number == 0.0),
            _ => false,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(self.as_bytes()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// From JSON text only: other formats have no raw JSON.
impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        Ok(Payload::inline(json.as_bytes())
            .unwrap_or_else(|| Payload(Repr::Shared(json.into_string().into()))))
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Payload {}

impl<'a> Buffer<'a> {
    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Buffer::Shared(bytes) => bytes,
            Buffer::Borrowed(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a Bytes> for Buffer<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Buffer::Shared(bytes)
    }
}

impl<'a> From<&'a [u8]> for Buffer<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Buffer::Borrowed(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_falsy_as_in_javascript() {
        for falsy in ["0", "-0", "0.0", "0e5", "-0.0E1", "null", "false", "\"\""] {
            assert!(Payload::parse(falsy).unwrap().is_falsy(), "{falsy}");
        }
        for truthy in ["1", "0.1", "-1", "\"0\"", "[]", "{}", "true", "1e400", "-1e400"] {
            assert!(!Payload::parse(truthy).unwrap().is_falsy(), "{truthy}");
        }
    }

    #[test]
    fn a_small_part_of_a_large_buffer_is_copied_and_any_other_is_shared() {
        let is_shared = |part: usize, slack: usize| {
            let text = format!("\"{}\"{}", "x".repeat(part - 2), " ".repeat(slack));
            let buffer = Bytes::from(text);
            let raw: &RawValue = serde_json::from_slice(&buffer).unwrap();
            let payload = Payload::slice_of(&buffer, raw);
            assert_eq!(payload.as_bytes(), &buffer[..part]);
            assert_ne!(payload.detach().as_bytes().as_ptr(), buffer.as_ptr());
            payload.as_bytes().as_ptr() == buffer.as_ptr()
        };
        let short = INLINE_MAX + 1;
        assert!(is_shared(short, 0) && is_shared(short, SLACK_MAX) && is_shared(5000, 5000));
        assert!(!is_shared(short, SLACK_MAX + 1) && !is_shared(5000, 5001));
        assert!(!is_shared(INLINE_MAX, 0));
    }

    #[test]
    fn a_payload_holds_short_values_itself_and_is_no_larger_for_it() {
        assert_eq!(size_of::<Payload>(), size_of::<Bytes>());
        for len in [2, INLINE_MAX, INLINE_MAX + 1, 1000] {
            let text = "x".repeat(len - 2);
            let payload = Payload::of(&text).unwrap();
            assert_eq!(payload.as_bytes(), format!("\"{text}\"").as_bytes());
            assert_eq!(matches!(payload.0, Repr::Inline(_)), len <= INLINE_MAX);
            assert_eq!(payload, payload.clone());
            assert_eq!(payload.detach(), payload);
            assert_ne!(payload, Payload::NULL);
        }
        assert_eq!(Payload::of(&()).unwrap(), Payload::NULL);
    }

    #[test]
    fn a_value_may_serialize_others_while_it_is_serialized() {
        struct Nested(u32);
        impl Serialize for Nested {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let inner = self.0.checked_sub(1).map(|level| Payload::of(&Nested(level)).unwrap());
                (self.0, inner).serialize(serializer)
            }
        }
        assert_eq!(Payload::of(&Nested(2)).unwrap().as_bytes(), b"[2,[1,[0,null]]]");
    }

    #[test]
    fn parse_accepts_exactly_one_json_value() {
        assert_eq!(Payload::parse(" {\"a\": 1e400} ").unwrap().as_bytes(), b"{\"a\": 1e400}");
        for bad in ["", "{", "1 2", "nul", "{\"a\":}", "\u{feff}1"] {
            assert!(Payload::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parse_refuses_data_that_a_frame_of_a_client_could_not_contain() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Payload::parse(&nested(63)).is_ok());
        for levels in [64, 500_000] {
            assert!(matches!(Payload::parse(&nested(levels)), Err(PayloadError::TooDeep)), "{levels}");
        }
    }

    #[test]
    fn a_member_is_found_beside_names_that_rust_cannot_represent() {
        let data = Payload::parse(r#"{"\ud800":1,"a":2,"\u0061":"\ud800","b":[1e400 ]}"#).unwrap();
        assert_eq!(data.member("a").unwrap().as_bytes(), br#""\ud800""#);
        assert_eq!(data.member("a").unwrap().to_text(), None);
        assert_eq!(data.member("b").unwrap().as_bytes(), b"[1e400 ]");
        assert_eq!((data.member("c"), Payload::NULL.member("a")), (None, None));
    }

    #[test]
    fn a_payload_inside_a_struct_keeps_its_bytes() {
        let pair: (Payload, Option<Payload>) = serde_json::from_str(r#"[ {"a": 1e400} , "\ud800"]"#).unwrap();
        assert_eq!(pair.0.as_bytes(), b"{\"a\": 1e400}");
        assert_eq!(serde_json::to_string(&pair).unwrap(), r#"[{"a": 1e400},"\ud800"]"#);
    }
}
