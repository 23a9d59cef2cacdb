//! Executes commands, and closes sockets, on the sockets of an audience on this node.

use std::sync::Arc;

use switchboard_event::{Audience, ProjectId, Target};
use switchboard_hub::Session;
use switchboard_log::{limited, printable_error};
use switchboard_ws::close::CloseCode;

use crate::node::message::{Command, Membership};
use crate::node::{Node, inbox, membership, revocations};

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
        Command::Join(joined) => change(node, project, audience, joined, |session, target| {
            membership::add(node, session, target).unwrap_or_else(|error| {
                limited!(
                    DEBUG,
                    socket = %session.id,
                    error = printable_error(&error),
                    "socket of an audience cannot join"
                );
                false
            })
        }),
        Command::Leave(left) => {
            change(node, project, audience, left, |session, target| membership::remove(node, session, target))
        }
    }
}

/// Changes a membership of the sockets of an audience on this node. Returns the number of changed ones.
fn change(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    membership: &Membership,
    change: impl Fn(&Arc<Session>, &Target) -> bool,
) -> usize {
    // A node of another version may send a name that this one does not allow.
    let Ok(target) = membership.target() else { return 0 };
    let members = node.hub().members(project, audience);
    members.iter().filter(|session| change(session, &target)).count()
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
