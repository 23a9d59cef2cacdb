//! Questions to all other nodes: one publication, one answer of each node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_backplane::BackplaneError;
use switchboard_event::{NodeId, Payload};
use tokio::time::timeout;

use crate::node::Node;
use crate::node::message::{AnswerAddress, NodeMessage, Question};
use crate::node::remote;
use crate::node::revocations::every_node;

/// How long to wait for the answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The answers of the other nodes.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Each node with its answer.
    pub(crate) answers: Vec<(NodeId, Payload)>,
    /// Nodes with a lease that did not answer.
    pub(crate) unanswered: Vec<NodeId>,
}

/// The form of an answer.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// The answering node.
    node: u32,
    answer: Payload,
}

/// Asks all other nodes, and waits until each has answered, at most 2 s. Fails if the store cannot list the nodes.
pub(crate) async fn ask_all(node: &Node, question: Question) -> Result<Answers, BackplaneError> {
    if node.is_single_node() {
        return Ok(Answers::default());
    }
    let this = node.hub().bus().node();
    let leases = node.hub().store().nodes().await?;
    let mut missing: BTreeSet<u32> = leases.iter().map(|lease| lease.node.0).collect();
    missing.remove(&this.0);
    let is_listed = !leases.is_empty();
    let mut answers = Vec::new();
    if !is_listed || !missing.is_empty() {
        let is_done = |answers: usize, missing: &BTreeSet<u32>, count: usize| match is_listed {
            true => missing.is_empty(),
            false => answers >= count,
        };
        let _ = timeout(ANSWER_TIMEOUT, async {
            // An error counts as no answer.
            let Ok(mut pending) = node.calls.open_many(this, node.limits().remote_calls_pending_max) else {
                return;
            };
            let reply_project = node.calls.subscribe(&**node.hub().bus()).await.to_string();
            let answer_to = AnswerAddress { project: reply_project, call: pending.id };
            let Some(count) = publish(node, answer_to, question) else { return };
            while !is_done(answers.len(), &missing, count.load(Ordering::Relaxed)) {
                let Some(answer) = pending.next().await else { return };
                let Ok(Answer { node, answer }) = answer.to() else { continue };
                missing.remove(&node);
                answers.push((NodeId(node), answer));
            }
        })
        .await;
    }
    answers.sort_unstable_by_key(|(node, _)| node.0);
    Ok(Answers { answers, unanswered: missing.into_iter().map(NodeId).collect() })
}

/// Publishes a question. Returns the number of nodes that have received it, the largest until it is known; `None` if the
/// question was not published.
fn publish(node: &Node, answer_to: AnswerAddress, question: Question) -> Option<Arc<AtomicUsize>> {
    let (project, target) = every_node();
    let count = Arc::new(AtomicUsize::new(usize::MAX));
    let counted = count.clone();
    let on_counted = Box::new(move |nodes: Option<usize>| {
        counted.store(nodes.unwrap_or(usize::MAX), Ordering::Relaxed);
    });
    let message = NodeMessage::Question { answer_to, question };
    remote::publish_counted(node, &project, &target.into(), &message, on_counted).ok().map(|()| count)
}

/// Publishes this node's answer to a question of another.
pub(crate) fn answer(node: &Node, answer_to: &AnswerAddress, answer: Payload) {
    let answer = Answer { node: node.hub().bus().node().0, answer };
    let payload = Payload::of(&answer).expect("numbers and payloads serialize as JSON");
    remote::answer(node, answer_to, Ok(payload));
}
