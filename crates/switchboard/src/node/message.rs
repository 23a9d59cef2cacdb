//! What nodes say to each other: JSON in a control publication.

use serde::{Deserialize, Serialize};
use switchboard_event::{NameError, SocketId, Target};
use switchboard_hub::JoinError;

use crate::node::conn::RequestError;

/// One thing said. `D` is how data is held: whole to be written, borrowed to be read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message<D> {
    /// Do this to the socket of the audience, and say what became of it.
    Call { answer_to: ReturnAddress, wish: Wish<D> },
    /// Why nothing became of the call whose id the audience is; what did become of one comes as
    /// [`Content::Answer`](switchboard_backplane::Content::Answer).
    Refused(Refusal),
    /// Do this to all sockets of the audience.
    Order(Order),
}

/// Where an answer goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReturnAddress {
    /// A project that no socket is in.
    pub(super) project: String,
    /// An id of the asking node that no socket has.
    pub(super) call: SocketId,
}

/// What one node asks another to do to a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Wish<D> {
    /// Ask its client; the answer is the client's.
    Ask { event: String, data: D, timeout_ms: u64 },
    /// Bring it in; the answer is false if it was in.
    Join(Place),
    /// Take it out; the answer is false if it was not in.
    Leave(Place),
}

/// What all nodes are to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Take the sockets out of what the audience names.
    Clear,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Gone,
    Timeout,
    CannotReply,
    TooMany { max: usize },
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::TooMany { max } => Refusal::TooMany { max },
            _ => Refusal::Gone,
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout(_) => Refusal::Timeout,
            RequestError::TooMany { max } => Refusal::TooMany { max },
            RequestError::CannotReply => Refusal::CannotReply,
            _ => Refusal::Gone,
        }
    }
}

/// Something that a socket can be brought into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    User(String),
    Room(String),
    Tag(String),
}

impl Place {
    /// None for what is no place to join.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::User(id) => Some(Place::User(id.to_string())),
            Target::Room(name) => Some(Place::Room(name.to_string())),
            Target::Tag(name) => Some(Place::Tag(name.to_string())),
            Target::Everyone | Target::Socket(_) => None,
        }
    }

    pub(super) fn target(&self) -> Result<Target, NameError> {
        match self {
            Place::User(id) => Target::user(id),
            Place::Room(name) => Target::room(name),
            Place::Tag(name) => Target::tag(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::Name;

    use super::*;

    #[test]
    fn a_place_comes_over_as_it_was() {
        let shard = Target::shard(&Name::new("#s").unwrap());
        for target in [shard, Target::tag("**t").unwrap(), Target::user("*7").unwrap()] {
            let said = serde_json::to_vec(&Place::of(&target)).unwrap();
            let place: Option<Place> = serde_json::from_slice(&said).unwrap();
            assert_eq!(place.unwrap().target().unwrap(), target);
        }
        assert_eq!(Place::of(&Target::Everyone), None);
        assert!(Place::User("x".repeat(257)).target().is_err(), "names are bounded here as well");
    }
}
