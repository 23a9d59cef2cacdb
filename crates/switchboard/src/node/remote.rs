//! Calls and commands to other nodes. Only the node that holds a socket changes it.
//!
//! A call addresses one socket and waits for an answer. The answer is published to the call's id, which
//! has the form of a socket id, in the reply project of the calling node. The bus delivers it like an
//! event. A command has no answer and is published to all nodes with sockets in its audience.

use std::future::{Future, pending};
use std::time::Duration;

use serde::Serialize;
use switchboard_backplane::{Content, OnCounted, Publication, PublishError, ReplyAddress};
use switchboard_event::{Audience, Name, Payload, ProjectId, SocketId, Target};
use switchboard_log::{limited, printable_error};

use crate::node::Node;
use crate::node::calls::Outcome;
use crate::node::errors::{NodeError, RequestError};
use crate::node::message::{AnswerAddress, Command, NodeMessage, Refusal, RemoteCall};
use crate::node::requests;

/// Interval at which the store is queried for the socket while a call is pending.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Returns true if the socket id belongs to another node.
pub(crate) fn is_elsewhere(node: &Node, id: SocketId) -> bool {
    !node.is_single_node() && id.node() != node.hub().bus().node()
}

/// Calls the node of a socket and waits for the outcome.
pub(crate) async fn call(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    call: RemoteCall<&Payload>,
    timeout: Duration,
) -> Result<Outcome, NodeError> {
    let (bus, calls) = (node.hub().bus(), &node.calls);
    let pending_call = calls.open(bus.node(), node.limits().remote_calls_pending_max)?;
    let reply_project = tokio::time::timeout(timeout, calls.subscribe(&**bus)).await;
    let reply_project = reply_project.map_err(|_| NodeError::Timeout(timeout))?.to_string();
    let answer_to = AnswerAddress { project: reply_project, call: pending_call.id };
    publish(node, project, &Target::Socket(id).into(), &NodeMessage::Call { answer_to, call })?;
    tokio::select! {
        outcome = pending_call.outcome(timeout) => outcome,
        () = socket_removed(node, project, id) => Ok(Err(Refusal::Closed)),
    }
}

/// Sends a request to the client of a socket on any node and waits for its reply.
pub(crate) async fn request(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    timeout: Duration,
    event: &Name,
    data: &Payload,
) -> Result<Payload, RequestError> {
    if is_elsewhere(node, id) {
        return request_elsewhere(node, project, id, timeout, event, data).await;
    }
    let session = node.hub().index().session(id).filter(|session| session.project.id == *project);
    requests::request(node, &session.ok_or(RequestError::Closed)?, timeout, event, data).await
}

async fn request_elsewhere(
    node: &Node,
    project: &ProjectId,
    id: SocketId,
    timeout: Duration,
    event: &Name,
    data: &Payload,
) -> Result<Payload, RequestError> {
    // Rounded up, so that the client has at least as long as the caller waits.
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let request = RemoteCall::Request { event: event.to_string(), data, timeout_ms };
    match call(node, project, id, request, timeout).await {
        Ok(outcome) => outcome.map_err(|refusal| match refusal {
            // Only a membership is refused for its bytes.
            Refusal::Closed | Refusal::TooManyBytes { .. } => RequestError::Closed,
            Refusal::Timeout => RequestError::Timeout(timeout),
            Refusal::CannotReply => RequestError::CannotReply,
            Refusal::TooMany { max } => RequestError::TooMany { max },
        }),
        Err(NodeError::Timeout(_)) => Err(RequestError::Timeout(timeout)),
        Err(error) => Err(error.into()),
    }
}

/// Opens a call that a worker answers. Returns its address, and a future of the answer: `None` if none
/// arrives within the request time-out.
pub(crate) fn open_answer(
    node: &Node,
) -> Result<(ReplyAddress, impl Future<Output = Option<Payload>> + Send + '_), NodeError> {
    let calls = &node.calls;
    let pending_call = calls.open(node.hub().bus().node(), node.limits().remote_calls_pending_max)?;
    let reply_to = ReplyAddress { project: calls.reply_project().clone(), call: pending_call.id };
    let outcome = pending_call.outcome(node.limits().request_timeout);
    Ok((reply_to, async { outcome.await.ok()?.ok() }))
}

/// Subscribes to answers, so that workers' replies are delivered to this node.
pub(crate) async fn subscribe_to_answers(node: &Node) {
    node.calls.subscribe(&**node.hub().bus()).await;
}

/// Completes when the store no longer contains a socket. Its node may be unable to answer: it has crashed,
/// or it has unsubscribed from the project after its last socket there closed.
async fn socket_removed(node: &Node, project: &ProjectId, id: SocketId) {
    if !node.has_shared_store() {
        return pending().await;
    }
    let target = Target::Socket(id);
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
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
    command: &Command,
) -> Result<(), PublishError> {
    publish(node, project, audience, &NodeMessage::<Payload>::Command(command.clone()))
}

/// Publishes the outcome of a call to the caller. If it is lost, the call ends with a time-out.
pub(crate) fn answer(node: &Node, answer_to: &AnswerAddress, outcome: Outcome) {
    let Ok(reply_project) = ProjectId::new(&answer_to.project) else { return };
    let audience = Target::Socket(answer_to.call).into();
    let published = match outcome {
        Ok(data) => node.hub().publish(&reply_project, &audience, Content::Answer(data)),
        Err(refusal) => publish(node, &reply_project, &audience, &NodeMessage::<Payload>::Refused(refusal)),
    };
    if let Err(error) = published {
        limited!(
            DEBUG,
            error = printable_error(&error),
            "cannot publish the answer to a call of another node; the call times out"
        );
    }
}

/// Publishes a message, and passes on how many other nodes receive it.
pub(crate) fn publish_counted(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    message: &NodeMessage<Payload>,
    on_counted: OnCounted,
) -> Result<(), PublishError> {
    let (project, audience) = (project.clone(), audience.clone());
    node.hub().bus().publish_counted(&Publication { project, audience, content: encode(message) }, on_counted)
}

/// Answers a mark of the node of a sender.
pub(crate) fn confirm_mark(node: &Node, project: &ProjectId, sender: SocketId, number: u64) {
    // Without an answer the sender waits for as long as it may.
    let _ = publish(
        node,
        project,
        &Target::Socket(sender).into(),
        &NodeMessage::<Payload>::CaughtUp { sender, number },
    );
}

fn publish<D: Serialize>(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    message: &NodeMessage<D>,
) -> Result<(), PublishError> {
    node.hub().publish(project, audience, encode(message))
}

fn encode<D: Serialize>(message: &NodeMessage<D>) -> Content {
    let text = serde_json::to_vec(message).expect("strings, numbers and payloads serialize as JSON");
    Content::Control(text.into())
}
