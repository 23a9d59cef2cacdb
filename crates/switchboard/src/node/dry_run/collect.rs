//! Asks all nodes what they know of a planned message.

use switchboard_backplane::BackplaneError;
use switchboard_event::{AudienceError, Name, NameError, NodeId, Payload, ProjectId, Target, UserId};

use super::look::look;
use super::sentences::{Around, sentences};
use super::view::{Explanation, NodeView, Planned, WAITING_MAX};
use crate::node::Node;
use crate::node::message::Question;
use crate::node::questions::ask_all;

/// A message cannot be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The recipients are not the text of a resource.
    #[error(
        "`{0}` names no recipients; expected user:ID, #ROOM, tag:NAME, shard:NAME, socket:ID or @everyone"
    )]
    To(String, #[source] AudienceError),
    /// The event's name is empty or too long.
    #[error("the name of the event is invalid")]
    Event(#[source] NameError),
    /// The id of the user is empty or too long.
    #[error("the id of the user is invalid")]
    User(#[source] NameError),
    /// The store did not answer.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}

/// Explains whether a message would arrive.
pub(crate) async fn explain(
    node: &Node,
    project: &ProjectId,
    planned: &Planned,
) -> Result<Explanation, ExplainError> {
    let target = planned.target().map_err(|error| ExplainError::To(planned.to.clone(), error))?;
    Name::new(&planned.event).map_err(ExplainError::Event)?;
    planned.user.as_deref().map(UserId::new).transpose().map_err(ExplainError::User)?;
    let question = Question::Explain { project: project.to_string(), planned: planned.clone() };
    let asked = ask_all(node, question).await?;
    let mut nodes: Vec<NodeView> = look(node, project, planned).into_iter().collect();
    let mut unanswered = asked.unanswered;
    for (id, answer) in asked.answers {
        match answer.to::<Option<NodeView>>() {
            Ok(view) => nodes.extend(view),
            // A node of another version.
            Err(_) => unanswered.push(id),
        }
    }
    nodes.sort_by_cached_key(|view| view.node.clone());
    let around = around(node, project, &target, planned).await?;
    let may_send = nodes.iter().filter_map(|view| view.sender.as_ref()).all(|sender| sender.may_send);
    let reached = nodes.iter().flat_map(|view| &view.sockets).any(|socket| socket.prospect.is_reached());
    let sender_is_known = planned.sender.is_none() || nodes.iter().any(|view| view.sender.is_some());
    let would_arrive = reached && may_send && sender_is_known;
    let sentences = sentences(&nodes, &unanswered, &target, planned, &around);
    Ok(Explanation { would_arrive, nodes, unanswered, sentences })
}

/// The answer of this node to another one.
pub(crate) fn answer(node: &Node, project: &str, planned: &Planned) -> Payload {
    let view = ProjectId::new(project).ok().and_then(|project| look(node, &project, planned));
    Payload::of(&view).expect("names and numbers serialize as JSON")
}

/// What only the asked node looks up.
async fn around(
    node: &Node,
    project: &ProjectId,
    target: &Target,
    planned: &Planned,
) -> Result<Around, BackplaneError> {
    let hub = node.hub();
    let waiting = match (node.inbox(), target) {
        (Some(inbox), Target::User(user)) => Some(inbox.peek(project, user, None, WAITING_MAX).await?.len()),
        _ => None,
    };
    let history = match target {
        Target::Room(room) => hub.history().and_then(|history| history.rules.limits(room)).copied(),
        _ => None,
    };
    let listed = match planned.user {
        None => Some(hub.store().count(project, target).await?),
        Some(_) => None,
    };
    let is_disconnected = !node.is_single_node() && !hub.bus().is_up();
    let this: NodeId = hub.bus().node();
    Ok(Around { this, waiting, has_inbox: node.inbox().is_some(), history, listed, is_disconnected })
}
