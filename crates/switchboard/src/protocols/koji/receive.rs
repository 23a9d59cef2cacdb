//! Handles the frames of a client.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use switchboard_event::{Audience, Buffer, Name, Payload, Protocol, RatedOperation, Resource, Target};
use switchboard_wire::DecodeError;
use switchboard_wire::koji::{self, Incoming};

use crate::api::socket::Socket;
use crate::node::access::{check, operation::Operation};
use crate::node::rates::{check_event, check_operation};
use crate::node::refused_event::RefusedEvent;
use crate::node::resume::recovery;
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::history;
use crate::protocols::koji::identify::identify;
use crate::protocols::koji::member_lists::MemberLists;
use crate::protocols::koji::relay::relay;
use crate::protocols::koji::rights::{notify_exceeded, notify_forbidden, notify_refused};
use crate::protocols::koji::user_info::set_user_info;
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
    let incoming = koji::decode(frame, client.rules.message_bounds())?;
    if !matches!(incoming, Incoming::Resume(_)) {
        recovery::received_other(node, session);
    }
    match incoming {
        Incoming::Event { name, payload, recipients } => {
            if let Err(exceeded) = check_event(node, session, &name, false, time) {
                notify_exceeded(node, session, &name, exceeded);
                return Ok(Received::default());
            }
            let named = recipients.as_ref().map_or(0, Vec::len);
            let request = receive_event(server, socket, client, name, payload, recipients);
            return Ok(Received { request, recipients: named });
        }
        Incoming::SetUserInfo(info) if info.as_bytes().len() > client.rules.user_info_bytes_max => {
            let error = format!("a user info has at most {} bytes", client.rules.user_info_bytes_max);
            refused_event("info_too_long", socket, "SET_USER_INFO", error);
        }
        Incoming::SetUserInfo(info) => {
            if let Err(exceeded) = check_operation(node, session, RatedOperation::UserInfo) {
                notify_exceeded(node, session, "SET_USER_INFO", exceeded);
                return Ok(Received::default());
            }
            let shard = Resource::Shard(&client.shard);
            if let Err(forbidden) = check(node, session, Operation::UserInfo, shard) {
                notify_forbidden(node, session, "SET_USER_INFO", &forbidden);
            } else if let Err(error) = set_user_info(node, client, session, &info) {
                refused_event("shard_info_full", socket, "SET_USER_INFO", error.to_string());
            }
        }
        Incoming::GetClients => {
            match check(node, session, Operation::MemberList, Resource::Shard(&client.shard)) {
                Ok(()) => node.extension::<MemberLists>().send_list(node, client, session),
                Err(forbidden) => notify_forbidden(node, session, "GET_CONNECTED_CLIENTS", &forbidden),
            }
        }
        Incoming::Identify(token) => identify(socket, token),
        Incoming::Resume(positions) => {
            if !recovery::begin(node, session, &positions) {
                node.meters().of(Protocol::Koji).count_ignored_frame("reserved");
            }
        }
        Incoming::History(payload) => {
            let recipients = history::answer(socket, &payload);
            return Ok(Received { request: None, recipients });
        }
    }
    Ok(Received::default())
}

/// Relays an event or returns it as a request, if the project's rules allow it.
fn receive_event(
    server: &Arc<Server>,
    socket: &Socket,
    client: &ClientState,
    name: Name,
    payload: Payload,
    recipients: Option<Vec<Name>>,
) -> Option<Request> {
    if !client.rules.allows(&name) {
        let error = "the project does not allow this event".to_owned();
        refused_event("not_allowed", socket, &name, error);
        return None;
    }
    if client.rules.emit_needs_identity && socket.user().is_none() {
        let error = "the project allows events after a login only".to_owned();
        refused_event("no_identity", socket, &name, error);
        return None;
    }
    let audience = match recipients {
        None => Target::shard(&client.shard).into(),
        Some(ids) => audience_of(&ids),
    };
    if !server.handles(Protocol::Koji) {
        relay(socket, name, payload, &audience);
        return None;
    }
    let fields = ProtocolFields { audience: Some(audience), ..ProtocolFields::default() };
    Some(Request::with_fields(socket.clone(), name, payload, None, fields))
}

/// Counts an event that the project's rules refuse, and notifies the client, if it understands that.
fn refused_event(code: &'static str, socket: &Socket, event: &str, error: String) {
    socket.node().meters().of(Protocol::Koji).count_refused_event(code);
    notify_refused(socket.node(), socket.session(), &RefusedEvent::new(event, code, error));
}

/// The recipients by id, each once. An id is a user's, and also a client's if it has the form of a socket id.
fn audience_of(ids: &[Name]) -> Audience {
    let mut known = HashSet::with_capacity(ids.len());
    let targets = ids.iter().filter(|id| known.insert(*id)).flat_map(|id| {
        let socket = id.parse().ok().map(Target::Socket);
        socket.into_iter().chain([Target::User(id.clone().into())])
    });
    Audience { to: targets.collect(), except: Vec::new() }
}
