//! Bounded names from outside the process: of events, rooms, tags, shards, users and projects.
//!
//! A name's length is checked once, when it is made ([`NAME_BYTES_MAX`]). Maps, log lines and storage keys
//! rely on that bound and do not check it again. Names with a role of their own are newtypes, so swapped
//! arguments do not compile:
//!
//! ```compile_fail
//! use switchboard_event::{ProjectId, UserId};
//!
//! fn sessions_of(project: &ProjectId, user: &UserId) {}
//!
//! let (project, user) = (ProjectId::new("game").unwrap(), UserId::new("ann").unwrap());
//! sessions_of(&user, &project);
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::Serialize;
use smol_str::SmolStr;

/// Longest name, in UTF-8 bytes: 256.
pub const NAME_BYTES_MAX: usize = 256;

/// Most characters of a name that an error repeats.
const SHOWN_CHARS: usize = 64;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// The text is longer than [`NAME_BYTES_MAX`].
    #[error("name is {len} bytes; the most is {NAME_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The name of a room begins with `*`, or that of a tag with `#`. To use such a name, write the sigil of its
    /// own kind before it, as in `#*admin`.
    #[error("`{name}` is the name of a {kind}, not of a {expected}")]
    OtherKind {
        /// The name, shortened.
        name: String,
        /// The kind that the sigil stands for.
        kind: &'static str,
        /// The kind that was expected.
        expected: &'static str,
    },
}

/// Conversions, comparisons and formatting that all names share; needs `$type::new(&str)`.
macro_rules! string_type {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                $type::new(text)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $type::new(text)
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                &**self == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                &**self == *other
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self)
            }
        }
    };
}

/// A newtype over [`Name`] without further rules.
macro_rules! plain_name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Name);

        impl $type {
            /// Checks the length and copies the text.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Name::new(text).map($type)
            }
        }

        impl From<Name> for $type {
            fn from(name: Name) -> Self {
                $type(name)
            }
        }

        string_type!($type);
    };
}

/// A newtype over [`Name`]: a name that begins with a sigil.
macro_rules! sigil_name {
    ($(#[$doc:meta])* $type:ident, $sigil:literal $kind:literal, not $other_sigil:literal $other_kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Name);

        impl $type {
            #[doc = concat!("Prepends `", $sigil, "` if it is missing. It does not count towards the length.")]
            #[doc = concat!("Refuses a text that begins with `", $other_sigil, "`: it is the name of a ", $other_kind, ".")]
            pub fn new(text: &str) -> Result<Self, NameError> {
                if text.starts_with($other_sigil) {
                    let name = text.chars().take(SHOWN_CHARS).collect();
                    return Err(NameError::OtherKind { name, kind: $other_kind, expected: $kind });
                }
                Name::new(text.strip_prefix($sigil).unwrap_or(text)).map(|bare| $type(bare.prefixed($sigil)))
            }
        }

        string_type!($type);
    };
}

/// A short text of 1 to [`NAME_BYTES_MAX`] bytes; cheap to clone. Names of events and of worker groups have this type. A name
/// of at most 23 bytes needs no allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(SmolStr);

string_type!(Name);

plain_name! {
    /// The id of a user, compared as text. A user may have many sockets.
    UserId
}

plain_name! {
    /// The id of a project. Projects are isolated: nothing is delivered from one to another.
    ProjectId
}

plain_name! {
    /// The id of a token: the claim `jti` of a JSON Web Token.
    TokenId
}

plain_name! {
    /// The name of a shard, without the sigil of its room.
    ShardName
}

sigil_name! {
    /// The name of a room; begins with `#`.
    RoomName, '#' "room", not '*' "tag"
}

sigil_name! {
    /// The name of a tag; begins with `*`.
    TagName, '*' "tag", not '#' "room"
}

impl Name {
    /// Checks the length and copies the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => Err(NameError::Empty),
            len if len > NAME_BYTES_MAX => Err(NameError::TooLong { len }),
            _ => Ok(Name(text.into())),
        }
    }

    fn prefixed(&self, sigil: char) -> Self {
        Name(format!("{sigil}{self}").into())
    }
}

impl ShardName {
    /// The room of the shard. A `#` is always prepended, so the shard `#a` and the shard `a` differ.
    pub fn room(&self) -> RoomName {
        RoomName(self.0.prefixed('#'))
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
    fn a_sigil_is_prepended_once_and_is_not_a_name_by_itself() {
        assert_eq!(RoomName::new("lobby").unwrap(), "#lobby");
        assert_eq!(RoomName::new("#lobby").unwrap(), "#lobby");
        assert_eq!(RoomName::new("##lobby").unwrap(), "##lobby");
        assert_eq!(RoomName::new("#"), Err(NameError::Empty));
        assert_eq!(RoomName::new(&"x".repeat(256)).unwrap().len(), 257);
        assert_eq!(RoomName::new(&"x".repeat(257)), Err(NameError::TooLong { len: 257 }));
    }

    #[test]
    fn a_name_with_the_sigil_of_the_other_kind_is_refused_unless_its_own_precedes_it() {
        assert!(matches!(RoomName::new("*admin"), Err(NameError::OtherKind { kind: "tag", .. })));
        assert!(matches!(TagName::new("#lobby"), Err(NameError::OtherKind { kind: "room", .. })));
        assert_eq!(RoomName::new("#*admin").unwrap(), "#*admin");
        assert_eq!(TagName::new("*#lobby").unwrap(), "*#lobby");
        let error = RoomName::new(&format!("*{}", "é".repeat(1000))).unwrap_err().to_string();
        assert!(error.chars().count() < 120, "{error}");
    }
}
