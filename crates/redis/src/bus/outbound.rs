//! One publication as Redis commands: one for each channel, or one script call.

use bytes::Bytes;
use switchboard_backplane::Publication;

use super::bridge::BridgeCommand;
use super::many_users::EncodedForUsers;
use super::route::Route;
use crate::connection::Batch;
use crate::envelope::{self, Stamp};
use crate::names::ProjectNames;

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
