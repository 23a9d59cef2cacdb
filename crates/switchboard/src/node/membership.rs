//! Changes memberships of a socket on any node.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Payload, ProjectId, SocketId, Target};
use switchboard_hub::{JoinError, Session};

use crate::node::Node;
use crate::node::access;
use crate::node::errors::MembershipError;
use crate::node::inbox;
use crate::node::message::{Membership, Refusal, RemoteCall};
use crate::node::remote;

/// How long to wait until another node has changed a membership. It does so without waiting, so this is
/// the limit of the round trip.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds a socket of this node in a project.
pub(crate) fn session(node: &Node, project: &ProjectId, id: SocketId) -> Option<Arc<Session>> {
    node.hub().index().session(id).filter(|session| session.project.id == *project)
}

/// Adds a socket of any node to a target. Returns false if it was a member.
pub(crate) async fn join(
    node: &Arc<Node>,
    project: &ProjectId,
    id: SocketId,
    target: &Target,
) -> Result<bool, MembershipError> {
    match remote::is_elsewhere(node, id) {
        true => change_elsewhere(node, project, id, target, RemoteCall::Join).await,
        false => Ok(join_here(node, project, id, target)?),
    }
}

/// Removes a socket of any node from a target. Returns false if it was not a member.
pub(crate) async fn leave(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    target: &Target,
) -> Result<bool, MembershipError> {
    match remote::is_elsewhere(node, id) {
        true => change_elsewhere(node, project, id, target, RemoteCall::Leave).await,
        false => Ok(leave_here(node, project, id, target)),
    }
}

/// Adds a socket of this node to a target.
pub(crate) fn join_here(
    node: &Arc<Node>,
    project: &ProjectId,
    id: SocketId,
    target: &Target,
) -> Result<bool, JoinError> {
    let session = session(node, project, id).ok_or(JoinError::Closed)?;
    add(node, &session, target)
}

/// Adds a socket of this node to a target. Returns false if it was a member.
pub(crate) fn add(node: &Arc<Node>, session: &Arc<Session>, target: &Target) -> Result<bool, JoinError> {
    match target {
        Target::User(user) => inbox::log_in(node, session, user),
        _ => access::join_for_server(node, session, target),
    }
}

/// Removes a socket of this node from a target. Returns false if it was not a member.
pub(crate) fn remove(node: &Node, session: &Arc<Session>, target: &Target) -> bool {
    match target {
        Target::User(user) => inbox::log_out(node, session, user),
        _ => access::leave(node, session, target),
    }
}

/// Removes a socket of this node from a target.
pub(crate) fn leave_here(node: &Node, project: &ProjectId, id: SocketId, target: &Target) -> bool {
    session(node, project, id).is_some_and(|session| remove(node, &session, target))
}

async fn change_elsewhere<'a>(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    target: &Target,
    call: fn(Membership) -> RemoteCall<&'a Payload>,
) -> Result<bool, MembershipError> {
    let Some(membership) = Membership::of(target) else { return Ok(false) };
    match remote::call(node, project, id, call(membership), ANSWER_TIMEOUT).await? {
        Ok(changed) => Ok(changed.to().unwrap_or(false)),
        Err(Refusal::TooMany { max }) => Err(JoinError::TooMany { max }.into()),
        Err(Refusal::TooManyBytes { max }) => Err(JoinError::TooManyBytes { max }.into()),
        Err(_) => Err(JoinError::Closed.into()),
    }
}
