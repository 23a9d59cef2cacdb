//! What a client's frames do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Deserialize;
use switchboard_backplane::{ClientAction, ClientMessage};
use switchboard_event::Protocol;
use switchboard_wire::DecodeError;
use switchboard_wire::mesa::{self, Incoming, Message, op};
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use super::login::{log_in, settings};
use crate::api::socket::Socket;
use crate::node::reports;
use crate::routing::request::Request;
use crate::routing::server::Served;

/// Does what a frame asks for, or returns the event for handlers to do it.
pub(crate) fn receive(
    served: &Arc<Served>,
    socket: &Socket,
    frame: &Bytes,
) -> Result<Option<Request>, DecodeError> {
    let client = socket.peer().mesa().expect("every socket of this door has a client");
    match mesa::decode(frame)? {
        Incoming::Message(message) if tells_version(socket, &message) => {}
        Incoming::Message(message) if served.handles(Protocol::Mesa) => {
            return Ok(Request::of_mesa(socket.clone(), message));
        }
        // What no handler wants is for other processes.
        Incoming::Message(Message { op, kind, data }) => {
            reports::report(socket, ClientAction::Message(ClientMessage { op, kind, data, reply_to: None }));
        }
        Incoming::Other => {}
        Incoming::Authenticate { token, should_sync } => log_in(socket, token, should_sync),
        Incoming::Heartbeat => {
            let frame = encode_with(OpCode::Text, 24, mesa::write_heartbeat_ack);
            socket.app().hub().deliver_ahead(socket.session(), &frame);
        }
        Incoming::HeartbeatAck => client.answered.store(true, Ordering::Relaxed),
    }
    Ok(None)
}

/// Whether a message tells the client's version to who asks for it. Another one than is asked for
/// closes.
fn tells_version(socket: &Socket, message: &Message) -> bool {
    let Some(wanted) = &settings(socket.app()).enforces_version else { return false };
    if message.op != op::DISPATCH || message.kind.as_deref() != Some("CLIENT_VERSION") {
        return false;
    }
    #[derive(Deserialize)]
    struct Version {
        v: String,
    }
    if !message.data.to::<Version>().is_ok_and(|version| version.v == *wanted) {
        socket.close_with(CloseCode::PROTOCOL, "the version of the client is not the server's");
    }
    true
}
