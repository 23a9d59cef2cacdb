//! Handles the frames of a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use switchboard_backplane::{ClientAction, ClientMessage};
use switchboard_event::{Buffer, Payload, Protocol};
use switchboard_wire::DecodeError;
use switchboard_wire::mesa::{self, Incoming, Message, op};
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::api::socket::Socket;
use crate::node::rates::check_event;
use crate::node::reports::{report, report_message_to_webhooks, sink_for};
use crate::protocols::mesa::client_state::{ClientState, client_of};
use crate::protocols::mesa::login::log_in;
use crate::protocols::received::Received;
use crate::routing::request::{ProtocolFields, Request};
use crate::routing::server::Server;

/// Handles a frame that was read at a time.
pub(crate) fn receive(
    server: &Arc<Server>,
    socket: &Socket,
    frame: Buffer<'_>,
    time: Instant,
) -> Result<Received, DecodeError> {
    let (node, session) = (socket.node(), socket.session());
    let client = client_of(session).expect("every socket of this protocol has this state");
    match mesa::decode(frame)? {
        Incoming::Message(message) if check_version(socket, client, &message) => {}
        // Clients of this protocol have no frame for a refusal.
        Incoming::Message(message) if is_over_rate(socket, &message, time) => {}
        Incoming::Message(message) if server.handles(Protocol::Mesa) => {
            return Ok(request(socket, message).map(Received::from).unwrap_or_default());
        }
        Incoming::Message(Message { op, kind, data }) => {
            report_message(socket, ClientMessage { op, kind, data, reply_to: None });
        }
        Incoming::Authenticate { token, should_sync } => log_in(socket, token, should_sync),
        Incoming::Heartbeat => {
            let frame = encode_with(OpCode::Text, 24, mesa::write_heartbeat_ack);
            node.hub().deliver_ahead(session, &frame);
        }
        Incoming::HeartbeatAck => client.has_answered.store(true, Ordering::Relaxed),
    }
    Ok(Received::default())
}

/// Returns true if the message exceeds a rate rule.
fn is_over_rate(socket: &Socket, message: &Message, time: Instant) -> bool {
    if !socket.node().rates.is_on() {
        return false;
    }
    let name = message.kind.clone().or_else(|| message.name().ok());
    name.is_some_and(|name| check_event(socket.node(), socket.session(), &name, false, time).is_err())
}

/// The request of a message, named by the message's type; `None` if that is no valid event name.
fn request(socket: &Socket, message: Message) -> Option<Request> {
    let is_untyped = message.kind.is_none();
    let event = message.kind.clone().or_else(|| message.name().ok())?;
    let Message { op, data, .. } = message;
    let fields = ProtocolFields { op, is_untyped, ..ProtocolFields::default() };
    Some(Request::with_fields(socket.clone(), event, data, None, fields))
}

/// The fallback for messages without a handler: reports them to the report sink.
pub(crate) async fn report_unhandled(request: Request) {
    report_message(request.socket(), request.to_report(None));
}

/// Reports a message without a handler to workers and webhooks. Without them the message is unknown.
fn report_message(socket: &Socket, message: ClientMessage) {
    let (node, session) = (socket.node(), socket.session());
    let is_accepted =
        sink_for(node, Protocol::Mesa).is_some_and(|sink| sink.accepts(&session.project.id, false));
    if is_accepted {
        report(node, session, ClientAction::Message(message));
    } else if !report_message_to_webhooks(node, session, || message) {
        node.meters().of(Protocol::Mesa).unhandled_events.increment(1);
    }
}

/// Returns true if the endpoint enforces a version and the message contains the client's. Closes the client
/// if its version differs.
fn check_version(socket: &Socket, client: &ClientState, message: &Message) -> bool {
    let Some(required) = &client.settings.enforces_version else { return false };
    if message.op != op::DISPATCH || message.kind.as_deref() != Some("CLIENT_VERSION") {
        return false;
    }
    let version = message.data.member("v");
    if version.as_ref().and_then(Payload::to_text).as_deref() != Some(required) {
        let reason = "the version of the client is not the server's";
        socket.node().close(socket.session(), CloseCode::PROTOCOL, reason);
    }
    true
}
