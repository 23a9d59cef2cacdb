//! What carries sends from one node to the others.
//!
//! A node says which targets its sockets care for, and hears only of those. The order of one
//! node's publications holds at every other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use switchboard_event::{Audience, DeliveryClass, Event, ProjectId, Target};

/// A send on its way between nodes.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The project it stays in.
    pub project: ProjectId,
    /// Who hears it.
    pub audience: Audience,
    /// What they hear.
    pub event: Event,
    /// What may happen to it on the way.
    pub class: DeliveryClass,
}

/// The bus holds as much as it may and did not take a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bus is full; other nodes did not get this event")]
pub struct BusFull;

/// Where publications of other nodes arrive.
pub trait Inbox: Send + Sync {
    /// Called in the order they were published; must not wait.
    fn receive(&self, publication: Publication);
}

/// Carries publications between nodes. Every implementation passes the same contract tests.
pub trait Bus: Send + Sync + 'static {
    /// Called once, before anything else. The bus holds no node alive.
    fn start(&self, inbox: Weak<dyn Inbox>);

    /// Sends to every other node that cares for a target of the audience. Queues and returns; a
    /// full queue drops it and says so.
    fn publish(&self, publication: &Publication) -> Result<(), BusFull>;

    /// From now on this node cares for a target. Must not wait.
    fn subscribe(&self, project: &ProjectId, target: &Target);

    /// From now on it does not. Calls for one target come in the order things happened.
    fn unsubscribe(&self, project: &ProjectId, target: &Target);
}

/// Connects nodes of one process: one that is alone, or several, each with a bus of a
/// [`LocalBus::connected`] set.
#[derive(Default)]
pub struct LocalBus {
    place: usize,
    members: Arc<Mutex<Vec<Member>>>,
}

#[derive(Default)]
struct Member {
    inbox: Option<Weak<dyn Inbox>>,
    interests: HashSet<(ProjectId, Target)>,
}

impl LocalBus {
    /// `count` buses, each for one node, that carry to one another.
    pub fn connected(count: usize) -> Vec<LocalBus> {
        let members = Arc::new(Mutex::new((0..count).map(|_| Member::default()).collect()));
        (0..count).map(|place| LocalBus { place, members: Arc::clone(&members) }).collect()
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
    fn inboxes_for(&self, publication: &Publication) -> Vec<Arc<dyn Inbox>> {
        let members = self.members.lock().expect("no code that holds the members panics");
        let others = members.iter().enumerate().filter(|(place, _)| *place != self.place);
        let caring = others.filter(|(_, member)| member.cares_for(publication));
        caring.filter_map(|(_, member)| member.inbox.as_ref()?.upgrade()).collect()
    }
}

impl Bus for LocalBus {
    fn start(&self, inbox: Weak<dyn Inbox>) {
        self.with_member(|member| member.inbox = Some(inbox));
    }

    fn publish(&self, publication: &Publication) -> Result<(), BusFull> {
        // Delivered without the lock: receiving takes the locks of groups, and groups subscribe under
        // theirs.
        self.inboxes_for(publication).iter().for_each(|inbox| inbox.receive(publication.clone()));
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
            // Which node has a socket is not known here; those without it ignore it.
            Target::Socket(_) => true,
            _ => self.interests.contains(&(publication.project.clone(), target.clone())),
        })
    }
}
