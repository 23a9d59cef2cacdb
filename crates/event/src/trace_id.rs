//! The id of a trace: the recorded path of one message.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of a trace, written as 32 lower-case hexadecimal digits, as in W3C Trace Context. Its last 16 digits are not all
/// zero, so an optional id needs no further space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId {
    high: u64,
    low: NonZeroU64,
}

/// The text or the bytes are not the id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trace id: 32 hexadecimal digits are expected, the last 16 of them not all zero")]
pub struct TraceIdError;

impl TraceId {
    /// A new id, which cannot be guessed.
    pub fn random() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        TraceId { high, low: NonZeroU64::new(low).expect("the variant bits of a UUID are not zero") }
    }

    /// The id as 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low.get())).to_be_bytes()
    }

    /// The id from its [bytes](Self::to_bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, TraceIdError> {
        let (high, low) = Uuid::from_bytes(bytes).as_u64_pair();
        NonZeroU64::new(low).map(|low| TraceId { high, low }).ok_or(TraceIdError)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;

    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TraceIdError);
        }
        let id = u128::from_str_radix(text, 16).map_err(|_| TraceIdError)?;
        TraceId::from_bytes(id.to_be_bytes())
    }
}

impl TryFrom<String> for TraceId {
    type Error = TraceIdError;

    fn try_from(text: String) -> Result<Self, TraceIdError> {
        text.parse()
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips_as_text_and_as_bytes_and_needs_no_space_for_none() {
        let id = TraceId::random();
        assert_ne!(id, TraceId::random());
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(TraceId::from_bytes(id.to_bytes()), Ok(id));
        assert_eq!(size_of::<Option<TraceId>>(), 16);
    }

    #[test]
    fn other_text_is_refused() {
        let half_zero = "4bf92f3577b34da60000000000000000";
        for text in
            ["", "1", "+bf92f3577b34da6a3ce929d0e0e4736", "xbf92f3577b34da6a3ce929d0e0e4736", half_zero]
        {
            assert_eq!(text.parse::<TraceId>(), Err(TraceIdError), "{text}");
        }
        let of_64_bits: TraceId = "0000000000000000A3CE929D0E0E4736".parse().unwrap();
        assert_eq!(of_64_bits.to_string(), "0000000000000000a3ce929d0e0e4736");
    }
}
