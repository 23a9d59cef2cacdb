//! Remote calls that wait for an answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use switchboard_backplane::Bus;
use switchboard_event::{NodeId, Payload, ProjectId, SocketId, Target};
use tokio::sync::{OnceCell, oneshot};

use crate::node::errors::NodeError;
use crate::node::message::Refusal;

/// What another node says became of a call.
pub(crate) type Outcome = Result<Payload, Refusal>;

/// Who waits for which answer.
pub(crate) struct Calls {
    /// The project in which answers come. Nobody can guess it, so nobody's sockets come and go there,
    /// and a node without any socket of its own is answered as well.
    home: ProjectId,
    /// Set when what is sent there is heard.
    heard: OnceCell<()>,
    waiting: Mutex<HashMap<SocketId, oneshot::Sender<Outcome>>>,
}

impl Default for Calls {
    fn default() -> Self {
        let home = ProjectId::new(&SocketId::random().to_string()).expect("an id is neither empty nor long");
        Calls { home, heard: OnceCell::new(), waiting: Mutex::default() }
    }
}

impl Calls {
    /// Where answers come; waits until they would be heard.
    pub(crate) async fn home(&self, bus: &dyn Bus) -> &ProjectId {
        let hear = async {
            bus.subscribe(&self.home, &Target::Everyone);
            bus.settled().await;
        };
        self.heard.get_or_init(|| hear).await;
        &self.home
    }

    /// The same, without waiting.
    pub(crate) fn address(&self) -> &ProjectId {
        &self.home
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, oneshot::Sender<Outcome>>> {
        self.waiting.lock().expect("no code that holds the calls panics")
    }

    /// Begins to wait, under an id that brings the answer to this node.
    pub(crate) fn open(&self, node: NodeId, max: usize) -> Result<Call<'_>, NodeError> {
        let (sender, receiver) = oneshot::channel();
        let id = SocketId::on(node);
        let mut waiting = self.lock();
        if waiting.len() >= max {
            return Err(NodeError::TooMany { max });
        }
        waiting.insert(id, sender);
        Ok(Call { calls: self, id, receiver })
    }

    /// Hands an answer to who waits for it; one that comes too late is dropped.
    pub(crate) fn resolve(&self, id: SocketId, outcome: Outcome) {
        let waiting = self.lock().remove(&id);
        if let Some(sender) = waiting {
            // Who asked may have given up in this moment.
            let _ = sender.send(outcome);
        }
    }
}

/// One call; it waits until this is dropped.
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    pub(crate) id: SocketId,
    receiver: oneshot::Receiver<Outcome>,
}

impl Call<'_> {
    pub(crate) async fn outcome(mut self, within: Duration) -> Result<Outcome, NodeError> {
        let said = tokio::time::timeout(within, &mut self.receiver).await;
        said.ok().and_then(Result::ok).ok_or(NodeError::Timeout(within))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_bounded_and_one_that_is_given_up_makes_room() {
        let (calls, node) = (Calls::default(), NodeId::random());
        let first = calls.open(node, 1).unwrap();
        assert_eq!(calls.open(node, 1).err(), Some(NodeError::TooMany { max: 1 }));
        let late = first.id;
        drop(first);
        calls.resolve(late, Ok(Payload::NULL));
        assert_eq!(calls.open(node, 1).unwrap().id.node(), node);
    }
}
