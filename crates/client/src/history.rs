//! Reading the messages that a room keeps.

use serde::{Deserialize, Serialize};
use switchboard_event::Payload;

use crate::client::Client;
use crate::error::RequestError;

/// A place in the history of a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The version of the history, 16 hexadecimal digits. It changes whenever messages may have been lost.
    pub epoch: String,
    /// The number of a message.
    pub offset: u64,
}

/// The part of a history to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HistoryPart {
    /// The latest messages.
    #[default]
    Latest,
    /// The latest messages before this position.
    Before(Position),
    /// The oldest messages after this position.
    After(Position),
}

/// The answer to a read.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The name of the room, with its `#`.
    pub room: String,
    /// The version of the history.
    pub epoch: String,
    /// The offset of the latest message of the room; 0 if it has none yet.
    pub top: u64,
    /// The offset of the oldest message that is kept; `top + 1` if none is.
    pub first: u64,
    /// Messages between the position of the request and the answer may be missing.
    pub gap: bool,
    /// The messages, oldest first.
    pub messages: Vec<HistoryMessage>,
}

/// A message in a history.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HistoryMessage {
    /// Its number.
    pub offset: u64,
    /// The name of the event.
    pub event: String,
    /// The data.
    pub data: Payload,
    /// The id of the socket that sent it; none if the server did.
    pub sender: Option<String>,
    /// When the server received it, in milliseconds since 1970.
    #[serde(rename = "time")]
    pub time_ms: u64,
}

impl History {
    /// The place of the room's latest message.
    pub fn top_position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.top }
    }
}

#[derive(Serialize)]
struct Query<'a> {
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Position>,
    limit: usize,
}

impl Client {
    /// Reads at most `limit` messages, up to 1,000, that a room keeps. The answer may have fewer, if they are large. The error
    /// is [`Refused`](RequestError::Refused) with the code `no_history` if the room keeps none, and with `forbidden` if
    /// this client may not read them.
    ///
    /// With [`HistoryPart::Latest`] the client also remembers [`top`](History::top) as its position in the room: if its
    /// connection breaks before a further message arrives, a resume recovers from there.
    pub async fn history(
        &self,
        room: &str,
        part: HistoryPart,
        limit: usize,
    ) -> Result<History, RequestError> {
        let is_latest = part == HistoryPart::Latest;
        let (before, after) = match part {
            HistoryPart::Latest => (None, None),
            HistoryPart::Before(position) => (Some(position), None),
            HistoryPart::After(position) => (None, Some(position)),
        };
        let history: History = self.request("@history", &Query { room, before, after, limit }).await?;
        if is_latest {
            self.shared.session.has_read(&history.room, &history.epoch, history.top);
        }
        Ok(history)
    }
}
