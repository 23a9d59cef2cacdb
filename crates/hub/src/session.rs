//! The session of one socket: its id, its outbox and its memberships.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;
use switchboard_event::{NameError, Protocol, RoomName, SocketId, TagName, Target, UserId};

use crate::member_set::MemberSet;
use crate::outbox::{Outbox, Transport};
use crate::project::Project;

/// The hub's record of one socket. Holding it does not keep the connection open.
pub struct Session {
    /// Unique to the connection.
    pub id: SocketId,
    /// The socket's project; nothing is delivered from another.
    pub project: Arc<Project>,
    /// The socket's protocol.
    pub protocol: Protocol,
    /// The client receives the positions of messages in the history of their room.
    pub wants_positions: bool,
    /// The send queue.
    pub outbox: Outbox,
    /// State that the caller of [`Hub::add`](crate::Hub::add) keeps for the connection; the hub does not read it.
    pub connection_state: Box<dyn Any + Send + Sync>,
    pub(crate) membership: Mutex<Membership>,
}

/// The memberships of a session. The first is stored inline: most sockets join one room.
#[derive(Default)]
pub(crate) struct Membership {
    /// True between [`Hub::add`](crate::Hub::add) and [`Hub::remove`](crate::Hub::remove).
    pub(crate) open: bool,
    pub(crate) sets: MemberSets,
}

/// The member sets of a session.
pub(crate) type MemberSets = SmallVec<[Arc<MemberSet<Session>>; 1]>;

/// Why a socket did not join a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket has disconnected.
    #[error("the socket has closed")]
    Closed,
    /// The bound on memberships is reached.
    #[error("the socket is in {max} rooms and tags already, which is the most")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The bound on the bytes in the names of memberships is reached.
    #[error("the names of the socket's rooms and tags have {max} bytes already, which is the most")]
    TooManyBytes {
        /// The bound.
        max: usize,
    },
    /// The name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Session {
    pub(crate) fn new(
        id: SocketId,
        project: Arc<Project>,
        protocol: Protocol,
        wants_positions: bool,
        transport: Arc<dyn Transport>,
        connection_state: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Session {
            id,
            project,
            protocol,
            wants_positions,
            outbox: Outbox::new(transport),
            connection_state,
            membership: Mutex::default(),
        }
    }

    /// All memberships, in join order.
    pub fn targets(&self) -> Vec<Target> {
        self.membership().sets.iter().map(|set| set.target.clone()).collect()
    }

    /// Its rooms.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.select(|target| match target {
            Target::Room(name) => Some(name.clone()),
            _ => None,
        })
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<TagName> {
        self.select(|target| match target {
            Target::Tag(name) => Some(name.clone()),
            _ => None,
        })
    }

    /// Its users; usually at most one.
    pub fn users(&self) -> Vec<UserId> {
        self.select(|target| match target {
            Target::User(id) => Some(id.clone()),
            _ => None,
        })
    }

    /// Its user; the last one if it has several.
    pub fn user(&self) -> Option<UserId> {
        self.membership().sets.iter().rev().find_map(|set| match &set.target {
            Target::User(id) => Some(id.clone()),
            _ => None,
        })
    }

    /// Returns true if the socket is a member of the target.
    pub fn is_member(&self, target: &Target) -> bool {
        self.membership().sets.iter().any(|set| set.target == *target)
    }

    fn select<T>(&self, pick: impl Fn(&Target) -> Option<T>) -> Vec<T> {
        self.membership().sets.iter().filter_map(|set| pick(&set.target)).collect()
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
