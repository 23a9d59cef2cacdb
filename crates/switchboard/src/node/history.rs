//! Reads and clears the history of a room.

use switchboard_backplane::{BackplaneError, HistoryPage, HistoryRange};
use switchboard_event::{NameError, ProjectId, RoomName};

use crate::node::Node;
use crate::node::errors::Forbidden;

/// The history of a room was not read.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, HistoryError, HistoryRange};
///
/// let app = App::new();
/// let read = app.room_history("#lobby", HistoryRange::Latest, 10).await;
/// assert!(matches!(read, Err(HistoryError::NoHistory(_))));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The name of the room is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No rule gives the room a history.
    #[error("{0} has no history: no pattern for rooms with a history matches it")]
    NoHistory(RoomName),
    /// The client has no right to read the history of the room.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The backplane did not answer.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}

/// Reads at most `limit` messages of a room.
pub(crate) async fn read(
    node: &Node,
    project: &ProjectId,
    room: &RoomName,
    range: HistoryRange,
    limit: usize,
) -> Result<HistoryPage, HistoryError> {
    let history = node.hub().history();
    let limits = history.and_then(|history| Some((history, history.rules.limits(room)?)));
    let (history, limits) = limits.ok_or_else(|| HistoryError::NoHistory(room.clone()))?;
    Ok(history.log.read(project, room, limits, range, limit).await?)
}

/// Removes the history of a room. Does nothing if the room has none.
pub(crate) async fn clear(node: &Node, project: &ProjectId, room: &RoomName) -> Result<(), BackplaneError> {
    match node.hub().history() {
        Some(history) => history.log.clear(project, room).await,
        None => Ok(()),
    }
}
