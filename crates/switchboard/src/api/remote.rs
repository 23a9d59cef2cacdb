//! Actions on sockets of any node: direct calls on this node, remote calls or commands on others.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_backplane::Content;
use switchboard_event::{IntoAudience, Name, Payload, RoomName, SocketId, TagName, Target};

use crate::api::app::App;
use crate::node::commands::{close_here, execute};
use crate::node::errors::{CommandError, EmitError, MembershipError, RequestError};
use crate::node::membership;
use crate::node::message::{Command, Membership};
use crate::node::remote;

impl App {
    /// Sends a request to the client of a socket on any node and returns its reply. Waits at most
    /// [`Limits::request_timeout`](crate::Limits::request_timeout), by default 10 s.
    ///
    /// # Errors
    /// Fails immediately if the socket closes, and after the lease of its node if that node crashes.
    ///
    /// ```no_run
    /// # async fn example(app: switchboard::App, id: switchboard::SocketId) -> Result<(), switchboard::RequestError> {
    /// let ready: bool = app.request(id, "/ready?", &()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request<R: DeserializeOwned>(
        &self,
        id: SocketId,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.limits().request_timeout, id, event, data).await
    }

    /// Sends a request like [`request`](Self::request), with another time-out.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(app: switchboard::App, id: switchboard::SocketId) -> Result<(), switchboard::RequestError> {
    /// let rolled: u32 = app.request_within(Duration::from_millis(500), id, "/roll", &6).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        id: SocketId,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        let event = Name::new(event).map_err(EmitError::from)?;
        let data = Payload::of(data).map_err(EmitError::from)?;
        let reply = remote::request(self.node(), self.project_id(), id, timeout, &event, &data).await?;
        reply.to().map_err(RequestError::Decode)
    }

    /// Closes the sockets of an audience on all nodes, each after everything that is queued for it. Code
    /// and reason are as for [`Socket::close`](crate::Socket::close). Returns the number of sockets that
    /// it closes on this node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Target;
    /// socket.login("ann")?;
    /// assert_eq!(app.disconnect(Target::user("ann")?, 4003, "banned")?, 1);
    /// assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn disconnect(
        &self,
        audience: impl IntoAudience,
        code: u16,
        reason: &str,
    ) -> Result<usize, CommandError> {
        let audience = audience.into_audience()?;
        let closed = close_here(self.node(), self.project_id(), &audience, code, reason);
        let content = Content::Close { code, reason: reason.into() };
        let published = self.hub().publish(self.project_id(), &audience, content);
        published.map(|()| closed).map_err(|cause| CommandError::Partial { sockets_here: closed, cause })
    }

    /// Logs a socket of any node in as a user, who is online until the last of their sockets closes.
    /// Returns false if the socket was logged in as this user already.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # let id = socket.id();
    /// assert!(app.set_user_online("ann", id).await?);
    /// assert_eq!(socket.user().as_deref(), Some("ann"));
    /// # Ok(()) }
    /// ```
    pub async fn set_user_online(&self, user: &str, id: SocketId) -> Result<bool, MembershipError> {
        membership::join(self.node(), self.project_id(), id, &Target::user(user)?).await
    }

    /// Logs a user's sockets out on all nodes; the sockets stay connected. Returns the number of sockets
    /// on this node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert_eq!(app.set_user_offline("ann").await?, 1);
    /// assert!(!app.is_user_online("ann").await?);
    /// # Ok(()) }
    /// ```
    pub async fn set_user_offline(&self, user: &str) -> Result<usize, CommandError> {
        self.command(Target::user(user)?, Command::RemoveMembers)
    }

    /// Adds the sockets of an audience on all nodes to a room. Returns the number of sockets of this node that joined; a
    /// socket that was a member already, or is at a limit of its memberships, is not counted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Target;
    /// socket.login("ann")?;
    /// assert_eq!(app.join(Target::user("ann")?, "#lobby")?, 1);
    /// assert!(socket.is_in("#lobby"));
    /// # Ok(()) }
    /// ```
    pub fn join(&self, audience: impl IntoAudience, room: &str) -> Result<usize, CommandError> {
        self.command(audience, Command::Join(Membership::Room(RoomName::new(room)?.to_string())))
    }

    /// Removes the sockets of an audience on all nodes from a room. Returns the number of sockets of this node that left.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// assert_eq!(app.leave("#lobby", "#lobby")?, 1); // everyone in the lobby
    /// assert!(!socket.is_in("#lobby"));
    /// # Ok(()) }
    /// ```
    pub fn leave(&self, audience: impl IntoAudience, room: &str) -> Result<usize, CommandError> {
        self.command(audience, Command::Leave(Membership::Room(RoomName::new(room)?.to_string())))
    }

    /// Adds a tag to the sockets of an audience on all nodes. Returns the number as [`join`](Self::join).
    pub fn tag(&self, audience: impl IntoAudience, tag: &str) -> Result<usize, CommandError> {
        self.command(audience, Command::Join(Membership::Tag(TagName::new(tag)?.to_string())))
    }

    /// Removes a tag from the sockets of an audience on all nodes. Returns the number of sockets of this node that had it.
    pub fn untag(&self, audience: impl IntoAudience, tag: &str) -> Result<usize, CommandError> {
        self.command(audience, Command::Leave(Membership::Tag(TagName::new(tag)?.to_string())))
    }

    /// Executes a command on this node and publishes it to the others.
    fn command(&self, audience: impl IntoAudience, command: Command) -> Result<usize, CommandError> {
        let audience = audience.into_audience()?;
        let sockets_here = execute(self.node(), self.project_id(), &audience, &command);
        let published = remote::command(self.node(), self.project_id(), &audience, &command);
        published.map(|()| sockets_here).map_err(|cause| CommandError::Partial { sockets_here, cause })
    }

    /// Adds a tag to a socket of any node. Returns false if the socket already had the tag.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # let id = socket.id();
    /// app.sync_tag(id, "*vip").await?;
    /// assert_eq!(socket.tags(), ["*vip"]);
    /// # Ok(()) }
    /// ```
    pub async fn sync_tag(&self, id: SocketId, tag: &str) -> Result<bool, MembershipError> {
        membership::join(self.node(), self.project_id(), id, &Target::tag(tag)?).await
    }

    /// Removes a tag from a socket of any node. Returns false if the socket did not have the tag or is no
    /// longer connected.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # let id = socket.id();
    /// app.sync_tag(id, "*vip").await?;
    /// assert!(app.unsync_tag(id, "*vip").await?);
    /// # Ok(()) }
    /// ```
    pub async fn unsync_tag(&self, id: SocketId, tag: &str) -> Result<bool, MembershipError> {
        membership::leave(self.node(), self.project_id(), id, &Target::tag(tag)?).await
    }

    /// Waits until this node receives the messages of all nodes for every room, tag and user that its
    /// sockets have joined so far. Returns immediately on a single node, and while the bus is
    /// disconnected.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// app.settled().await; // messages of all nodes to the lobby now reach the socket
    /// # Ok(()) }
    /// ```
    pub async fn settled(&self) {
        self.node().settled().await;
    }
}
