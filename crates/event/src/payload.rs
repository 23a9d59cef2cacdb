//! The data of an event: JSON, stored as the received bytes.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// One complete JSON value as UTF-8 bytes. Shared; forwarding it does not parse it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// A value is not representable as JSON, or JSON does not match the requested type.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(#[from] serde_json::Error);

impl Payload {
    /// The empty object, which means "no data".
    pub const EMPTY: Payload = Payload(Bytes::from_static(b"{}"));

    /// JSON's `null`.
    pub const NULL: Payload = Payload(Bytes::from_static(b"null"));

    /// Serializes a value. Fails if JSON cannot represent it, such as a map with keys that are not strings, or
    /// if its `Serialize` fails.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        Ok(Payload(serde_json::to_vec(value)?.into()))
    }

    /// A part of a JSON text, without a copy. `raw` must borrow from `buffer`.
    ///
    /// # Panics
    ///
    /// If `raw` is not a slice of `buffer`.
    pub fn slice_of(buffer: &Bytes, raw: &RawValue) -> Self {
        Payload(buffer.slice_ref(raw.get().as_bytes()))
    }

    /// Checks that the text is one JSON value and copies it.
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Ok(Payload(Bytes::copy_from_slice(raw.get().as_bytes())))
    }

    /// Checks that the bytes are one JSON value in UTF-8, without a copy.
    pub fn parse_bytes(bytes: Bytes) -> Result<Self, PayloadError> {
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        Ok(Payload::slice_of(&bytes, raw))
    }

    /// The JSON as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Deserializes the JSON.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Ok(serde_json::from_slice(&self.0)?)
    }

    /// Returns true for the falsy values of JavaScript: `null`, `false`, `""` and zero.
    pub fn is_falsy(&self) -> bool {
        match &*self.0 {
            b"null" | b"false" | b"\"\"" => true,
            [b'-' | b'0', ..] => self.to::<f64>().is_ok_and(|number| number == 0.0),
            _ => false,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
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
    fn parse_accepts_exactly_one_json_value() {
        assert_eq!(Payload::parse(" {\"a\": 1e400} ").unwrap().as_bytes(), b"{\"a\": 1e400}");
        for bad in ["", "{", "1 2", "nul", "{\"a\":}", "\u{feff}1"] {
            assert!(Payload::parse(bad).is_err(), "{bad}");
        }
    }
}
