//! The form of a limit that can be lifted, in settings: a number from 1, or the text `none`.
//!
//! For `#[serde(with = "switchboard::limit")]`. Zero is refused, because it would shut everybody out, and because
//! some expect it to lift the limit.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Rates {
//!     #[serde(with = "switchboard::limit")]
//!     requests_per_s: Option<u32>,
//! }
//!
//! let read = |value| serde_json::from_value::<Rates>(serde_json::json!({ "requests_per_s": value }));
//! assert_eq!(read(serde_json::json!(100)).unwrap().requests_per_s, Some(100));
//! assert_eq!(read(serde_json::json!("none")).unwrap().requests_per_s, None);
//! assert!(read(serde_json::json!(0)).is_err());
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// The text for no limit.
const NONE: &str = "none";

/// Writes the number, or `none`.
pub fn serialize<T: Serialize, S: Serializer>(limit: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match limit {
        Some(number) => number.serialize(serializer),
        None => NONE.serialize(serializer),
    }
}

/// Reads a number from 1, or `none`.
pub fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(LimitVisitor(PhantomData))
}

struct LimitVisitor<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for LimitVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1, or \"{NONE}\" for no limit")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        let limit = if number == 0 { None } else { T::try_from(number).ok() };
        limit.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        let unsigned =
            u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
        self.visit_u64(unsigned)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        match text {
            NONE => Ok(None),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}
