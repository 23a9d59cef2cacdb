//! Handles publications that are not events: calls, commands and answers of other nodes, closes, and
//! stored messages.
//!
//! A message that cannot be decoded comes from a node of another version and is ignored.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Audience, Name, Payload, ProjectId, SocketId, Target};
use switchboard_hub::JoinError;
use switchboard_log::{limited, printable_error};

use crate::node::Node;
use crate::node::calls::Outcome;
use crate::node::commands::{close_here, execute};
use crate::node::dry_run;
use crate::node::flow_control::between_nodes;
use crate::node::inbox;
use crate::node::membership;
use crate::node::message::{AnswerAddress, Membership, NodeMessage, Question, Refusal, RemoteCall};
use crate::node::node_queries;
use crate::node::questions;
use crate::node::remote::answer;
use crate::node::requests;
use crate::node::resume::hand_over::{HandOver, hand_over};
use crate::node::socket_details;
use crate::node::trace::collect;

/// Handles a publication. Events are handled by the hub, and changes of shards by their protocol.
pub(crate) fn receive(node: &Arc<Node>, publication: Publication) {
    let Publication { project, audience, content } = publication;
    match content {
        Content::Control(message) => receive_message(node, &project, &audience, &message),
        Content::Close { code, reason } => {
            close_here(node, &project, &audience, code, &reason);
        }
        Content::Answer(data) => resolve(node, &audience, Ok(data)),
        Content::Stored { number, event } => inbox::deliver_stored(node, &project, &audience, number, event),
        Content::Event { .. } | Content::ShardChanged(_) => {}
    }
}

fn receive_message(node: &Arc<Node>, project: &ProjectId, audience: &Audience, text: &Bytes) {
    let message: NodeMessage<&RawValue> = match serde_json::from_slice(text) {
        Ok(message) => message,
        Err(error) => {
            limited!(
                DEBUG,
                error = printable_error(&error),
                "message of another node cannot be decoded; it is ignored"
            );
            return;
        }
    };
    match (message, &*audience.to) {
        (NodeMessage::Refused(refusal), _) => resolve(node, audience, Err(refusal)),
        (NodeMessage::Call { answer_to, call }, [Target::Socket(id)]) => match call {
            RemoteCall::Request { event, data, timeout_ms } => {
                let (data, timeout) = (Payload::slice_of(text, data), Duration::from_millis(timeout_ms));
                execute_request(node, project, answer_to, *id, &event, data, timeout);
            }
            RemoteCall::Join(membership) => change_membership(node, &answer_to, &membership, |target| {
                membership::join_here(node, project, *id, target)
            }),
            RemoteCall::Describe { sockets } => {
                let details = socket_details::here(node, project, &sockets);
                answer(node, &answer_to, Ok(Payload::of(&details).expect("texts are JSON")));
            }
            RemoteCall::HandOver { ticket, user, protocol } => {
                let (node, project) = (node.clone(), project.clone());
                node.tasks.clone().spawn(async move {
                    let user = user.as_deref();
                    let request = HandOver { ticket: &ticket, project: &project, protocol, user };
                    let outcome = hand_over(&node, request).await;
                    answer(&node, &answer_to, Ok(outcome));
                });
            }
            RemoteCall::Leave(membership) => change_membership(node, &answer_to, &membership, |target| {
                Ok(membership::leave_here(node, project, *id, target))
            }),
        },
        (NodeMessage::Query { project, answer_to, name, data }, _) => {
            node_queries::receive(node, project, &answer_to, &name, Payload::slice_of(text, data));
        }
        (NodeMessage::Command(command), _) => {
            execute(node, project, audience, &command);
        }
        (NodeMessage::Question { answer_to, question }, _) => {
            questions::answer(node, &answer_to, answer_to_question(node, &question));
        }
        (NodeMessage::Mark { sender, number }, _) => between_nodes::marked(node, project, sender, number),
        (NodeMessage::CaughtUp { sender, number }, _) => node.windows.answered(project, sender, number),
        _ => limited!(DEBUG, "call of another node is not addressed to a single socket; it is ignored"),
    }
}

/// The answer of this node to a question of another.
fn answer_to_question(node: &Node, question: &Question) -> Payload {
    match question {
        Question::Trace { project, trace } => collect::answer(node, project, *trace),
        Question::Explain { project, planned } => dry_run::collect::answer(node, project, planned),
        Question::RecentTraces { project, limit } => collect::answer_recent(node, project, *limit),
    }
}

fn resolve(node: &Node, audience: &Audience, outcome: Outcome) {
    if let [Target::Socket(call)] = *audience.to {
        node.calls.resolve(call, outcome);
    }
}

/// Sends a request of another node to a client of this node, and returns the reply.
fn execute_request(
    node: &Arc<Node>,
    project: &ProjectId,
    answer_to: AnswerAddress,
    id: SocketId,
    event: &str,
    data: Payload,
    timeout: Duration,
) {
    let Ok(event) = Name::new(event) else { return };
    let Some(session) = membership::session(node, project, id) else {
        return answer(node, &answer_to, Err(Refusal::Closed));
    };
    let node = node.clone();
    node.tasks.clone().spawn(async move {
        let reply = requests::request(&node, &session, timeout, &event, &data).await;
        answer(&node, &answer_to, reply.map_err(Refusal::from));
    });
}

/// Executes another node's change of a membership of a socket of this node, and returns the result.
fn change_membership(
    node: &Node,
    answer_to: &AnswerAddress,
    membership: &Membership,
    change: impl FnOnce(&Target) -> Result<bool, JoinError>,
) {
    let Ok(target) = membership.target() else { return };
    let changed = change(&target).map_err(Refusal::from);
    answer(node, answer_to, changed.map(|changed| Payload::of(&changed).expect("a bool is JSON")));
}
