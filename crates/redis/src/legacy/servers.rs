//! The interface to one kind of original servers, and the parts that their messages have in common.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_backplane::Publication;
use switchboard_event::json::Text;
use switchboard_event::{NameError, Payload, PayloadError, ProjectId};

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
    #[error("a message of an original server has invalid data")]
    Data(#[from] PayloadError),
    #[error("a message of an original server is invalid: {0}")]
    Invalid(&'static str),
}

/// The string of an optional member; `null` counts as absent.
pub(super) fn text(member: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, LegacyDecodeError> {
    let Some(value) = member.filter(|value| value.get() != "null") else { return Ok(None) };
    let text = Text::of(value).and_then(Text::unescape);
    text.map(Some).ok_or(LegacyDecodeError::Invalid("a member that must be a string is none"))
}

/// The data of an event, which shares the buffer. It is bounded like data in frames of clients.
pub(super) fn data(buffer: &Bytes, member: Option<&RawValue>) -> Result<Payload, PayloadError> {
    member.map_or(Ok(Payload::EMPTY), |data| Payload::slice_of(buffer, data).checked_depth())
}

/// Appends a string as JSON.
pub(super) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON, and a Vec accepts all of it");
}

/// The current time in ms, because messages of original servers contain no time.
pub(super) fn now_ms() -> u64 {
    switchboard_event::unix_ms(SystemTime::now())
}
