//! One socket's record: its id, its outbox, and what it belongs to.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;
use switchboard_event::{NameError, Protocol, RoomName, SocketId, TagName, Target, UserId};

use crate::member_set::MemberSet;
use crate::{Outbox, Project, Transport};

/// The hub's record of one socket. Holding one keeps nobody connected.
pub struct Session {
    /// New for every connection.
    pub id: SocketId,
    /// The project it belongs to; nothing reaches it from another.
    pub project: Arc<Project>,
    /// What it speaks.
    pub protocol: Protocol,
    /// What waits to be sent to it.
    pub outbox: Outbox,
    /// What the maker of the session keeps with it.
    pub peer: Box<dyn Any + Send + Sync>,
    pub(crate) membership: Mutex<Membership>,
}

/// What a session is in. The first stands inline: most sockets are in one room.
#[derive(Default)]
pub(crate) struct Membership {
    /// False before the hub knows the session and after it has forgotten it.
    pub(crate) open: bool,
    pub(crate) groups: SmallVec<[Arc<MemberSet>; 1]>,
}

/// Why a socket did not come into a room, a tag or a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It has closed.
    #[error("the socket has closed")]
    Gone,
    /// The bound is a setting.
    #[error("the socket is in {max} rooms and tags already, which is the most")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Session {
    /// A session that [`Hub::add`](crate::Hub::add) makes known. It writes through `transport`.
    pub(crate) fn new(
        id: SocketId,
        project: Arc<Project>,
        protocol: Protocol,
        transport: Arc<dyn Transport>,
        peer: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Session { id, project, protocol, outbox: Outbox::new(transport), peer, membership: Mutex::default() }
    }

    /// Everything it is in, in the order it came in.
    pub fn targets(&self) -> Vec<Target> {
        self.membership().groups.iter().map(|group| group.target.clone()).collect()
    }

    /// The rooms it is in, each name with its `#`.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.select(|target| match target {
            Target::Room(name) => Some(name.clone()),
            _ => None,
        })
    }

    /// The tags it has, each name with its `*`.
    pub fn tags(&self) -> Vec<TagName> {
        self.select(|target| match target {
            Target::Tag(name) => Some(name.clone()),
            _ => None,
        })
    }

    /// The users it is a socket of; usually one at the most.
    pub fn users(&self) -> Vec<UserId> {
        self.select(|target| match target {
            Target::User(id) => Some(id.clone()),
            _ => None,
        })
    }

    fn select<T>(&self, pick: impl Fn(&Target) -> Option<T>) -> Vec<T> {
        self.membership().groups.iter().filter_map(|group| pick(&group.target)).collect()
    }

    pub(crate) fn membership(&self) -> std::sync::MutexGuard<'_, Membership> {
        self.membership.lock().expect("no code that holds a membership panics")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.id)
    }
}
