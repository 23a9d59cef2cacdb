//! Publications for many users: one copy to each node that has sockets of some, in place of one to each
//! user's channel. If every node has some, one copy on the channel for everyone reaches them all.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::Cmd;
use switchboard_backplane::Publication;

use crate::connection::script::Script;
use crate::envelope::{self, Stamp};
use crate::names::ProjectNames;

/// Finds the nodes of users and publishes to them, in one step.
pub(crate) static PUBLISH_TO_USERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("nodes_of_users.lua"), include_str!("publish_to_users.lua")))
});

/// The arguments of the script.
pub(crate) struct EncodedForUsers {
    base: String,
    node: [u8; 4],
    head: Bytes,
    tail: Bytes,
    /// Channels of other targets.
    channels: Vec<String>,
    users: usize,
    /// The users in the encoding of an audience.
    targets: Vec<u8>,
}

impl EncodedForUsers {
    pub(super) fn new(
        names: &ProjectNames,
        publication: &Publication,
        stamp: Stamp,
        users: &[&str],
        channels: Vec<String>,
    ) -> Self {
        // A node that also subscribes to another target's channel receives two copies and drops the second one
        // by its stamp. Each copy must therefore contain all targets.
        let [head, tail] = match &*channels {
            [] => envelope::around_targets(publication, stamp),
            _ => [envelope::encode(publication, stamp), Bytes::new()],
        };
        EncodedForUsers {
            base: names.base().into(),
            node: stamp.node.0.to_be_bytes(),
            head,
            tail,
            channels,
            users: users.len(),
            targets: envelope::users(users),
        }
    }

    /// Approximate size in the queue.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.tail.len() + self.targets.len()
    }

    /// Users that are looked up, and channels.
    pub(super) fn work(&self) -> usize {
        self.users + self.channels.len()
    }

    pub(super) fn command(&self, verb: &str) -> Cmd {
        let (base, users) = (self.base.as_bytes(), self.users.to_string());
        let mut args: Vec<&[u8]> =
            vec![base, verb.as_bytes(), &self.node, &self.head, &self.tail, users.as_bytes(), &self.targets];
        args.extend(self.channels.iter().map(|channel| channel.as_bytes()));
        PUBLISH_TO_USERS.call(std::slice::from_ref(&self.base), &args)
    }
}
