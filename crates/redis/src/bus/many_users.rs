//! Sends to many users: to each node that has some of them once, in place of once to each user's channel.
//! With so many that all nodes have some, to all nodes at once.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::Cmd;
use switchboard_backplane::{Content, Publication};
use switchboard_event::Target;

use crate::connection::script::{Script, call};
use crate::envelope::{self, Stamp};
use crate::names::ProjectNames;

/// With more users than this a node is found for each. Up to it every node may hear as many copies.
const FEW: usize = 8;

/// Finds the nodes and publishes, in one step.
pub(crate) static TO_USERS: LazyLock<Script> = LazyLock::new(|| {
    Script::of(concat!(include_str!("nodes_of_users.lua"), include_str!("publish_to_users.lua")))
});

/// A publication for many users, perhaps with other targets.
pub(super) struct Crowd<'a> {
    publication: &'a Publication,
    users: Vec<&'a str>,
    others: Vec<&'a Target>,
}

/// What the script is called with.
pub(crate) struct Encoded {
    base: String,
    node: [u8; 4],
    head: Bytes,
    tail: Bytes,
    channels: Vec<String>,
    users: usize,
    /// As an audience has them.
    targets: Vec<u8>,
}

impl<'a> Crowd<'a> {
    /// None if there are few users.
    pub(super) fn of(publication: &'a Publication) -> Option<Self> {
        let to = &publication.audience.to;
        // Other contents are not for users.
        if to.len() <= FEW || matches!(publication.content, Content::ShardChanged(_)) {
            return None;
        }
        let (users, others): (Vec<_>, Vec<_>) = to.iter().partition(|to| matches!(to, Target::User(_)));
        let users: Vec<&str> = users.into_iter().filter_map(user).collect();
        (users.len() > FEW).then_some(Crowd { publication, users, others })
    }

    pub(super) fn encode(&self, names: &ProjectNames, stamp: Stamp) -> Encoded {
        // A node that also hears another target's channel hears the same twice, and knows it by its stamp;
        // then either has to name all targets.
        let [head, tail] = match &*self.others {
            [] => envelope::around_targets(self.publication, stamp),
            _ => [envelope::encode(self.publication, stamp), Bytes::new()],
        };
        Encoded {
            base: names.base().into(),
            node: stamp.node.0.to_be_bytes(),
            head,
            tail,
            channels: names.channels(self.others.iter().copied()),
            users: self.users.len(),
            targets: envelope::users(&self.users),
        }
    }
}

fn user(target: &Target) -> Option<&str> {
    match target {
        Target::User(user) => Some(user),
        _ => None,
    }
}

impl Encoded {
    /// How much it holds in the queue, about.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.tail.len() + self.targets.len()
    }

    pub(super) fn command(&self, verb: &str) -> Cmd {
        let (base, users) = (self.base.as_bytes(), self.users.to_string());
        let mut args: Vec<&[u8]> =
            vec![base, verb.as_bytes(), &self.node, &self.head, &self.tail, users.as_bytes(), &self.targets];
        args.extend(self.channels.iter().map(|channel| channel.as_bytes()));
        call(&TO_USERS, std::slice::from_ref(&self.base), &args)
    }
}
