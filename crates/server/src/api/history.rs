//! `GET /api/v1/rooms/{room}/history`: the messages that a room keeps.

use serde::{Deserialize, Serialize};
use switchboard::{Epoch, HistoryError, HistoryPage, HistoryRange, Payload, RecordedMessage};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;

/// Most messages of an answer.
const LIMIT_MAX: usize = 1000;

/// Messages of an answer if the request names no limit.
const LIMIT: usize = 100;

/// The room, and the part of its history.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadHistory {
    room: String,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
    project: Option<String>,
}

/// A part of the history of a room.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryPart {
    /// The version of the history. It changes whenever messages may have been lost.
    #[schema(value_type = String, example = "5f0c2a91b3d4e6f8")]
    epoch: Epoch,
    /// The offset of the room's latest message; 0 if it has none yet.
    top: u64,
    /// The offset of the oldest message that is kept; `top + 1` if none is.
    first: u64,
    /// The messages, oldest first.
    messages: Vec<HistoryEntry>,
}

/// A message of a history.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryEntry {
    /// Its number.
    offset: u64,
    /// The name of the event.
    #[schema(example = "message")]
    event: String,
    /// Its data, any JSON.
    #[schema(value_type = serde_json::Value)]
    data: Payload,
    /// The id of the socket that sent it. Left out if the server did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sender: Option<String>,
    /// When the server received it, in ms since 1970.
    time_ms: u64,
}

/// Reads the messages that a room keeps: the latest, the oldest after an offset, or the latest before one.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/history",
    params(
        ("room" = String, Path, description = "The room, with or without `#`, which is `%23` in a path. A Koji shard is a room of its name", example = "lobby"),
        ("after" = Option<u64>, Query, description = "Return the oldest messages after this offset"),
        ("before" = Option<u64>, Query, description = "Return the latest messages before this offset; not together with `after`"),
        ("limit" = Option<usize>, Query, description = "Most messages to return, by default 100 and at most 1,000"),
        ("project" = Option<String>, Query, description = "The project. Default: the server's own"),
    ),
    responses((status = 200, description = "The messages", body = HistoryPart))
)]
pub(super) async fn endpoint(context: Context, request: ReadHistory) -> Result<HistoryPart, Problem> {
    let ReadHistory { room, after, before, limit, project } = request;
    let app = context.project(project.as_deref())?;
    let range = match (after, before) {
        (None, None) => HistoryRange::Latest,
        (Some(offset), None) => HistoryRange::After(offset),
        (None, Some(offset)) => HistoryRange::Before(offset),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid_field("before", "cannot be used together with `after`"));
        }
    };
    let limit = limit.unwrap_or(LIMIT);
    if limit > LIMIT_MAX {
        return Err(Problem::invalid_field("limit", format!("{limit}, over the limit of {LIMIT_MAX}")));
    }
    match app.room_history(&room, range, limit).await {
        Ok(HistoryPage { epoch, top, first, messages }) => {
            Ok(HistoryPart { epoch, top, first, messages: messages.into_iter().map(entry).collect() })
        }
        Err(HistoryError::Backplane(_)) => Err(Problem::unavailable()),
        Err(error) => Err(Problem::invalid_field("room", error)),
    }
}

fn entry(message: RecordedMessage) -> HistoryEntry {
    let RecordedMessage { offset, event, .. } = message;
    HistoryEntry {
        offset,
        event: event.name.to_string(),
        data: event.data,
        sender: event.sender.map(|sender| sender.to_string()),
        time_ms: event.time_ms,
    }
}
