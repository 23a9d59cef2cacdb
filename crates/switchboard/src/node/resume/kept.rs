//! Sessions of dead nodes: the store keeps them, and the node to which the client comes back takes them.

use std::sync::Arc;

use switchboard_backplane::TakenEntries;
use switchboard_event::{Payload, ProjectId, Protocol, SocketId, Target, UserId};

use super::moved::MovedSession;
use super::record::SessionRecord;
use super::seat::SentSeat;
use super::take_over::ResumeError;
use super::taken::TakenSession;
use crate::node::Node;
use crate::node::message::Membership;

/// The session that a client wants to resume.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) ticket: &'a str,
    pub(crate) project: &'a ProjectId,
    pub(crate) protocol: Protocol,
    /// The user of the token that the client shows.
    pub(crate) user: Option<&'a UserId>,
}

/// Takes a session from the store. Of several callers, on any nodes, one gets it.
pub(super) async fn take_kept(
    node: &Arc<Node>,
    wanted: Wanted<'_>,
    socket: SocketId,
    record: &[u8],
) -> Result<MovedSession, ResumeError> {
    let Wanted { ticket, project, protocol, user } = wanted;
    let known = SessionRecord::read(record, ticket).ok_or(ResumeError::Forged)?;
    if known.protocol() != Some(protocol) {
        return Err(ResumeError::Foreign);
    }
    if known.user.as_deref().is_some_and(|of_token| user.map(|user| &**user) != Some(of_token)) {
        return Err(ResumeError::Token);
    }
    let taken = node.hub().store().take_session(project, socket, record).await;
    let entries = taken.map_err(|_| ResumeError::Elsewhere)?.ok_or(ResumeError::Used)?;
    if let Some(sessions) = node.resumable() {
        sessions.resumed.increment(1);
    }
    Ok(moved(node, project, socket, known, entries))
}

fn moved(
    node: &Arc<Node>,
    project: &ProjectId,
    socket: SocketId,
    known: SessionRecord,
    entries: TakenEntries,
) -> MovedSession {
    let TakenEntries { targets, seat } = entries;
    let user = targets.iter().find_map(|target| match target {
        Target::User(user) => Some(user.clone()),
        _ => None,
    });
    let rooms = targets.iter().filter_map(|target| match target {
        Target::Room(room) => Some(room.clone()),
        _ => None,
    });
    let rooms = rooms.collect();
    let taken =
        TakenSession { node: node.clone(), project: project.clone(), socket, user, rooms, is_resumed: false };
    let of_token = known.user.as_deref().and_then(|user| Target::user(user).ok());
    let targets = targets.into_iter().filter(|target| Some(target) != of_token.as_ref());
    let (client_made, server_made): (Vec<_>, Vec<_>) =
        targets.partition(|target| known.is_client_made(target));
    let memberships = |targets: Vec<Target>| targets.iter().filter_map(Membership::of).collect();
    MovedSession {
        server_made: memberships(server_made),
        client_made: memberships(client_made),
        remembered: known.remembered,
        replies: Vec::new(),
        seat: seat.and_then(|(shard, description)| {
            let description = Payload::parse(str::from_utf8(&description).ok()?).ok()?;
            Some(SentSeat { shard: shard.to_string(), description })
        }),
        taken: Some(taken),
    }
}
