//! Publications for many users: one copy to each node that has sockets of some, in place of one to each
//! user's channel. If every node has some, one copy on the channel for everyone reaches them all.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::Cmd;
use switchboard_backplane::{Content, Publication};
use switchboard_event::Target;

use crate::connection::script::Script;
use crate::envelope::{self, Stamp};
use crate::names::ProjectNames;

/// Up to this many users are addressed on their own channels, which costs Redis less than the script (decision
/// 0040). A node may then receive that many copies.
const FEW_MAX: usize = 8;

/// Finds the nodes of users and publishes to them, in one step.
pub(crate) static PUBLISH_TO_USERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("nodes_of_users.lua"), include_str!("publish_to_users.lua")))
});

/// A publication for many users, and possibly for other targets.
pub(super) struct ManyUsers<'a> {
    publication: &'a Publication,
    users: Vec<&'a str>,
    others: Vec<&'a Target>,
}

/// The arguments of the script.
pub(crate) struct EncodedForUsers {
    base: String,
    node: [u8; 4],
    head: Bytes,
    tail: Bytes,
    channels: Vec<String>,
    users: usize,
    /// The users in the encoding of an audience.
    targets: Vec<u8>,
}

impl<'a> ManyUsers<'a> {
    /// `None` if the publication is for few users.
    pub(super) fn of(publication: &'a Publication) -> Option<Self> {
        let to = &publication.audience.to;
        if to.len() <= FEW_MAX || matches!(publication.content, Content::ShardChanged(_)) {
            return None;
        }
        let (users, others): (Vec<_>, Vec<_>) = to.iter().partition(|to| matches!(to, Target::User(_)));
        let users: Vec<&str> = users.into_iter().filter_map(user).collect();
        (users.len() > FEW_MAX).then_some(ManyUsers { publication, users, others })
    }

    pub(super) fn encode(&self, names: &ProjectNames, stamp: Stamp) -> EncodedForUsers {
        // A node that also subscribes to another target's channel receives two copies and drops the second one
        // by its stamp. Each copy must therefore contain all targets.
        let [head, tail] = match &*self.others {
            [] => envelope::around_targets(self.publication, stamp),
            _ => [envelope::encode(self.publication, stamp), Bytes::new()],
        };
        EncodedForUsers {
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

impl EncodedForUsers {
    /// Approximate size in the queue.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.tail.len() + self.targets.len()
    }

    pub(super) fn command(&self, verb: &str) -> Cmd {
        let (base, users) = (self.base.as_bytes(), self.users.to_string());
        let mut args: Vec<&[u8]> =
            vec![base, verb.as_bytes(), &self.node, &self.head, &self.tail, users.as_bytes(), &self.targets];
        args.extend(self.channels.iter().map(|channel| channel.as_bytes()));
        PUBLISH_TO_USERS.call(std::slice::from_ref(&self.base), &args)
    }
}
