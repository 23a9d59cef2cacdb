//! Presence: queries about the sockets, rooms, tags and users of all nodes.

use switchboard_backplane::{NodeLease, Page};
use switchboard_event::{RoomName, SocketId, Target, UserId};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::errors::QueryError;
use crate::node::membership;

/// # Presence
/// Queries read the store, so their answers cover all nodes. They fail if the store does not answer.
impl App {
    /// Returns the socket with this id if it is on this node and in this project.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # let id = socket.id();
    /// if let Some(socket) = app.socket(id) {
    ///     socket.close(4001, "signed in elsewhere");
    /// }
    /// # assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        membership::session(self.node(), self.project_id(), id).map(|session| Socket::new(self, session))
    }

    async fn count(&self, target: Target) -> Result<usize, QueryError> {
        Ok(self.hub().store().count(self.project_id(), &target).await?)
    }

    async fn members(&self, target: Target) -> Result<Vec<SocketId>, QueryError> {
        Ok(self.hub().store().members(self.project_id(), &target, Page::all()).await?)
    }

    /// Counts the sockets in a room.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// assert_eq!(app.room_size("#lobby").await?, 1);
    /// assert_eq!(app.room_size("#nowhere").await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn room_size(&self, room: &str) -> Result<usize, QueryError> {
        self.count(Target::room(room)?).await
    }

    /// Lists the sockets in a room, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// assert_eq!(app.room_members("#lobby").await?, [socket.id()]);
    /// # Ok(()) }
    /// ```
    pub async fn room_members(&self, room: &str) -> Result<Vec<SocketId>, QueryError> {
        self.members(Target::room(room)?).await
    }

    /// Counts the connected sockets.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(app.total_sockets().await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn total_sockets(&self) -> Result<usize, QueryError> {
        self.count(Target::Everyone).await
    }

    /// Returns true if a socket is connected.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::SocketId;
    /// assert!(app.socket_exists(socket.id()).await?);
    /// assert!(!app.socket_exists(SocketId::random()).await?);
    /// # Ok(()) }
    /// ```
    pub async fn socket_exists(&self, id: SocketId) -> Result<bool, QueryError> {
        Ok(self.count(Target::Socket(id)).await? > 0)
    }

    /// Lists all connected sockets, in ascending order. For large numbers use
    /// [`socket_ids`](Self::socket_ids).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// for id in app.all_socket_ids().await? {
    ///     app.emit_to(id, "your-id", &id)?;
    /// }
    /// # assert_eq!(app.all_socket_ids().await?, [socket.id()]);
    /// # Ok(()) }
    /// ```
    pub async fn all_socket_ids(&self) -> Result<Vec<SocketId>, QueryError> {
        self.members(Target::Everyone).await
    }

    /// Lists one page of the connected sockets, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Page;
    /// let mut page = app.socket_ids(Page::first(100)).await?;
    /// while let Some(last) = page.last().copied() {
    ///     println!("{} sockets", page.len());
    ///     page = app.socket_ids(Page { after: Some(last), limit: 100 }).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn socket_ids(&self, page: Page<SocketId>) -> Result<Vec<SocketId>, QueryError> {
        Ok(self.hub().store().members(self.project_id(), &Target::Everyone, page).await?)
    }

    /// Returns true if a user has a socket.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert!(app.is_user_online("ann").await?);
    /// assert!(!app.is_user_online("bob").await?);
    /// # Ok(()) }
    /// ```
    pub async fn is_user_online(&self, user: &str) -> Result<bool, QueryError> {
        Ok(self.count(Target::user(user)?).await? > 0)
    }

    /// Returns one of a user's sockets, the one with the lowest id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// if let Some(id) = app.user_socket_id("ann").await? {
    ///     app.emit_to(id, "mail", "for one of your devices")?;
    /// }
    /// # assert_eq!(app.user_socket_id("ann").await?, Some(socket.id()));
    /// # Ok(()) }
    /// ```
    pub async fn user_socket_id(&self, user: &str) -> Result<Option<SocketId>, QueryError> {
        let target = Target::user(user)?;
        let first = self.hub().store().members(self.project_id(), &target, Page::first(1)).await?;
        Ok(first.into_iter().next())
    }

    /// Lists a user's sockets, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert_eq!(app.user_socket_ids("ann").await?, [socket.id()]);
    /// # Ok(()) }
    /// ```
    pub async fn user_socket_ids(&self, user: &str) -> Result<Vec<SocketId>, QueryError> {
        self.members(Target::user(user)?).await
    }

    /// Counts the users that have a socket.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.login("ann")?;
    /// bob.login("bob")?;
    /// assert_eq!(app.online_user_count().await?, 2);
    /// # Ok(()) }
    /// ```
    pub async fn online_user_count(&self) -> Result<usize, QueryError> {
        Ok(self.hub().store().count_users(self.project_id()).await?)
    }

    /// Lists the users that have a socket, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.login("ann")?;
    /// bob.login("bob")?;
    /// assert_eq!(app.online_users().await?, ["ann", "bob"]);
    /// # Ok(()) }
    /// ```
    pub async fn online_users(&self) -> Result<Vec<UserId>, QueryError> {
        self.online_users_page(Page::all()).await
    }

    /// Lists one page of the users that have a socket, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// # use switchboard::{Page, UserId};
    /// ann.login("ann")?;
    /// bob.login("bob")?;
    /// assert_eq!(app.online_users_page(Page::first(1)).await?, ["ann"]);
    /// let rest = Page { after: Some(UserId::new("ann")?), limit: 100 };
    /// assert_eq!(app.online_users_page(rest).await?, ["bob"]);
    /// # Ok(()) }
    /// ```
    pub async fn online_users_page(&self, page: Page<UserId>) -> Result<Vec<UserId>, QueryError> {
        Ok(self.hub().store().users(self.project_id(), page).await?)
    }

    /// Lists one page of the rooms with a member, in ascending order. Only rooms whose names begin with `prefix`; its `#` may
    /// be omitted, and an empty prefix means all. Shards are rooms too.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Page;
    /// ["chat-1", "chat-2", "game"].iter().try_for_each(|room| socket.join(room).map(drop))?;
    /// assert_eq!(app.rooms_page("chat-", Page::first(100)).await?, ["#chat-1", "#chat-2"]);
    /// # Ok(()) }
    /// ```
    pub async fn rooms_page(&self, prefix: &str, page: Page<RoomName>) -> Result<Vec<RoomName>, QueryError> {
        let prefix = format!("#{}", prefix.strip_prefix('#').unwrap_or(prefix));
        Ok(self.hub().store().rooms(self.project_id(), &prefix, page).await?)
    }

    /// Lists one page of the sockets of an audience that is a single target, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::{Page, Target};
    /// socket.join("#lobby")?;
    /// assert_eq!(app.members_page(&Target::room("lobby")?, Page::first(100)).await?, [socket.id()]);
    /// # Ok(()) }
    /// ```
    pub async fn members_page(
        &self,
        target: &Target,
        page: Page<SocketId>,
    ) -> Result<Vec<SocketId>, QueryError> {
        Ok(self.hub().store().members(self.project_id(), target, page).await?)
    }

    /// Lists the nodes of the cluster, with the time that their leases still last. A single node has no lease.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// assert!(app.nodes().await?.is_empty()); // a single node
    /// # Ok(()) }
    /// ```
    pub async fn nodes(&self) -> Result<Vec<NodeLease>, QueryError> {
        let mut nodes = self.hub().store().nodes().await?;
        nodes.sort_unstable_by_key(|lease| lease.node.0);
        Ok(nodes)
    }

    /// Lists the sockets that have a tag, in ascending order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("*admin")?;
    /// assert_eq!(app.tagged_sockets("*admin").await?, [socket.id()]);
    /// # Ok(()) }
    /// ```
    pub async fn tagged_sockets(&self, tag: &str) -> Result<Vec<SocketId>, QueryError> {
        self.members(Target::tag(tag)?).await
    }

    /// Counts the sockets that have a tag.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("*admin")?;
    /// assert_eq!(app.tag_count("*admin").await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn tag_count(&self, tag: &str) -> Result<usize, QueryError> {
        self.count(Target::tag(tag)?).await
    }
}
