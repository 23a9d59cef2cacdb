//! What carries sends from one node to the others.
//!
//! A node says which targets its sockets care for, and hears only of those. The order of one
//! node's publications holds at every other.

use std::collections::HashSet;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use switchboard_event::{
    Audience, DeliveryClass, Event, MessageNumber, Name, NodeId, ProjectId, SocketId, Target,
};

/// What one node has for those that care.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The project it stays in.
    pub project: ProjectId,
    /// Whose nodes get it.
    pub audience: Audience,
    /// What they get.
    pub content: Content,
}

/// What a publication holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// An event for the sockets of the audience.
    Event {
        /// What they hear.
        event: Event,
        /// What may happen to it on the way.
        class: DeliveryClass,
    },
    /// A message that waits for the users of the audience until one of their sockets surely has it.
    Kept {
        /// Which one.
        number: MessageNumber,
        /// What they hear.
        event: Event,
    },
    /// Closes the sockets of the audience, each behind what is queued for it.
    Close {
        /// The close code.
        code: u16,
        /// The reason.
        reason: Box<str>,
    },
    /// Something that nodes say to each other about the sockets of the audience. The bus and the hub
    /// do not look into it.
    Control(Bytes),
    /// Who is on this shard, or what is known of them, is no longer what it was.
    ShardChanged(Name),
}

/// Why other nodes did not get a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// As much waits to be published as may.
    #[error("the bus is full; other nodes did not get this")]
    Full,
    /// There is no connection to the other nodes.
    #[error("the bus is away; other nodes did not get this")]
    Away,
}

/// Where publications of other nodes arrive.
pub trait Receiver: Send + Sync {
    /// Called in the order they were published; must not wait.
    fn receive(&self, publication: Publication);

    /// Publications of others may have been lost until now.
    fn missed(&self);

    /// Whether a socket is on this node.
    fn has(&self, socket: SocketId) -> bool;
}

/// A moment that comes.
pub type Moment<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Carries publications between nodes. Every implementation passes the same contract tests.
pub trait Bus: Send + Sync + 'static {
    /// This node's id, by which the ids of its sockets are found to be its own.
    fn node(&self) -> NodeId;

    /// Called once, before anything else. The bus holds no node alive.
    fn start(&self, receiver: Weak<dyn Receiver>);

    /// Sends to every other node that cares for a target of the audience, once. For a socket that is its
    /// node, while that cares for everyone of the project. Queues and returns; what it cannot queue it
    /// drops, and says so.
    fn publish(&self, publication: &Publication) -> Result<(), Lost>;

    /// From now on this node cares for a target; for [`Target::Everyone`], for its own sockets of
    /// the project as well. Must not wait.
    fn subscribe(&self, project: &ProjectId, target: &Target);

    /// From now on it does not. Calls for one target come in the order things happened.
    fn unsubscribe(&self, project: &ProjectId, target: &Target);

    /// When everything this node cares for now reaches it, from whatever node. Comes at once while
    /// there is no connection: nothing can reach it.
    fn settled(&self) -> Moment<'_> {
        Box::pin(ready(()))
    }

    /// Whether there is a connection to the other nodes.
    fn is_up(&self) -> bool {
        true
    }
}

/// Connects nodes of one process: one that is alone, or several, each with a bus of a
/// [`LocalBus::connected`] set.
pub struct LocalBus {
    node: NodeId,
    place: usize,
    members: Arc<Mutex<Vec<Member>>>,
}

struct Member {
    node: NodeId,
    receiver: Option<Weak<dyn Receiver>>,
    interests: HashSet<(ProjectId, Target)>,
}

impl Default for LocalBus {
    fn default() -> Self {
        LocalBus { node: NodeId::random(), place: 0, members: Arc::default() }
    }
}

impl LocalBus {
    /// `count` buses, each for one node, that carry to one another.
    pub fn connected(count: usize) -> Vec<LocalBus> {
        let nodes: Vec<NodeId> = (0..count).map(|_| NodeId::random()).collect();
        let member = |&node: &NodeId| Member { node, receiver: None, interests: HashSet::new() };
        let members = Arc::new(Mutex::new(nodes.iter().map(member).collect()));
        let bus = |(place, node)| LocalBus { node, place, members: Arc::clone(&members) };
        nodes.into_iter().enumerate().map(bus).collect()
    }

    /// A node alone carries nothing and keeps no account of its interests.
    fn with_member(&self, change: impl FnOnce(&mut Member)) {
        if let Some(member) =
            self.members.lock().expect("no code that holds the members panics").get_mut(self.place)
        {
            change(member);
        }
    }

    /// Where the other nodes that care take it.
    fn receivers_for(&self, publication: &Publication) -> Vec<Arc<dyn Receiver>> {
        let members = self.members.lock().expect("no code that holds the members panics");
        let others = members.iter().enumerate().filter(|(place, _)| *place != self.place);
        let caring = others.filter(|(_, member)| member.cares_for(publication));
        caring.filter_map(|(_, member)| member.receiver.as_ref()?.upgrade()).collect()
    }
}

impl Bus for LocalBus {
    fn node(&self) -> NodeId {
        self.node
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.with_member(|member| member.receiver = Some(receiver));
    }

    fn publish(&self, publication: &Publication) -> Result<(), Lost> {
        // Delivered without the lock: receiving takes the locks of groups, and groups subscribe under
        // theirs.
        self.receivers_for(publication).iter().for_each(|receiver| receiver.receive(publication.clone()));
        Ok(())
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.with_member(|member| {
            member.interests.insert((project.clone(), target.clone()));
        });
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.with_member(|member| {
            member.interests.remove(&(project.clone(), target.clone()));
        });
    }
}

impl Member {
    fn cares_for(&self, publication: &Publication) -> bool {
        publication.audience.to.iter().any(|target| match target {
            Target::Socket(id) => id.node() == self.node && self.wants(publication, &Target::Everyone),
            _ => self.wants(publication, target),
        })
    }

    fn wants(&self, publication: &Publication, target: &Target) -> bool {
        self.interests.contains(&(publication.project.clone(), target.clone()))
    }
}
