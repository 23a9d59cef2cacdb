//! Calls and commands to other nodes: a socket is changed by the node that holds it.
//!
//! A call is about one socket and waits for an answer. Its id looks like that of a socket of this
//! node, in a project of the node's own to which the node subscribes, so the answer is delivered as
//! any event is. A command needs no answer and goes to all nodes that subscribe to its audience.

use std::future::{Future, pending};
use std::time::Duration;

use serde::Serialize;
use switchboard_backplane::{Content, PublishError, ReplyAddress};
use switchboard_event::{Audience, Name, Payload, ProjectId, SocketId, Target};

use crate::node::Node;
use crate::node::calls::Outcome;
use crate::node::errors::{NodeError, RequestError};
use crate::node::message::{Command, Message, Refusal, RemoteCall, ReturnAddress};

/// How often the store is queried whether a socket still exists while its node does not answer.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Whether only another node can hold a socket.
pub(crate) fn is_elsewhere(node: &Node, id: SocketId) -> bool {
    !node.is_single_node() && id.node() != node.hub().bus().node()
}

/// Calls the node of a socket.
pub(crate) async fn call(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    call: RemoteCall<&Payload>,
    within: Duration,
) -> Result<Outcome, NodeError> {
    let (bus, calls) = (node.hub().bus(), &node.calls);
    let waiting = calls.open(bus.node(), node.limits().remote_calls_pending_max)?;
    let home = tokio::time::timeout(within, calls.home(&**bus)).await;
    let home = home.map_err(|_| NodeError::Timeout(within))?.to_string();
    let answer_to = ReturnAddress { project: home, call: waiting.id };
    publish(node, project, &Target::Socket(id).into(), &Message::Call { answer_to, call })?;
    tokio::select! {
        outcome = waiting.outcome(within) => outcome,
        () = is_gone(node, project, id) => Ok(Err(Refusal::Closed)),
    }
}

/// Sends a request to a client of another node and waits for its reply.
pub(crate) async fn request(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    timeout: Duration,
    event: &Name,
    data: &Payload,
) -> Result<Payload, RequestError> {
    // Rounded up, so that the client has as long as the caller waits.
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let request = RemoteCall::Request { event: event.to_string(), data, timeout_ms };
    match call(node, project, id, request, timeout).await {
        Ok(outcome) => outcome.map_err(|refusal| match refusal {
            Refusal::Closed => RequestError::Closed,
            Refusal::Timeout => RequestError::Timeout(timeout),
            Refusal::CannotReply => RequestError::CannotReply,
            Refusal::TooMany { max } => RequestError::TooMany { max },
        }),
        Err(NodeError::Timeout(_)) => Err(RequestError::Timeout(timeout)),
        Err(error) => Err(error.into()),
    }
}

/// Opens a call that a worker answers: its return address, and the answer, which is `None` if none
/// arrives within the request time-out.
pub(crate) fn open_answer(
    node: &Node,
) -> Result<(ReplyAddress, impl Future<Output = Option<Payload>> + Send + '_), NodeError> {
    let calls = &node.calls;
    let waiting = calls.open(node.hub().bus().node(), node.limits().remote_calls_pending_max)?;
    let answer_to = ReplyAddress { project: calls.address().clone(), call: waiting.id };
    let outcome = waiting.outcome(node.limits().request_timeout);
    Ok((answer_to, async { outcome.await.ok()?.ok() }))
}

/// Subscribes to answers, so that those of workers are delivered to this node.
pub(crate) async fn subscribe_to_answers(node: &Node) {
    node.calls.home(&**node.hub().bus()).await;
}

/// Completes when the store no longer knows a socket. Its node may be unable to report that: it has
/// crashed, or it has unsubscribed from the project since that was its last socket there.
async fn is_gone(node: &Node, project: &ProjectId, id: SocketId) {
    if !node.has_shared_store() {
        return pending().await;
    }
    let target = Target::Socket(id);
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        if let Ok(0) = node.hub().store().count(project, &target).await {
            return;
        }
    }
}

/// Sends a command to all other nodes.
pub(crate) fn command(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    command: Command,
) -> Result<(), PublishError> {
    publish(node, project, audience, &Message::<Payload>::Command(command))
}

/// Sends the outcome of a call back. If that is lost, the caller's time-out ends the call.
pub(crate) fn answer(node: &Node, answer_to: &ReturnAddress, outcome: Outcome) {
    let Ok(home) = ProjectId::new(&answer_to.project) else { return };
    let audience = Target::Socket(answer_to.call).into();
    let published = match outcome {
        Ok(data) => node.hub().publish(&home, &audience, Content::Answer(data)),
        Err(refusal) => publish(node, &home, &audience, &Message::<Payload>::Refused(refusal)),
    };
    if let Err(error) = published {
        tracing::debug!(%error, "the answer to a call of another node was lost");
    }
}

fn publish<D: Serialize>(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    message: &Message<D>,
) -> Result<(), PublishError> {
    let text = serde_json::to_vec(message).expect("texts, numbers and payloads are JSON");
    node.hub().publish(project, audience, Content::Control(text.into()))
}
