//! A bus between nodes of one process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use switchboard_event::{NodeId, ProjectId, Target};

use crate::bus::{Bus, IfUnreached, OnCounted, Publication, PublishError, Receiver};

/// The bus of a single node, or of several nodes in one process, each with a bus of one
/// [`LocalBus::connected`] set.
pub struct LocalBus {
    node: NodeId,
    /// The node's position in `peers`.
    position: usize,
    own: OnceLock<Weak<dyn Receiver>>,
    /// All connected nodes, this one included; empty for a single node.
    peers: Arc<Mutex<Vec<Peer>>>,
}

struct Peer {
    node: NodeId,
    receiver: Option<Weak<dyn Receiver>>,
    subscriptions: HashSet<(ProjectId, Target)>,
}

impl Default for LocalBus {
    fn default() -> Self {
        LocalBus { node: NodeId::random(), position: 0, own: OnceLock::new(), peers: Arc::default() }
    }
}

impl LocalBus {
    /// `count` buses, one per node, that deliver to one another.
    pub fn connected(count: usize) -> Vec<LocalBus> {
        let nodes: Vec<NodeId> = (0..count).map(|_| NodeId::random()).collect();
        let peer = |&node: &NodeId| Peer { node, receiver: None, subscriptions: HashSet::new() };
        let peers = Arc::new(Mutex::new(nodes.iter().map(peer).collect()));
        let bus =
            |(position, node)| LocalBus { node, position, own: OnceLock::new(), peers: Arc::clone(&peers) };
        nodes.into_iter().enumerate().map(bus).collect()
    }

    fn peers(&self) -> MutexGuard<'_, Vec<Peer>> {
        self.peers.lock().expect("no code that holds the peers panics")
    }

    /// Changes this node's entry. A single node has none and records no subscriptions.
    fn update_own(&self, update: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers().get_mut(self.position) {
            update(peer);
        }
    }

    fn receivers_of(&self, publication: &Publication) -> Vec<Arc<dyn Receiver>> {
        let peers = self.peers();
        let others = peers.iter().enumerate().filter(|(position, _)| *position != self.position);
        let subscribed = others.filter(|(_, peer)| peer.is_subscribed_to(publication));
        subscribed.filter_map(|(_, peer)| peer.receiver.as_ref()?.upgrade()).collect()
    }
}

impl Bus for LocalBus {
    fn node(&self) -> NodeId {
        self.node
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.own.set(receiver.clone());
        self.update_own(|peer| peer.receiver = Some(receiver));
    }

    fn publish(&self, publication: &Publication, if_unreached: IfUnreached) -> Result<(), PublishError> {
        // The lock is released first: receiving takes the locks of member sets, and member sets subscribe
        // while they hold theirs.
        let receivers = self.receivers_of(publication);
        receivers.iter().for_each(|receiver| receiver.receive(publication.clone()));
        if receivers.is_empty()
            && if_unreached == IfUnreached::Notify
            && let Some(own) = self.own.get().and_then(Weak::upgrade)
        {
            own.unreached();
        }
        Ok(())
    }

    fn publish_counted(&self, publication: &Publication, on_counted: OnCounted) -> Result<(), PublishError> {
        let receivers = self.receivers_of(publication);
        receivers.iter().for_each(|receiver| receiver.receive(publication.clone()));
        on_counted(Some(receivers.len()));
        Ok(())
    }

    fn is_shared(&self) -> bool {
        !self.peers().is_empty()
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.update_own(|peer| {
            peer.subscriptions.insert((project.clone(), target.clone()));
        });
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.update_own(|peer| {
            peer.subscriptions.remove(&(project.clone(), target.clone()));
        });
    }
}

impl Peer {
    fn is_subscribed_to(&self, publication: &Publication) -> bool {
        publication.audience.to.iter().any(|target| match target {
            Target::Socket(id) => id.node() == self.node && self.has(publication, &Target::Everyone),
            _ => self.has(publication, target),
        })
    }

    fn has(&self, publication: &Publication, target: &Target) -> bool {
        self.subscriptions.contains(&(publication.project.clone(), target.clone()))
    }
}
