//! The four rights, and sets of them.

use std::fmt;

/// One thing that a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// `j`: become a member of a room, a tag or a shard.
    Join,
    /// `s`: send to it.
    Send,
    /// `h`: read its history.
    History,
    /// `p`: see who is a member.
    Presence,
}

impl Right {
    /// All rights, in the order of their letters.
    pub const ALL: [Right; 4] = [Right::Join, Right::Send, Right::History, Right::Presence];

    /// The letter in claims and settings.
    pub fn letter(self) -> char {
        match self {
            Right::Join => 'j',
            Right::Send => 's',
            Right::History => 'h',
            Right::Presence => 'p',
        }
    }

    /// The word for log lines, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Join => "join",
            Right::Send => "send",
            Right::History => "history",
            Right::Presence => "presence",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of the four rights.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Letters(u8);

impl Letters {
    pub(super) fn read(letters: &str) -> Result<Self, char> {
        letters.chars().try_fold(Letters::default(), |read, letter| {
            let right = Right::ALL.into_iter().find(|right| right.letter() == letter).ok_or(letter)?;
            Ok(read | Letters(1 << right as u8))
        })
    }

    pub(super) fn contains(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }
}

impl std::ops::BitOr for Letters {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Letters(self.0 | other.0)
    }
}
