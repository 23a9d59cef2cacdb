//! Handles the frames of a client.

use std::sync::Arc;
use std::time::Instant;

use switchboard_backplane::ClientAction;
use switchboard_event::{Buffer, Protocol};
use switchboard_wire::DecodeError;
use switchboard_wire::emit::{self, Incoming};

use crate::api::socket::Socket;
use crate::node::rates::check_event;
use crate::node::remote::open_answer;
use crate::node::reports::{report, report_message_to_webhooks, sink_for};
use crate::node::resume::recovery;
use crate::protocols::emit::history;
use crate::protocols::emit::login::log_in;
use crate::protocols::emit::notices::notify_exceeded;
use crate::protocols::received::Received;
use crate::routing::reply::{IntoResponse, ReplyError, Response};
use crate::routing::request::{ProtocolFields, Request};
use crate::routing::router::unknown_event;
use crate::routing::server::Server;

/// Handles a frame that was read at a time.
pub(crate) fn receive(
    server: &Arc<Server>,
    socket: &Socket,
    frame: Buffer<'_>,
    time: Instant,
) -> Result<Received, DecodeError> {
    let incoming = emit::decode(frame)?;
    if !matches!(incoming, Incoming::Resume { .. }) {
        recovery::received_other(socket.node(), socket.session());
    }
    match incoming {
        Incoming::Event { name, data, ack } => {
            let is_request = ack.is_some();
            if let Err(exceeded) = check_event(socket.node(), socket.session(), &name, is_request, time) {
                notify_exceeded(socket, &name, ack.as_ref(), exceeded);
                return Ok(Received::default());
            }
            let fields = ProtocolFields { has_falsy_data: data.is_falsy(), ..ProtocolFields::default() };
            return Ok(Request::with_fields(socket.clone(), name, data, ack, fields).into());
        }
        Incoming::Unroutable { shown, ack } => server.unroutable(socket, &shown, ack.as_ref()),
        Incoming::Resume { data, ack } => {
            if !recovery::begin(socket.node(), socket.session(), &data) {
                // No notice: clients show positions to servers without a history, too.
                server.unhandled(socket, "@resume", ack.as_ref());
            }
        }
        Incoming::Notice { name, ack, .. } => server.unroutable(socket, name, ack.as_ref()),
        Incoming::Identify { token, ack } => log_in(socket, token, ack),
        Incoming::History { data, ack: Some(ack) } => {
            let recipients = history::answer(socket, &data, ack);
            return Ok(Received { request: None, recipients });
        }
        Incoming::History { ack: None, .. } => server.unroutable(socket, "@history", None),
        Incoming::Reply { ack, data } => {
            if !socket.connection_state().resolve(&ack, data) {
                socket.node().meters().of(Protocol::Emit).count_ignored_frame("unknown_reply");
            }
        }
    }
    Ok(Received::default())
}

/// Reports an event without a handler to workers and webhooks, and replies with a worker's answer. If nobody receives the
/// event, or it is a request and no worker can reply, the client receives the reply for unknown events.
///
/// The report is made before the first await, so reports keep the order of their events.
pub(crate) async fn report_unhandled(request: Request) -> Response {
    let (node, session) = (request.socket().node(), request.socket().session());
    let is_accepted = sink_for(node, Protocol::Emit)
        .is_some_and(|sink| sink.accepts(&session.project.id, request.wants_reply()));
    if !is_accepted {
        let is_reported = report_message_to_webhooks(node, session, || request.to_report(None));
        return match is_reported && !request.wants_reply() {
            true => Response::none(),
            false => unknown_event(request).await,
        };
    }
    if !request.wants_reply() {
        report(node, session, ClientAction::Message(request.to_report(None)));
        return Response::none();
    }
    let (reply_to, answer) = match open_answer(node) {
        Ok(call) => call,
        Err(error) => return ReplyError::new("busy", error.to_string()).into_response(),
    };
    report(node, session, ClientAction::Message(request.to_report(Some(reply_to))));
    match answer.await {
        Some(data) => data.into_response(),
        None => ReplyError::new("timeout", "nobody answered in time").into_response(),
    }
}
