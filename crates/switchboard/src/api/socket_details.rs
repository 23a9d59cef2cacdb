//! Details of sockets on all nodes.

use switchboard_event::SocketId;

use crate::api::app::App;
use crate::node::errors::NodeError;
use crate::node::socket_details::{self, SocketDetails};

impl App {
    /// The protocol, address and user of those sockets that are connected, on any node and in this project.
    ///
    /// # Errors
    /// If another node does not answer. A node that has crashed is not waited for once its sockets are removed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// let ids = app.all_socket_ids().await?;
    /// let details = app.socket_details(&ids).await?;
    /// assert_eq!((details[0].protocol.as_str(), &details[0].user), ("emit", &None));
    /// # Ok(()) }
    /// ```
    pub async fn socket_details(&self, sockets: &[SocketId]) -> Result<Vec<SocketDetails>, NodeError> {
        socket_details::of(self.node(), self.project_id(), sockets).await
    }
}
