//! One publication as Redis commands: one for each channel, or one script call. The cost for Redis is bounded for any
//! audience.

use std::collections::HashSet;

use bytes::Bytes;
use switchboard_backplane::Publication;
use switchboard_event::{NodeId, Target};

use super::bridge::BridgeCommand;
use super::many_users::EncodedForUsers;
use crate::connection::Batch;
use crate::envelope::{self, Stamp};
use crate::names::ProjectNames;

/// Up to this many users are addressed on their own channels, which costs Redis less than the script (decision
/// 0040). A node may then receive that many copies.
const FEW_USERS_MAX: usize = 8;

/// Up to this many users are looked up by a script: at most a few ms of Redis' time.
const USERS_MAX: usize = 1024;

/// Up to this many channels of other targets receive a copy each.
const CHANNELS_MAX: usize = 16;

/// An encoded publication.
pub(crate) enum Outbound {
    /// One message for some channels.
    Channels { route: String, channels: Vec<String>, message: Bytes },
    /// One message for the nodes of many users.
    ManyUsers { route: String, message: EncodedForUsers },
    /// A message for original servers.
    Bridge(BridgeCommand),
}

/// Approximate overhead of a publication in bytes.
const OVERHEAD: usize = 128;

fn names_bytes(channels: &[String]) -> usize {
    channels.iter().map(|channel| size_of::<String>() + channel.len()).sum()
}

impl Outbound {
    /// `None` if no other node can have a receiver.
    pub(crate) fn of(names: &ProjectNames, publication: &Publication, stamp: Stamp) -> Option<Self> {
        let route = names.base().into();
        Some(match Route::of(names, publication, stamp.node)? {
            Route::Channels(channels) => {
                Outbound::Channels { route, channels, message: envelope::encode(publication, stamp) }
            }
            Route::NodesOfUsers { users, channels } => {
                let message = EncodedForUsers::new(names, publication, stamp, &users, channels);
                Outbound::ManyUsers { route, message }
            }
        })
    }

    /// The channels that have a copy each, as far as they are known before the nodes of users are looked up.
    pub(super) fn channels(&self) -> &[String] {
        match self {
            Outbound::Channels { channels, .. } => channels,
            Outbound::ManyUsers { .. } | Outbound::Bridge(_) => &[],
        }
    }

    /// Approximate size in the queue.
    pub(crate) fn bytes(&self) -> usize {
        let content = match self {
            Outbound::Channels { channels, message, .. } => message.len() + names_bytes(channels),
            Outbound::ManyUsers { message, .. } => message.bytes(),
            Outbound::Bridge(command) => command.bytes,
        };
        OVERHEAD + content
    }

    /// Approximate size of its commands, which contain the message once for each channel.
    pub(crate) fn command_bytes(&self) -> usize {
        match self {
            Outbound::Channels { channels, message, .. } => {
                channels.len() * message.len() + names_bytes(channels)
            }
            _ => self.bytes(),
        }
    }

    /// Approximate work for Redis: channels, and users that are looked up.
    pub(super) fn work(&self) -> usize {
        match self {
            Outbound::Channels { channels, .. } => channels.len(),
            Outbound::ManyUsers { message, .. } => message.work(),
            Outbound::Bridge(command) => command.work,
        }
    }

    /// Adds the commands that publish it.
    pub(crate) fn append_to(&self, batch: &mut Batch, verb: &str) {
        match self {
            Outbound::ManyUsers { route, message } => batch.push(route, message.command(verb)),
            Outbound::Bridge(bridge) => batch.push("", bridge.command.clone()),
            Outbound::Channels { route, channels, message } => {
                // A transaction keeps the copies together, so that receivers recognize and drop duplicates.
                let is_transaction = channels.len() > 1;
                if is_transaction {
                    batch.push(route, redis::cmd("MULTI"));
                }
                for channel in channels {
                    let mut command = redis::cmd(verb);
                    command.arg(channel).arg(&**message);
                    batch.push(route, command);
                }
                if is_transaction {
                    batch.push(route, redis::cmd("EXEC"));
                }
            }
        }
    }
}

/// The channels to which a publication goes, or the users whose nodes have to be looked up first.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    /// One copy on each channel.
    Channels(Vec<String>),
    /// One copy to each node that has sockets of some of the users, and one on each channel.
    NodesOfUsers { users: Vec<&'a str>, channels: Vec<String> },
}

