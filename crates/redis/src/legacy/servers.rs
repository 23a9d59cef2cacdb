//! The interface to one kind of original servers.

use std::time::SystemTime;

use bytes::Bytes;
use switchboard_backplane::Publication;
use switchboard_event::{NameError, ProjectId};

use crate::bus::BridgeCommand;

/// This node's end of the bridge to one kind of original servers.
pub(super) trait LegacyServers: Send + Sync {
    /// The bridged project.
    fn project(&self) -> &ProjectId;

    /// The kind and the parameters of the copies of presence, for `copies.lua`. `None` if there are none.
    fn copies(&self) -> Option<(&'static str, String)>;

    /// The channels on which original servers publish.
    fn channels(&self) -> &[String];

    /// Decodes a message on one of these channels. `None` if a Switchboard node sent it.
    fn decode(&self, channel: &str, message: &Bytes) -> Result<Option<Publication>, LegacyDecodeError>;

    /// The commands that publish to original servers.
    fn encode(&self, publication: &Publication) -> Vec<BridgeCommand>;
}

/// Why a message on a channel of original servers cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LegacyDecodeError {
    #[error("not a message of an original server")]
    Shape(#[from] serde_json::Error),
    #[error("a message of an original server has an invalid name")]
    Name(#[from] NameError),
    #[error("a message of an original server is invalid: {0}")]
    Invalid(&'static str),
}

/// Appends a string as JSON.
pub(super) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON, and a Vec accepts all of it");
}

/// The current time in ms, because messages of original servers contain no time.
pub(super) fn now_ms() -> u64 {
    switchboard_event::unix_ms(SystemTime::now())
}
