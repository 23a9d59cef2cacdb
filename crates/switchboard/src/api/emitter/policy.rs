//! The overflow policy of a message: what becomes of it at a receiver whose outbox is full.

use switchboard_event::{LatestKey, Name, OverflowPolicy};

use super::Emitter;

impl Emitter {
    /// Drops the message for a receiver whose outbox is full. By default such a receiver is closed with
    /// 1013.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#game")?;
    /// app.to("#game").volatile().emit("moved", &[3, 4])?;
    /// # Ok(()) }
    /// ```
    pub fn volatile(mut self) -> Self {
        self.policy = Ok(OverflowPolicy::Volatile);
        self
    }

    /// Replaces a message with the same key and to the same room that is queued for a receiver, whether its outbox is full or
    /// not: a slow receiver gets the newest value of each key. If its outbox is full, the message makes room as
    /// [`oldest`](Self::oldest) does. Rooms do not keep it in their history.
    ///
    /// # Errors
    /// `emit` fails if the key is empty or longer than 256 bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#game")?;
    /// app.to("#game").latest("ann").emit("moved", &[3, 4])?;
    /// # Ok(()) }
    /// ```
    pub fn latest(mut self, key: &str) -> Self {
        self.policy = Name::new(key).map(|key| OverflowPolicy::Latest(LatestKey::Text(key)));
        self
    }

    /// Makes room in a full outbox by dropping the oldest messages that were sent with `oldest` or [`latest`](Self::latest). If
    /// there are too few, the message is dropped itself. Rooms do not keep it in their history.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#game")?;
    /// app.to("#game").oldest().emit("moved", &[3, 4])?;
    /// # Ok(()) }
    /// ```
    pub fn oldest(mut self) -> Self {
        self.policy = Ok(OverflowPolicy::Oldest);
        self
    }

    /// Sets the overflow policy; see [`volatile`](Self::volatile), [`latest`](Self::latest) and [`oldest`](Self::oldest).
    ///
    /// ```
    /// use switchboard::{App, LatestKey, OverflowPolicy};
    ///
    /// // The newest event of each name and sender.
    /// let policy = OverflowPolicy::Latest(LatestKey::Event);
    /// App::new().to("#game").with_policy(policy).emit("moved", &[3, 4])?;
    /// # Ok::<(), switchboard::EmitError>(())
    /// ```
    pub fn with_policy(mut self, policy: OverflowPolicy) -> Self {
        self.policy = Ok(policy);
        self
    }
}
