//! The rights of a connected client: what it may relay, whether it receives member lists, and what happens when it
//! loses them.

use std::borrow::Cow;
use std::sync::Arc;

use metrics::counter;
use serde_json::json;
use switchboard_event::{Audience, OverflowPolicy, Payload, Resource, Right, SocketId, Target};
use switchboard_hub::Session;
use switchboard_log::{limited, printable};
use switchboard_ws::close::CloseCode;

use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::access::operation::Operation;
use crate::node::access::{self, refuse};
use crate::node::connection_state::{ConnectionState, is_closed};
use crate::node::errors::Forbidden;
use crate::node::rates::Exceeded;
use crate::node::refused_event::RefusedEvent;
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::encode;
use crate::protocols::koji::member_lists::MemberLists;

/// The audience of an event without the targets that the client may not send to. A recipient in the form of a client's id
/// stands for two targets, a socket and a user; one of them suffices. An error if the client may send to neither.
pub(super) fn check_relay<'a>(
    node: &Node,
    session: &Session,
    audience: &'a Audience,
) -> Result<Cow<'a, Audience>, Forbidden> {
    let client = client_of(session).filter(|_| node.access.is_enabled());
    let Some(client) = client else { return Ok(Cow::Borrowed(audience)) };
    let may_send = |resource: Resource<'_>| access::may(node, session, Right::Send, resource);
    let may_send_to_shard = may_send(Resource::Shard(&client.shard));
    let is_own_room = |target: &Target| matches!(target, Target::Room(room) if room[1..] == *client.shard);
    let is_allowed = |target: &Target| match target {
        target if is_own_room(target) => may_send_to_shard,
        // The sender knows the id only because it has received it, from the client or from a member list.
        Target::Socket(id) => may_send_to_shard || may_send(Resource::Socket(*id)),
        target => may_send(Resource::from(target)),
    };
    if audience.to.iter().all(is_allowed) {
        return Ok(Cow::Borrowed(audience));
    }
    let allowed: Vec<bool> = audience.to.iter().map(is_allowed).collect();
    for (at, target) in audience.to.iter().enumerate() {
        let is_reached = allowed[at] || other_reading(audience, at).is_some_and(|other| allowed[other]);
        if !is_reached {
            let resource = if is_own_room(target) { Resource::Shard(&client.shard) } else { target.into() };
            return Err(refuse(session, Operation::Relay, resource));
        }
    }
    let kept = audience.to.iter().zip(&allowed).filter(|(_, is_allowed)| **is_allowed);
    let to = kept.map(|(target, _)| target.clone()).collect();
    Ok(Cow::Owned(Audience { to, except: audience.except.clone() }))
}

/// If the target at a place is one of the two that a recipient in the form of a client's id stands for, returns the place of
/// the other one, which is next to it: the socket comes first, then the user.
fn other_reading(audience: &Audience, at: usize) -> Option<usize> {
    let is_same = |socket: usize, user: usize| match (audience.to.get(socket), audience.to.get(user)) {
        (Some(Target::Socket(id)), Some(Target::User(user))) => {
            user.parse::<SocketId>().is_ok_and(|user| user == *id)
        }
        _ => false,
    };
    match audience.to[at] {
        Target::Socket(_) => is_same(at, at + 1).then_some(at + 1),
        Target::User(_) => at.checked_sub(1).filter(|socket| is_same(*socket, at)),
        _ => None,
    }
}

/// Notifies a client that its event was refused, if it understands [platform events](notify) of this server.
pub(super) fn notify_refused(node: &Node, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
    if !understands_notices(session) {
        return;
    }
    let mut data = json!({ "code": refused.code, "error": refused.error });
    if let Some(event) = refused.event {
        data["eventName"] = event.into();
    }
    if let Some(ms) = refused.retry_after_ms {
        data["retry_after_ms"] = ms.into();
    }
    notify(node, session, "refused", &data);
}

/// Notifies a client that it has no right to what its event asks for, if it understands platform events of this server.
pub(super) fn notify_forbidden(node: &Node, session: &Arc<Session>, event: &str, forbidden: &Forbidden) {
    notify_refused(node, session, &RefusedEvent::new(event, "forbidden", forbidden.to_string()));
}

/// Notifies a client that its event exceeds a rate rule, if it understands [platform events](notify) of this server.
pub(super) fn notify_exceeded(node: &Node, session: &Arc<Session>, event: &str, exceeded: Exceeded) {
    if let Some(refused) = exceeded.refused(event) {
        notify_refused(node, session, &refused);
    }
}

/// Sets whether the client receives member lists.
pub(super) fn update_presence(node: &Arc<Node>, session: &Arc<Session>) {
    let Some(client) = client_of(session) else { return };
    let sees = access::may(node, session, Operation::MemberList.right(), Resource::Shard(&client.shard));
    if client.set_sees_members(sees) && sees {
        node.extension::<MemberLists>().send_list(node, client, session);
    }
}

/// Closes a client that may no longer be on its shard, and updates what it sees otherwise.
pub(super) fn changed(node: &Arc<Node>, session: &Arc<Session>, left: &[Target], reason: Lost) {
    let Some(client) = client_of(session) else { return };
    if !left.is_empty() {
        let rooms: Vec<String> = left.iter().map(ToString::to_string).collect();
        notify(node, session, "left", &json!({ "rooms": rooms, "reason": reason.label() }));
    }
    if is_closed(session) {
        return;
    }
    if access::may(node, session, Right::Join, Resource::Shard(&client.shard)) {
        return update_presence(node, session);
    }
    limited!(DEBUG, socket = %session.id, reason = printable(reason.label()), "client may no longer be on its shard; it is closed with 1008");
    counter!("switchboard_rights_lost_total", "reason" => reason.label()).increment(1);
    notify(node, session, "left", &json!({ "shardName": client.shard, "reason": reason.label() }));
    let why = format!("forbidden: no join right on the shard any more ({})", reason.label());
    node.close(session, CloseCode::POLICY, &why);
}

/// Sends a platform event that the original server does not have, if the client has declared that it understands these.
fn notify(node: &Node, session: &Arc<Session>, name: &str, data: &serde_json::Value) {
    let data = Payload::of(data).expect("strings are valid JSON");
    notify_payload(node, session, name, &data);
}

/// [`notify`] with data that is JSON already.
pub(super) fn notify_payload(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
    if understands_notices(session) {
        node.hub().deliver_frame(session, &encode::notice(name, data), OverflowPolicy::Live);
    }
}

fn understands_notices(session: &Session) -> bool {
    let understands = |client: &ClientState| {
        client.wants_token_answers || ConnectionState::of(session).info.understands_extensions()
    };
    client_of(session).is_some_and(understands)
}
