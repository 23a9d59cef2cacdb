//! Access control: the rights of a client, by the claim of its token and by the rule of its project.
//!
//! [`Operation`] is the one table of operations and the rights that they need. A check happens on the node of the
//! client, before anything is published. Only what the server does for a client is checked, never what a handler does by
//! itself. While an app has neither a verifier nor a rule, everything is allowed, and a check is one load.

pub(crate) mod control;
pub(crate) mod grants;
pub(crate) mod operation;
pub(crate) mod rule;

use std::sync::Arc;

use metrics::counter;
use switchboard_event::{ProjectId, RatedOperation, Resource, Right, Rights, Target};
use switchboard_hub::{JoinError, Session};
use switchboard_log::{limited, printable};

use crate::node::Node;
use crate::node::access::grants::{Grants, Lost};
use crate::node::access::operation::Operation;
use crate::node::access::rule::{AccessRule, Subject};
use crate::node::connection_state::ConnectionState;
use crate::node::errors::{Forbidden, MembershipError};
use crate::node::logged_client::LoggedClient;
use crate::node::rates;
use crate::node::resume::record::record_changed;
use crate::node::room_positions;

/// Replaces the rule, and ends memberships that it no longer allows.
pub(crate) fn set_rule(node: &Arc<Node>, rule: Option<Arc<dyn AccessRule>>) {
    node.access.set_rule(rule);
    for session in node.sessions_if_started() {
        let left = ConnectionState::of(&session)
            .grants()
            .map(|grants| grants.leave_lost(&node.access, node.hub(), &session));
        lost(node, &session, left.unwrap_or_default(), Lost::Rule);
    }
}

/// Returns true if a client may do something.
pub(crate) fn may(node: &Node, session: &Session, right: Right, resource: Resource<'_>) -> bool {
    if !node.access.is_enabled() {
        return true;
    }
    let claim = ConnectionState::of(session).grants().and_then(Grants::claim);
    let subject =
        Subject { project: &session.project.id, session: Some(session), user: None, claim: claim.as_deref() };
    node.access.allows(subject, right, resource)
}

/// Checks an operation of a client. A refusal is counted and logged.
pub(crate) fn check(
    node: &Node,
    session: &Session,
    operation: Operation,
    resource: Resource<'_>,
) -> Result<(), Forbidden> {
    match may(node, session, operation.right(), resource) {
        true => Ok(()),
        false => Err(refuse(session, operation, resource)),
    }
}

/// Counts and logs a refusal.
pub(crate) fn refuse(session: &Session, operation: Operation, resource: Resource<'_>) -> Forbidden {
    refuse_client(LoggedClient::Connected(session), &session.project.id, operation, resource)
}

/// Counts and logs a refusal of a client that may not be connected yet.
pub(crate) fn refuse_client(
    client: LoggedClient<'_>,
    project: &ProjectId,
    operation: Operation,
    resource: Resource<'_>,
) -> Forbidden {
    let forbidden = Forbidden { right: operation.right(), resource: resource.to_string() };
    counter!("switchboard_forbidden_total", "operation" => operation.label()).increment(1);
    limited!(
        INFO,
        socket = client.socket(),
        client = client.address(),
        user = client.printable_user(),
        project = printable(project),
        operation = operation.label(),
        right = forbidden.right.as_str(),
        resource = printable(&forbidden.resource),
        "operation refused; neither the claim `can` of the token nor the rule `can` of the project gives the right"
    );
    forbidden
}

/// Joins a room or a tag for a client, which needs the right to, within the rules for `@join`.
pub(crate) fn join_for_client(
    node: &Arc<Node>,
    session: &Arc<Session>,
    operation: Operation,
    target: &Target,
) -> Result<bool, MembershipError> {
    rates::check_operation(node, session, RatedOperation::Join).map_err(|exceeded| exceeded.error)?;
    let joined = if node.access.is_enabled() {
        let grants = ConnectionState::of(session).grants_or_new();
        let joined = grants.join(&node.access, node.hub(), session, operation.right(), target)?;
        let joined = joined.ok_or_else(|| refuse(session, operation, Resource::from(target)))?;
        // Its record names the memberships that depend on rights.
        record_changed(node, session);
        joined
    } else {
        node.hub().join(session, target)?
    };
    if joined {
        room_positions::joined(node, session, target);
    }
    Ok(joined)
}

/// Joins a room or a tag that a client was in before its session moved to this node, if it has the right to.
pub(crate) fn rejoin(node: &Node, session: &Arc<Session>, target: &Target) -> Result<bool, JoinError> {
    if !node.access.is_enabled() {
        return node.hub().join(session, target);
    }
    let grants = ConnectionState::of(session).grants_or_new();
    Ok(grants.join(&node.access, node.hub(), session, Right::Join, target)?.unwrap_or(false))
}

/// Joins a target for the server: the membership does not depend on rights.
pub(crate) fn join_for_server(
    node: &Node,
    session: &Arc<Session>,
    target: &Target,
) -> Result<bool, JoinError> {
    let joined = match ConnectionState::of(session).grants() {
        Some(grants) => {
            let joined = grants.join_for_server(node.hub(), session, target)?;
            record_changed(node, session);
            joined
        }
        None => node.hub().join(session, target)?,
    };
    if joined {
        room_positions::joined(node, session, target);
    }
    Ok(joined)
}

/// Leaves a target.
pub(crate) fn leave(node: &Node, session: &Arc<Session>, target: &Target) -> bool {
    match ConnectionState::of(session).grants() {
        Some(grants) => grants.leave(node.hub(), session, target),
        None => node.hub().leave(session, target),
    }
}

/// Replaces the claim of a client, which leaves what neither the new claim nor the rule allows.
pub(crate) fn set_claim(node: &Arc<Node>, session: &Arc<Session>, claim: Option<Arc<Rights>>, reason: Lost) {
    let state = ConnectionState::of(session);
    // The user of the token has changed with it.
    record_changed(node, session);
    if claim.is_none() && state.grants().is_none() {
        if reason.ends_login() {
            node.rights_changed(session, &[], reason);
        }
        return;
    }
    let left = state.grants_or_new().replace_claim(&node.access, node.hub(), session, claim);
    lost(node, session, left, reason);
}

/// Counts and logs what a client has left, and lets its protocol notify it.
fn lost(node: &Arc<Node>, session: &Arc<Session>, left: Vec<Target>, reason: Lost) {
    if !left.is_empty() {
        counter!("switchboard_rights_lost_total", "reason" => reason.label()).increment(1);
        limited!(DEBUG, socket = %session.id, left = left.len(), reason = printable(reason.label()), "client lost rights and has left rooms and tags");
    }
    node.rights_changed(session, &left, reason);
}
