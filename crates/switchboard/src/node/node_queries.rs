//! Queries of nodes: requests to every node about itself, such as its load.
//!
//! One publication reaches every node. It names a call for each node that should answer, and these answer like sockets
//! do. An application registers what its nodes answer.

pub(crate) mod state;

use std::sync::Arc;

use futures_util::future::join_all;
use switchboard_backplane::Content;
use switchboard_event::{NodeId, Payload, SocketId};
use tokio::time::{Duration, timeout};

use crate::node::Node;
use crate::node::calls::Outcome;
use crate::node::errors::NodeError;
use crate::node::message::{AnswerAddress, NodeMessage, Refusal};
use crate::node::remote;
use crate::node::revocations::every_node;
use state::ANSWERS_MAX;

/// Queries nodes, and waits for the answers of all at most for `wait`.
pub(crate) async fn query(
    node: &Node,
    nodes: &[NodeId],
    name: &str,
    data: Payload,
    wait: Duration,
) -> Vec<(NodeId, Result<Payload, NodeError>)> {
    let this = node.hub().bus().node();
    let others: Vec<NodeId> = nodes.iter().copied().filter(|id| *id != this).collect();
    let here = async {
        match nodes.contains(&this) {
            true => Some((this, answer_here(node, name, data.clone()).await)),
            false => None,
        }
    };
    let (here, elsewhere) = tokio::join!(here, query_others(node, &others, name, data.clone(), wait));
    here.into_iter().chain(elsewhere).collect()
}

async fn query_others(
    node: &Node,
    nodes: &[NodeId],
    name: &str,
    data: Payload,
    wait: Duration,
) -> Vec<(NodeId, Result<Payload, NodeError>)> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let all = |error: NodeError| nodes.iter().map(|id| (*id, Err(error.clone()))).collect();
    let (this, max) = (node.hub().bus().node(), node.limits().remote_calls_pending_max);
    let mut calls = Vec::new();
    for id in nodes {
        match node.calls.open(this, max) {
            Ok(call) => calls.push((*id, call)),
            Err(error) => return all(error),
        }
    }
    let Ok(reply_project) = timeout(wait, node.calls.subscribe(&**node.hub().bus())).await else {
        return all(NodeError::Timeout(wait));
    };
    let answer_to = calls.iter().map(|(id, call)| (id.0, call.id)).collect();
    let project = reply_project.to_string();
    let message = NodeMessage::Query { project, answer_to, name: name.to_owned(), data };
    let (project, every_node) = every_node();
    let content = Content::Control(serde_json::to_vec(&message).expect("texts and payloads are JSON").into());
    if let Err(error) = node.hub().publish(&project, &every_node.into(), content) {
        return all(error.into());
    }
    join_all(calls.into_iter().map(async |(id, call)| {
        let outcome = call.outcome(wait).await;
        (id, outcome.and_then(|answer| answer.map_err(|_| NodeError::Refused)))
    }))
    .await
}

async fn answer_here(node: &Node, name: &str, data: Payload) -> Result<Payload, NodeError> {
    match node.queries.answer(name) {
        Some(answer) => Ok(answer(data).await),
        None => Err(NodeError::Refused),
    }
}

/// Answers the query of another node, if it is for this node.
pub(crate) fn receive(
    node: &Arc<Node>,
    project: String,
    answer_to: &[(u32, SocketId)],
    name: &str,
    data: Payload,
) {
    let this = node.hub().bus().node();
    let Some((_, call)) = answer_to.iter().find(|(id, _)| *id == this.0) else { return };
    let address = AnswerAddress { project, call: *call };
    let Some(answer) = node.queries.answer(name) else {
        return remote::answer(node, &address, Err(Refusal::CannotReply));
    };
    let node = node.clone();
    node.tasks.clone().spawn(async move {
        let outcome: Outcome = match node.queries.running.try_acquire() {
            Ok(_running) => Ok(answer(data).await),
            Err(_) => Err(Refusal::TooMany { max: ANSWERS_MAX }),
        };
        remote::answer(&node, &address, outcome);
    });
}
