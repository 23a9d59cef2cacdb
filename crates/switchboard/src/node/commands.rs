//! Executes commands, and closes sockets, on the sockets of an audience on this node.

use std::sync::Arc;

use switchboard_event::{Audience, ProjectId, Target};
use switchboard_ws::close::CloseCode;

use crate::node::message::Command;
use crate::node::{Node, inbox, revocations};

/// Executes a command on this node. Returns the number of changed sockets.
pub(crate) fn execute(
    node: &Arc<Node>,
    project: &ProjectId,
    audience: &Audience,
    command: &Command,
) -> usize {
    match command {
        Command::RemoveMembers => audience.to.iter().map(|target| clear(node, project, target)).sum(),
        Command::Revoke(messages) => {
            revocations::receive(node, messages);
            0
        }
    }
}

/// Removes all sockets of this node from a target. Returns their number.
fn clear(node: &Node, project: &ProjectId, target: &Target) -> usize {
    let Target::User(user) = target else { return node.hub().clear(project, target) };
    let members = node.hub().members(project, &target.clone().into());
    members.iter().filter(|session| inbox::log_out(node, session, user)).count()
}

/// Closes the sockets of an audience on this node, with [`sendable_code`]. Returns their number.
pub(crate) fn close_here(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    code: u16,
    reason: &str,
) -> usize {
    let mut members = node.hub().members(project, audience);
    members.retain(|session| !session.outbox.is_closing());
    let code = sendable_code(CloseCode(code));
    members.iter().for_each(|session| node.close(session, code, reason));
    members.len()
}

/// Returns the code, or `NO_STATUS` if no close frame may contain it, as with 1006.
pub(crate) fn sendable_code(code: CloseCode) -> CloseCode {
    if code.may_be_sent() { code } else { CloseCode::NO_STATUS }
}
