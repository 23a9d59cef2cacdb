//! Bridges to original servers on the same Redis: one project of ours and they hear one another.
//!
//! Ours stands in Redis beside theirs as ever: what is written in their keys is a copy, in the same step
//! and under the same lease, and what Switchboard nodes say on their channels is for originals alone. A
//! further kind of originals is a folder here, and a line in [`Bridges::new`], in `copies.lua` and where that
//! is put together with the scripts.

mod emit;
mod mesa;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redis::Cmd;
use switchboard_backplane::Publication;
use switchboard_event::{NameError, NodeId, ProjectId};

pub use emit::EmitBridge;
pub(crate) use emit::{BridgedEmit, Upkeep, sockets, users};
pub use mesa::MesaBridge;
pub use mesa::portals::OriginalPortals;
pub(crate) use mesa::{portals, undelivered};

use crate::options::Options;
use mesa::BridgedMesa;

/// This node's end of the bridge to originals of one kind.
trait Bridged: Send + Sync {
    /// The project that is bridged.
    fn project(&self) -> &ProjectId;

    /// The kind and the place of the copies, as `copies.lua` knows them; none if there are no copies.
    fn note(&self) -> Option<(&'static str, String)>;

    /// The channels on which originals speak.
    fn channels(&self) -> &[String];

    /// What an original said on one of these, for the sockets of this node; none if a Switchboard node
    /// said it.
    fn heard(&self, channel: &str, message: &Bytes) -> Result<Option<Publication>, NoMessage>;

    /// What to tell originals of a publication in the project.
    fn telling(&self, publication: &Publication) -> Vec<Telling>;
}

/// A command that tells originals something.
pub(crate) struct Telling {
    pub(crate) command: Cmd,
    /// How much it holds in the queue, about.
    pub(crate) bytes: usize,
}

/// The bytes are nothing that an original says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NoMessage {
    #[error("no message of an original")]
    Shape(#[from] serde_json::Error),
    #[error("a name in a message of an original cannot be used")]
    Name(#[from] NameError),
    #[error("in a message of an original, {0}")]
    Wrong(&'static str),
}

/// All bridges of this node.
pub(crate) struct Bridges {
    /// Originals of emit.gg are counted and listed as well.
    emit: Option<Arc<BridgedEmit>>,
    /// Dispatchers of Mesa store messages as well.
    mesa: Option<Arc<BridgedMesa>>,
    all: Vec<Arc<dyn Bridged>>,
}

impl Bridges {
    pub(crate) fn new(options: &Options, node: NodeId) -> Self {
        let emit = options.emit.clone().map(|bridge| Arc::new(BridgedEmit::new(bridge, node)));
        let mesa = options.mesa.clone().map(|bridge| Arc::new(BridgedMesa::new(bridge, node)));
        let mut all: Vec<Arc<dyn Bridged>> = Vec::new();
        all.extend(emit.iter().map(|bridged| bridged.clone() as Arc<dyn Bridged>));
        all.extend(mesa.iter().map(|bridged| bridged.clone() as Arc<dyn Bridged>));
        Bridges { emit, mesa, all }
    }

    /// The one to emit.gg nodes.
    pub(crate) fn emit(&self) -> Option<&Arc<BridgedEmit>> {
        self.emit.as_ref()
    }

    /// Whether there may be original Mesa Dispatchers.
    pub(crate) fn has_dispatchers(&self) -> bool {
        self.mesa.is_some()
    }

    /// The hash in which Dispatchers store messages for users of a project who are away.
    pub(crate) fn undelivered(&self, project: &ProjectId) -> Option<String> {
        let mesa = self.mesa.as_ref().filter(|mesa| mesa.project() == project)?;
        Some(mesa.undelivered())
    }

    fn of<'a>(&'a self, project: &'a ProjectId) -> impl Iterator<Item = &'a dyn Bridged> {
        self.all.iter().map(|bridged| &**bridged).filter(move |bridged| bridged.project() == project)
    }

    /// Whether originals are in the project.
    pub(crate) fn is_bridged(&self, project: &ProjectId) -> bool {
        self.of(project).next().is_some()
    }

    /// Whether originals have copies of what is in the project.
    pub(crate) fn has_copies(&self, project: &ProjectId) -> bool {
        self.of(project).any(|bridged| bridged.note().is_some())
    }

    /// The kinds and places of the copies of a project, in turn.
    pub(crate) fn notes(&self, project: &ProjectId) -> Vec<String> {
        self.of(project)
            .filter_map(Bridged::note)
            .flat_map(|(kind, place)| [kind.to_owned(), place])
            .collect()
    }

    /// The channels on which originals speak.
    pub(crate) fn channels(&self) -> impl Iterator<Item = String> {
        self.all.iter().flat_map(|bridged| bridged.channels()).cloned()
    }

    /// What an original said, for the sockets of this node; none if a Switchboard node said it. `None` if
    /// originals do not speak on that channel.
    pub(crate) fn heard(
        &self,
        channel: &[u8],
        message: &Bytes,
    ) -> Option<Result<Option<Publication>, NoMessage>> {
        self.all.iter().find_map(|bridged| {
            let channel = bridged.channels().iter().find(|name| name.as_bytes() == channel)?;
            Some(bridged.heard(channel, message))
        })
    }

    /// What to tell originals of a publication.
    pub(crate) fn telling<'a>(&'a self, publication: &'a Publication) -> impl Iterator<Item = Telling> {
        self.of(&publication.project).flat_map(|bridged| bridged.telling(publication))
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is JSON, and a Vec takes everything");
}

/// Originals do not say when something happened.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
