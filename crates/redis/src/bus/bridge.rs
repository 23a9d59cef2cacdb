//! The interface to a bridge that translates publications for original servers on the same Redis.

use bytes::Bytes;
use redis::Cmd;
use switchboard_backplane::Publication;
use switchboard_event::ProjectId;

/// Why a message on a bridged channel cannot be decoded.
pub(crate) type BridgeError = Box<dyn std::error::Error + Send + Sync>;

/// Translates between publications and the messages of original servers.
pub(crate) trait BusBridge: Send + Sync {
    /// Whether original servers are part of the project.
    fn covers(&self, project: &ProjectId) -> bool;

    /// Channels on which original servers publish.
    fn channels(&self) -> Vec<String>;

    /// Decodes a message of an original server. `None` if the channel is not bridged; `Ok(None)` if a
    /// Switchboard node sent the message.
    fn decode(&self, channel: &[u8], message: &Bytes) -> Option<Result<Option<Publication>, BridgeError>>;

    /// The commands that publish to original servers.
    fn encode(&self, publication: &Publication) -> Vec<BridgeCommand>;
}

/// A command that publishes to original servers.
pub(crate) struct BridgeCommand {
    pub(crate) command: Cmd,
    /// Approximate size in the queue.
    pub(crate) bytes: usize,
    /// Approximate work for Redis: channels, and entries that are looked up.
    pub(crate) work: usize,
}
