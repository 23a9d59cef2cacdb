//! Calls to other nodes that wait for an answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use switchboard_backplane::Bus;
use switchboard_event::{NodeId, Payload, ProjectId, SocketId, Target};
use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::node::errors::NodeError;
use crate::node::message::Refusal;

/// The answer of another node to a call.
pub(crate) type Outcome = Result<Payload, Refusal>;

/// The pending calls of a node.
pub(crate) struct PendingCalls {
    /// The project to which answers are published. Its name is random and no client can join it, so
    /// answers are delivered even if the node has no sockets.
    reply_project: ProjectId,
    /// Set once the node is subscribed to the reply project.
    subscribed: OnceCell<()>,
    pending: Mutex<HashMap<SocketId, Caller>>,
}

/// The receiver of answers.
enum Caller {
    /// Waits for the answer of one node.
    One(oneshot::Sender<Outcome>),
    /// Collects the answers of many nodes.
    Many(mpsc::Sender<Payload>),
}

/// Most answers to one question that wait to be read. The answers of further nodes are lost.
const WAITING_ANSWERS_MAX: usize = 1024;

impl Default for PendingCalls {
    fn default() -> Self {
        let name = SocketId::random().to_string();
        let reply_project = ProjectId::new(&name).expect("an id is neither empty nor long");
        PendingCalls { reply_project, subscribed: OnceCell::new(), pending: Mutex::default() }
    }
}

impl PendingCalls {
    /// Subscribes to answers, if the node has not yet. Returns the reply project.
    pub(crate) async fn subscribe(&self, bus: &dyn Bus) -> &ProjectId {
        let subscribe = async {
            bus.subscribe(&self.reply_project, &Target::Everyone);
            bus.settled().await;
        };
        self.subscribed.get_or_init(|| subscribe).await;
        &self.reply_project
    }

    /// Returns true once the node is subscribed to answers.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscribed.initialized()
    }

    /// The project to which answers are published.
    pub(crate) fn reply_project(&self) -> &ProjectId {
        &self.reply_project
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Caller>> {
        self.pending.lock().expect("no code that holds the calls panics")
    }

    /// Opens a call with a new id of this node, to which the answer is addressed.
    pub(crate) fn open(&self, node: NodeId, max: usize) -> Result<PendingCall<'_>, NodeError> {
        let (sender, receiver) = oneshot::channel();
        let id = self.insert(node, max, Caller::One(sender))?;
        Ok(PendingCall { calls: self, id, receiver })
    }

    /// Opens a call that many nodes answer.
    pub(crate) fn open_many(&self, node: NodeId, max: usize) -> Result<PendingAnswers<'_>, NodeError> {
        let (sender, receiver) = mpsc::channel(WAITING_ANSWERS_MAX);
        let id = self.insert(node, max, Caller::Many(sender))?;
        Ok(PendingAnswers { calls: self, id, receiver })
    }

    fn insert(&self, node: NodeId, max: usize, caller: Caller) -> Result<SocketId, NodeError> {
        let id = SocketId::on(node);
        let mut pending = self.lock();
        if pending.len() >= max {
            return Err(NodeError::TooMany { max });
        }
        pending.insert(id, caller);
        Ok(id)
    }

    /// Completes a call. Ignores ids that are no longer pending.
    pub(crate) fn resolve(&self, id: SocketId, outcome: Outcome) {
        let mut pending = self.lock();
        if let (Some(Caller::Many(sender)), Ok(answer)) = (pending.get(&id), &outcome) {
            let _ = sender.try_send(answer.clone());
        } else if let Some(Caller::One(sender)) = pending.remove(&id) {
            drop(pending);
            // Fails if the call was dropped at the same time.
            let _ = sender.send(outcome);
        }
    }
}

/// A call without an answer yet. Dropping it removes it from the pending calls.
pub(crate) struct PendingCall<'a> {
    calls: &'a PendingCalls,
    pub(crate) id: SocketId,
    receiver: oneshot::Receiver<Outcome>,
}

impl PendingCall<'_> {
    /// Waits for the answer.
    pub(crate) async fn outcome(mut self, timeout: Duration) -> Result<Outcome, NodeError> {
        let outcome = tokio::time::timeout(timeout, &mut self.receiver).await;
        outcome.ok().and_then(Result::ok).ok_or(NodeError::Timeout(timeout))
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

/// A call that many nodes answer. Dropping it removes it from the pending calls.
pub(crate) struct PendingAnswers<'a> {
    calls: &'a PendingCalls,
    pub(crate) id: SocketId,
    receiver: mpsc::Receiver<Payload>,
}

impl PendingAnswers<'_> {
    /// The next answer.
    pub(crate) async fn next(&mut self) -> Option<Payload> {
        self.receiver.recv().await
    }
}

impl Drop for PendingAnswers<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_bounded_and_a_dropped_call_makes_room() {
        let (calls, node) = (PendingCalls::default(), NodeId::random());
        let first = calls.open(node, 1).unwrap();
        assert_eq!(calls.open(node, 1).err(), Some(NodeError::TooMany { max: 1 }));
        let dropped = first.id;
        drop(first);
        calls.resolve(dropped, Ok(Payload::NULL));
        assert_eq!(calls.open(node, 1).unwrap().id.node(), node);
    }
}
