//! Details of sockets on all nodes.

use switchboard_event::SocketId;

use crate::api::app::App;
use crate::node::socket_details::{self, DescribedSockets};

impl App {
    /// The protocol, address and user of those sockets that are connected, on any node and in this project.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// let ids = app.all_socket_ids().await?;
    /// let described = app.socket_details(&ids).await;
    /// let details = &described.found[0];
    /// assert_eq!((details.protocol.as_str(), &details.user), ("emit", &None));
    /// assert!(described.unanswered.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn socket_details(&self, sockets: &[SocketId]) -> DescribedSockets {
        socket_details::of(self.node(), self.project_id(), sockets).await
    }
}
