//! A publication on its way: to which channels, or through which script.

use bytes::Bytes;
use switchboard_backplane::Publication;
use switchboard_event::Target;

use super::many_users::{Crowd, Encoded};
use crate::connection::Batch;
use crate::envelope::{self, Stamp};
use crate::legacy::Telling;
use crate::names::ProjectNames;

/// What is on its way.
pub(crate) enum Outbound {
    /// A message to some channels of ours.
    Message { route: String, channels: Vec<String>, message: Bytes },
    /// A message to the nodes of many users.
    Crowd { route: String, message: Encoded },
    /// The same for original emit.gg nodes.
    ToOriginals(Telling),
}

impl Outbound {
    /// None if it is for nobody elsewhere.
    pub(crate) fn of(names: &ProjectNames, publication: &Publication, stamp: Stamp) -> Option<Self> {
        let route = names.base().into();
        if let Some(crowd) = Crowd::of(publication) {
            return Some(Outbound::Crowd { route, message: crowd.encode(names, stamp) });
        }
        let here = |target: &&Target| matches!(target, Target::Socket(id) if id.node() == stamp.node);
        let channels = names.channels(publication.audience.to.iter().filter(|target| !here(target)));
        let message = (!channels.is_empty()).then(|| envelope::encode(publication, stamp))?;
        Some(Outbound::Message { route, channels, message })
    }

    /// How much it holds in the queue, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Outbound::Message { message, .. } => message.len(),
            Outbound::Crowd { message, .. } => message.bytes(),
            Outbound::ToOriginals(telling) => telling.bytes,
        }
    }

    /// Adds the commands that publish it.
    pub(crate) fn put_into(&self, batch: &mut Batch, verb: &str) {
        match self {
            Outbound::Crowd { route, message } => batch.push(route, message.command(verb)),
            Outbound::ToOriginals(telling) => batch.push("", telling.command.clone()),
            Outbound::Message { route, channels, message } => {
                // In a transaction the copies arrive next to one another, so receivers know them.
                let several = channels.len() > 1;
                if several {
                    batch.push(route, redis::cmd("MULTI"));
                }
                for channel in channels {
                    let mut command = redis::cmd(verb);
                    command.arg(channel).arg(&**message);
                    batch.push(route, command);
                }
                if several {
                    batch.push(route, redis::cmd("EXEC"));
                }
            }
        }
    }
}
