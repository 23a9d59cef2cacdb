//! The history of rooms, from the handles of the app and of a socket.

use switchboard_backplane::{HistoryPage, HistoryRange};
use switchboard_event::{Resource, RoomName};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::access::{self, operation::Operation};
use crate::node::history::{self, HistoryError};
use crate::node::history_request::may_read;

/// # History
impl App {
    /// Reads at most `limit` messages that a room keeps, oldest first, and where the history begins and ends. A room keeps
    /// messages if [`with_room_history`](Self::with_room_history) names it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::{App, HistoryLimits, HistoryRange};
    ///
    /// let app = App::new().with_room_history("chat-*", HistoryLimits::default());
    /// app.to("#chat-1").emit("message", "hi")?;
    /// app.to("#chat-1").emit("message", "ho")?;
    /// let page = app.room_history("#chat-1", HistoryRange::Latest, 1).await?;
    /// assert_eq!((page.first, page.top, page.messages[0].offset), (1, 2, 2));
    /// let older = app.room_history("#chat-1", HistoryRange::Before(2), 10).await?;
    /// assert_eq!(older.messages[0].event.data.to::<String>()?, "hi");
    /// # Ok(()) }
    /// ```
    pub async fn room_history(
        &self,
        room: &str,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, HistoryError> {
        history::read(self.node(), self.project_id(), &RoomName::new(room)?, range, limit).await
    }

    /// Removes the messages that a room keeps. The next message begins an epoch, so clients notice that earlier ones are
    /// gone.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # use switchboard::{App, HistoryLimits, HistoryRange};
    /// # let app = App::new().with_room_history("chat-*", HistoryLimits::default());
    /// app.to("#chat-1").emit("message", "hi")?;
    /// app.clear_room_history("#chat-1").await?;
    /// assert_eq!(app.room_history("#chat-1", HistoryRange::Latest, 10).await?.top, 0);
    /// # Ok(()) }
    /// ```
    pub async fn clear_room_history(&self, room: &str) -> Result<(), HistoryError> {
        Ok(history::clear(self.node(), self.project_id(), &RoomName::new(room)?).await?)
    }
}

impl Socket {
    /// Reads the history of a room like [`App::room_history`], for the client of this socket: it needs the right to read
    /// it, and messages from which it was excluded are left out, except its own.
    ///
    /// ```
    /// use serde_json::json;
    /// use switchboard::{App, Data, HistoryRange, Payload, Reply, ReplyError, Socket};
    ///
    /// async fn latest(socket: Socket, Data(room): Data<String>) -> Result<Reply<Vec<Payload>>, ReplyError> {
    ///     let page = socket.history_as_client(&room, HistoryRange::Latest, 20).await?;
    ///     Ok(Reply(page.messages.into_iter().map(|message| message.event.data).collect()))
    /// }
    /// let app = App::new().on("/latest", latest);
    /// ```
    pub async fn history_as_client(
        &self,
        room: &str,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, HistoryError> {
        let (node, session, room) = (self.node(), self.session(), RoomName::new(room)?);
        access::check(node, session, Operation::History, Resource::Room(&room[1..]))?;
        let mut page = history::read(node, &session.project.id, &room, range, limit).await?;
        page.messages.retain(|message| may_read(session, message));
        Ok(page)
    }
}
