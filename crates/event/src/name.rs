//! Names that come from outside: of events, rooms, tags, users and projects.
//!
//! Every name is bounded ([`NAME_BYTES_MAX`]) when it is made, so whatever holds one, a lock's
//! index, a log line or a key in a store, need not check again.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

/// Longest name, in UTF-8 bytes: 256.
pub const NAME_BYTES_MAX: usize = 256;

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name cannot be empty")]
    Empty,
    /// It is over [`NAME_BYTES_MAX`].
    #[error("name is {len} bytes; the most is {NAME_BYTES_MAX}")]
    TooLong {
        /// How long it is, in bytes.
        len: usize,
    },
}

/// A short shared text, cheap to clone, from 1 to [`NAME_BYTES_MAX`] bytes; the sigil that
/// [`with_sigil`](Name::with_sigil) or [`Target::shard`](crate::Target::shard) put in front is not
/// counted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The id of a user, who may have many sockets. Compared as text.
pub type UserId = Name;

/// The name of a project; nothing ever crosses from one to another.
pub type ProjectId = Name;

impl Name {
    /// Checks the length and takes a copy.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => Err(NameError::Empty),
            len if len > NAME_BYTES_MAX => Err(NameError::TooLong { len }),
            _ => Ok(Name(text.into())),
        }
    }

    /// Puts `sigil` in front unless the text has it: `lobby` and `#lobby` are both `#lobby`.
    pub fn with_sigil(sigil: char, text: &str) -> Result<Self, NameError> {
        Name::new(text.strip_prefix(sigil).unwrap_or(text)).map(|bare| bare.behind(sigil))
    }

    /// The same with `sigil` in front, whether it begins with one or not.
    pub(crate) fn behind(&self, sigil: char) -> Self {
        Name(format!("{sigil}{self}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Name::new(text)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_between_1_and_256_bytes() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"é".repeat(128)).unwrap().len(), 256);
        assert_eq!(Name::new(&"x".repeat(257)), Err(NameError::TooLong { len: 257 }));
    }

    #[test]
    fn a_sigil_is_added_once_and_alone_is_no_name() {
        assert_eq!(Name::with_sigil('#', "lobby").unwrap(), "#lobby");
        assert_eq!(Name::with_sigil('#', "#lobby").unwrap(), "#lobby");
        assert_eq!(Name::with_sigil('#', "##lobby").unwrap(), "##lobby");
        assert_eq!(Name::with_sigil('#', "#"), Err(NameError::Empty));
        assert_eq!(Name::with_sigil('#', &"x".repeat(256)).unwrap().len(), 257);
        assert_eq!(Name::with_sigil('#', &"x".repeat(257)), Err(NameError::TooLong { len: 257 }));
    }
}
