//! Targets and audiences: the receivers of a message, as one value for every kind of send.

use std::fmt;
use std::str::FromStr;

use crate::{NameError, RoomName, ShardName, SocketId, TagName, UserId};

/// A set of sockets of one project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Every socket of the project.
    Everyone,
    /// The one socket with this id.
    Socket(SocketId),
    /// All sockets of this user.
    User(UserId),
    /// The sockets in this room; the name starts with `#`.
    Room(RoomName),
    /// The sockets with this tag; the name starts with `*`.
    Tag(TagName),
}

impl Target {
    /// The room of that name; `#` is prepended if it is missing.
    pub fn room(name: &str) -> Result<Self, NameError> {
        RoomName::new(name).map(Target::Room)
    }

    /// The room of a shard; see [`ShardName::room`].
    pub fn shard(name: &ShardName) -> Self {
        Target::Room(name.room())
    }

    /// The tag of that name; `*` is prepended if it is missing.
    pub fn tag(name: &str) -> Result<Self, NameError> {
        TagName::new(name).map(Target::Tag)
    }

    /// The user with that id.
    pub fn user(id: &str) -> Result<Self, NameError> {
        UserId::new(id).map(Target::User)
    }

    /// Length of the name in bytes; 0 for targets without one.
    pub fn name_len(&self) -> usize {
        match self {
            Target::Everyone | Target::Socket(_) => 0,
            Target::User(id) => id.len(),
            Target::Room(name) => name.len(),
            Target::Tag(name) => name.len(),
        }
    }
}

/// Reads `#room` or `*tag`. For text from outside, where a missing sigil is probably a mistake, such as the id of
/// a user; [`IntoAudience`] takes it as a room.
impl FromStr for Target {
    type Err = AudienceError;

    fn from_str(text: &str) -> Result<Self, AudienceError> {
        match text.chars().next() {
            Some('#') => Ok(Target::room(text)?),
            Some('*') => Ok(Target::tag(text)?),
            _ => Err(AudienceError::NoSigil(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Everyone => f.write_str("everyone"),
            Target::Socket(id) => write!(f, "socket {id}"),
            Target::User(id) => write!(f, "user {id}"),
            Target::Room(name) => f.write_str(name),
            Target::Tag(name) => f.write_str(name),
        }
    }
}

/// The receivers of a message: the sockets in `to`, minus those in `except`. A socket that matches twice gets
/// one copy. An empty `to` has no receivers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience {
    /// The union of these targets receives it.
    pub to: Vec<Target>,
    /// The sockets of these targets do not.
    pub except: Vec<Target>,
}

impl Audience {
    /// Every socket of the project.
    pub fn everyone() -> Self {
        Target::Everyone.into()
    }

    /// Adds a target to the receivers.
    pub fn and(mut self, target: impl Into<Target>) -> Self {
        self.to.push(target.into());
        self
    }

    /// Excludes a target.
    pub fn except(mut self, target: impl Into<Target>) -> Self {
        self.except.push(target.into());
        self
    }
}

/// Why a value does not describe an audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceError {
    /// The text that was to be read as a [`Target`] has no sigil.
    #[error("`{0}` is neither a `#room` nor a `*tag`")]
    NoSigil(String),
    /// The name is too long or empty.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Values that describe an audience: the name of a room, with or without its `#`, `"*tag"`, a [`Target`], a
/// [`SocketId`], a list of these, or an [`Audience`].
///
/// A text that can be the name of a room is that room, so it addresses the room that a socket joins by it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an audience",
    label = "not an audience",
    note = "an audience is the name of a room (`\"lobby\"` or `\"#lobby\"`), a tag (`\"*admin\"`), a `Target`, a `SocketId`, a `Vec` or array of these, or an `Audience`",
    note = "to address a user, write `Target::user(id)?`"
)]
pub trait IntoAudience {
    /// Converts the value. Fails if a text is not a valid name.
    fn into_audience(self) -> Result<Audience, AudienceError>;
}

impl From<Target> for Audience {
    fn from(target: Target) -> Self {
        Audience { to: vec![target], except: Vec::new() }
    }
}

impl From<SocketId> for Target {
    fn from(id: SocketId) -> Self {
        Target::Socket(id)
    }
}

impl IntoAudience for Audience {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        Ok(self)
    }
}

impl IntoAudience for Target {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        Ok(self.into())
    }
}

impl IntoAudience for SocketId {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        Ok(Target::Socket(self).into())
    }
}

impl IntoAudience for &str {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        let target = if self.starts_with('*') { Target::tag(self) } else { Target::room(self) };
        Ok(target?.into())
    }
}

impl IntoAudience for &String {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        self.as_str().into_audience()
    }
}

impl IntoAudience for String {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        self.as_str().into_audience()
    }
}

impl<T: IntoAudience> IntoAudience for Vec<T> {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        union(self)
    }
}

impl<T: IntoAudience, const N: usize> IntoAudience for [T; N] {
    fn into_audience(self) -> Result<Audience, AudienceError> {
        union(self)
    }
}

fn union<T: IntoAudience>(parts: impl IntoIterator<Item = T>) -> Result<Audience, AudienceError> {
    let mut union = Audience::default();
    for part in parts {
        let Audience { to, except } = part.into_audience()?;
        union.to.extend(to);
        union.except.extend(except);
    }
    Ok(union)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_without_a_sigil_is_no_target() {
        for text in ["lobby", "", " #lobby", "@all"] {
            assert!(matches!(text.parse::<Target>(), Err(AudienceError::NoSigil(_))), "{text}");
        }
        assert_eq!("#".parse::<Target>(), Err(AudienceError::Name(NameError::Empty)));
        assert_eq!("*vip".parse::<Target>(), Ok(Target::tag("vip").unwrap()));
    }

    proptest! {
        #[test]
        fn a_name_addresses_the_room_that_is_joined_by_it(name in "[#*@ a-zé]{0,6}") {
            match Target::room(&name) {
                Ok(room) => prop_assert_eq!(name.as_str().into_audience(), Ok(room.into())),
                Err(NameError::OtherKind { .. }) => prop_assert!(name.starts_with('*')),
                Err(error) => prop_assert_eq!(name.as_str().into_audience(), Err(error.into())),
            }
        }
    }

    #[test]
    fn different_shards_have_different_rooms() {
        let shard = |name| Target::shard(&ShardName::new(name).unwrap());
        assert_eq!(shard("lobby"), Target::room("lobby").unwrap());
        assert_eq!(shard("#lobby"), Target::room("##lobby").unwrap());
        assert_ne!(shard("lobby"), shard("#lobby"));
    }

    #[test]
    fn a_list_is_the_union_of_its_parts() {
        let audience = ["#a", "*b"].into_audience().unwrap();
        assert_eq!(audience.to, vec![Target::room("a").unwrap(), Target::tag("b").unwrap()]);
        assert!(audience.except.is_empty());
    }
}
