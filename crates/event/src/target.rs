//! Targets and audiences: the receivers of a message, as one value for every kind of send.

use std::fmt;

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
    /// The text has no sigil. It is refused, because a typo must not address everyone.
    #[error("`{0}` is neither a `#room` nor a `*tag`")]
    NoSigil(String),
    /// The name is too long or empty.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Values that describe an audience: `"#room"`, `"*tag"`, a [`Target`], a [`SocketId`], a list of these, or an
/// [`Audience`].
pub trait IntoAudience {
    /// Converts the value. Fails on text that is neither a room nor a tag.
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
        match self.chars().next() {
            Some('#') => Ok(Target::room(self)?.into()),
            Some('*') => Ok(Target::tag(self)?.into()),
            _ => Err(AudienceError::NoSigil(self.chars().take(64).collect())),
        }
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
    use super::*;

    #[test]
    fn text_without_a_sigil_is_refused() {
        for text in ["lobby", "", " #lobby", "@all"] {
            assert!(matches!(text.into_audience(), Err(AudienceError::NoSigil(_))), "{text}");
        }
        assert_eq!("#".into_audience(), Err(AudienceError::Name(NameError::Empty)));
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
