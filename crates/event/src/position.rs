//! Positions: places in the history of a room.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The version of a room's history. It is drawn at random, and changes whenever the history may have lost a message: a
/// position of another epoch says nothing about the messages since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// A place in the history of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Position {
    /// The version of the history.
    pub epoch: Epoch,
    /// The number of a message. The first message of an epoch has 1, and each message the next number. 0 is the place
    /// before the first.
    pub offset: u64,
}

impl Epoch {
    /// Bytes of the epoch's text.
    pub const TEXT_LEN: usize = 16;
}

/// 16 hexadecimal digits.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an epoch: 16 hexadecimal digits are expected")]
pub struct EpochError;

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        let is_hex = text.len() == Epoch::TEXT_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Epoch).ok_or(EpochError)
    }
}

/// As text: JavaScript has no integers of 64 bits.
impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_written_with_16_digits_and_read_back() {
        for epoch in [Epoch(0), Epoch(0xab), Epoch(u64::MAX)] {
            assert_eq!(epoch.to_string().len(), Epoch::TEXT_LEN);
            assert_eq!(epoch.to_string().parse(), Ok(epoch));
        }
        for text in ["", "0", "+000000000000000", "000000000000000g", "00000000000000000"] {
            assert_eq!(text.parse::<Epoch>(), Err(EpochError), "{text}");
        }
    }
}
