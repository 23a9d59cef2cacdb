//! Calls that a backend orders with its answer: they act for the client, or send to others.

use serde::Deserialize;
use switchboard::{
    Audience, AudienceError, EmitError, JoinError, NameError, Payload, PayloadError, Socket, SocketId, Target,
};

/// The close code of a call without one.
const NORMAL: u16 = 1000;

/// One call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Call {
    /// Sends an event.
    Send(Box<SendCall>),
    /// Joins the client to a room.
    Join(RoomCall),
    /// Removes it from a room.
    Leave(RoomCall),
    /// Adds a tag to it.
    Tag(TagCall),
    /// Removes a tag.
    Untag(TagCall),
    /// Closes its connection after the reply.
    Disconnect(DisconnectCall),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendCall {
    to: Targets,
    #[serde(default)]
    except: Targets,
    event: String,
    #[serde(default)]
    data: Option<Payload>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomCall {
    room: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TagCall {
    tag: String,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DisconnectCall {
    code: u16,
    reason: String,
}

impl Default for DisconnectCall {
    fn default() -> Self {
        DisconnectCall { code: NORMAL, reason: String::new() }
    }
}

/// A union of sets of sockets, as in the HTTP API.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Targets {
    users: Vec<String>,
    rooms: Vec<String>,
    tags: Vec<String>,
    sockets: Vec<SocketId>,
    everyone: bool,
}

/// A call that cannot be executed. The calls before it were.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Audience(#[from] AudienceError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Executes calls in their order, up to the first that fails. Returns the call that closes the connection, if there is
/// one: the reply precedes it.
pub(super) fn execute(socket: &Socket, calls: Vec<Call>) -> Result<Option<DisconnectCall>, ExecuteError> {
    let mut disconnect = None;
    for call in calls {
        match call {
            Call::Disconnect(call) => disconnect = Some(call),
            call => call.execute(socket)?,
        }
    }
    Ok(disconnect)
}

impl DisconnectCall {
    pub(super) fn execute(&self, socket: &Socket) {
        socket.close(self.code, &self.reason);
    }
}

impl Call {
    fn execute(self, socket: &Socket) -> Result<(), ExecuteError> {
        match self {
            Call::Send(send) => send.execute(socket)?,
            Call::Join(RoomCall { room }) => drop(socket.join(&room)?),
            Call::Leave(RoomCall { room }) => drop(socket.leave(&room)?),
            Call::Tag(TagCall { tag }) => drop(socket.tag(&tag)?),
            Call::Untag(TagCall { tag }) => drop(socket.untag(&tag)?),
            Call::Disconnect(disconnect) => disconnect.execute(socket),
        }
        Ok(())
    }
}

impl SendCall {
    fn execute(self, socket: &Socket) -> Result<(), ExecuteError> {
        let SendCall { to, except, event, data } = self;
        let audience = Audience { to: to.into_targets()?, except: except.into_targets()? };
        let data = data.unwrap_or(Payload::EMPTY).checked_depth()?;
        socket.app().to(audience).emit_payload(&event, data)?;
        Ok(())
    }
}

impl Targets {
    fn into_targets(self) -> Result<Vec<Target>, NameError> {
        let Targets { users, rooms, tags, sockets, everyone } = self;
        let users = users.iter().map(|user| Target::user(user));
        let rooms = rooms.iter().map(|room| Target::room(room));
        let tags = tags.iter().map(|tag| Target::tag(tag));
        let named = users.chain(rooms).chain(tags);
        let sockets = sockets.into_iter().map(Target::Socket).chain(everyone.then_some(Target::Everyone));
        named.chain(sockets.map(Ok)).collect()
    }
}
