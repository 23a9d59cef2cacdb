//! A bus between nodes of one process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use switchboard_event::{NodeId, ProjectId, Target};

use crate::bus::{Bus, Publication, PublishError, Receiver};

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

    fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
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
