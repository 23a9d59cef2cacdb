//! The values that a socket keeps when its connection breaks.

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_event::Payload;

use crate::api::socket::Socket;
use crate::node::connection_state::ConnectionState;
use crate::node::resume::record::record_changed;
use crate::node::resume::session_state::{RememberError, ResumeState};

impl Socket {
    /// Remembers a value under a key for as long as the session exists. Replaces an earlier value of the key; `()` or
    /// `None` removes it. Unlike those of [`set`](Self::set), values are JSON and bounded.
    ///
    /// # Errors
    /// If keys and values would have more than 4,096 bytes, or the value cannot be serialized.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.remember("team", "red")?;
    /// assert_eq!(socket.remembered::<String>("team").as_deref(), Some("red"));
    /// socket.remember("team", &())?;
    /// assert_eq!(socket.remembered::<String>("team"), None);
    /// assert!(socket.remember("map", &"x".repeat(5000)).is_err());
    /// # Ok(()) }
    /// ```
    pub fn remember(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), RememberError> {
        let value = Payload::of(value)?;
        self.connection_state().resume_or_new().remember(key, value)?;
        record_changed(self.node(), self.session());
        Ok(())
    }

    /// The value that is remembered under a key, if it is of type `T`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.remember("score", &12)?;
    /// assert_eq!(socket.remembered("score"), Some(12));
    /// assert_eq!(socket.remembered::<String>("score"), None); // another type
    /// # Ok(()) }
    /// ```
    pub fn remembered<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.connection_state().resume()?.remembered(key)?.to().ok()
    }

    /// Returns true while the socket has no connection and the client can resume its session; see
    /// [`App::with_resume`](crate::App::with_resume). Events for it are dropped meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert!(!socket.is_detached());
    /// # Ok(()) }
    /// ```
    pub fn is_detached(&self) -> bool {
        ConnectionState::of(self.session()).resume().is_some_and(ResumeState::is_detached)
    }
}