impl<'a> Route<'a> {
    /// `None` if no node other than `node` can have a receiver.
    fn of(names: &ProjectNames, publication: &'a Publication, node: NodeId) -> Option<Self> {
        let to = &*publication.audience.to;
        if let [target] = to {
            return (!is_local(target, node)).then(|| Route::Channels(vec![names.channel(target)]));
        }
        if to.contains(&Target::Everyone) {
            return Some(Route::everyone(names));
        }
        let mut known = HashSet::new();
        let mut users: Vec<&Target> = Vec::new();
        let mut others: Vec<&Target> = Vec::new();
        for target in to.iter().filter(|target| !is_local(target, node)) {
            if known.insert(target) {
                if let Target::User(_) = target { users.push(target) } else { others.push(target) }
            }
        }
        // Single sockets of one node share a channel.
        let mut channels = names.channels(others.into_iter());
        if users.len() > USERS_MAX || channels.len() > CHANNELS_MAX {
            return Some(Route::everyone(names));
        }
        if users.len() > FEW_USERS_MAX {
            return Some(Route::NodesOfUsers {
                users: users.into_iter().filter_map(user).collect(),
                channels,
            });
        }
        channels.extend(names.channels(users.into_iter()));
        (!channels.is_empty()).then_some(Route::Channels(channels))
    }

    /// The channel that every node of the project is subscribed to. Each node selects its own receivers.
    fn everyone(names: &ProjectNames) -> Self {
        Route::Channels(vec![names.channel(&Target::Everyone)])
    }
}

fn is_local(target: &Target, node: NodeId) -> bool {
    matches!(target, Target::Socket(id) if id.node() == node)
}

fn user(target: &Target) -> Option<&str> {
    match target {
        Target::User(user) => Some(user),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use switchboard_backplane::Content;
    use switchboard_event::{Audience, ProjectId, SocketId};

    use super::*;
    use crate::names::Names;

    const NODE: NodeId = NodeId(7);

    fn publication(to: impl IntoIterator<Item = Target>) -> Publication {
        Publication {
            project: ProjectId::new("p").unwrap(),
            audience: Audience { to: to.into_iter().collect(), except: Vec::new() },
            content: Content::Control(Bytes::new()),
        }
    }

    /// The number of users that are looked up and the channels without their prefix.
    fn route(to: impl IntoIterator<Item = Target>) -> Option<(usize, Vec<String>)> {
        let publication = publication(to);
        let names = Names::new("s").project(&publication.project);
        let (users, channels) = match Route::of(&names, &publication, NODE)? {
            Route::Channels(channels) => (0, channels),
            Route::NodesOfUsers { users, channels } => (users.len(), channels),
        };
        let short =
            |channel: String| channel.strip_prefix("s:{p}:to:").expect("a channel of the project").to_owned();
        Some((users, channels.into_iter().map(short).collect()))
    }

    fn users(count: usize) -> impl Iterator<Item = Target> + Clone {
        (0..count).map(|n| Target::user(&n.to_string()).unwrap())
    }

    fn rooms(count: usize) -> impl Iterator<Item = Target> {
        (0..count).map(|n| Target::room(&n.to_string()).unwrap())
    }

    #[test]
    fn few_targets_have_a_copy_each_and_repeated_ones_share_it() {
        let to = rooms(2).chain(users(1)).chain(rooms(2)).chain(users(1));
        assert_eq!(route(to), Some((0, vec!["#0".into(), "#1".into(), "@0".into()])));
        assert_eq!(route((0..10_000).flat_map(|_| users(1))), Some((0, vec!["@0".into()])));
        assert_eq!(route(users(FEW_USERS_MAX + 1).chain(rooms(1))), Some((9, vec!["#0".into()])));
    }

    #[test]
    fn large_audiences_and_everyone_have_one_copy() {
        let one_copy = Some((0, vec!["=".into()]));
        assert_eq!(route(users(USERS_MAX)), Some((USERS_MAX, Vec::new())));
        assert_eq!(route(users(USERS_MAX + 1)), one_copy);
        assert_eq!(route(rooms(CHANNELS_MAX + 1)), one_copy);
        assert_eq!(route(users(20).chain([Target::Everyone])), one_copy);
        let unknown_nodes = (0..3000).map(|n| Target::Socket(SocketId::on(NodeId(100 + n))));
        assert_eq!(route(unknown_nodes), one_copy);
    }

    #[test]
    fn sockets_of_this_node_need_no_copy_and_those_of_another_share_one() {
        let sockets = |node: u32| (0..100).map(move |_| Target::Socket(SocketId::on(NodeId(node))));
        assert_eq!(route(sockets(7)), None);
        assert_eq!(route([]), None);
        assert_eq!(route(sockets(7).chain(sockets(8))), Some((0, vec!["!00000008".into()])));
    }
}
