//! The rooms, tags and users of a socket.

use std::sync::Arc;

use switchboard_event::{NameError, RoomName, TagName, Target, UserId};
use switchboard_hub::JoinError;

use crate::api::socket::Socket;
use crate::node::verifier::{CurrentVerifier, IdentifyError, Verifier};
use crate::node::{access, identity, inbox};

impl Socket {
    /// Joins a room; the prefix `#` may be omitted. Returns false if the socket was already a member, so
    /// that callers announce a join once.
    ///
    /// # Errors
    /// If the name is invalid, the socket has closed, or it is at
    /// [`Limits::memberships_max`](crate::Limits::memberships_max) or
    /// [`Limits::membership_bytes_max`](crate::Limits::membership_bytes_max).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// if socket.join("lobby")? {
    ///     socket.to("#lobby").emit("joined", &socket.id())?;
    /// }
    /// assert!(!socket.join("#lobby")?); // the same room
    /// # Ok(()) }
    /// ```
    pub fn join(&self, room: &str) -> Result<bool, JoinError> {
        access::join_for_server(self.node(), &self.session, &Target::room(room)?)
    }

    /// Returns true if the socket is in a room; the prefix `#` may be omitted. An invalid name is no room, so no
    /// socket is in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("lobby")?;
    /// assert!(socket.is_in("lobby") && socket.is_in("#lobby"));
    /// assert!(!socket.is_in("hall") && !socket.is_in(""));
    /// # Ok(()) }
    /// ```
    pub fn is_in(&self, room: &str) -> bool {
        Target::room(room).is_ok_and(|room| self.session().is_member(&room))
    }

    /// Leaves a room. Returns false if the socket was not a member.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// assert!(socket.leave("#lobby")?);
    /// assert!(!socket.leave("#lobby")?);
    /// # Ok(()) }
    /// ```
    pub fn leave(&self, room: &str) -> Result<bool, NameError> {
        Ok(access::leave(self.node(), &self.session, &Target::room(room)?))
    }

    /// The rooms of the socket, each with the prefix `#`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("lobby")?;
    /// assert_eq!(socket.rooms(), ["#lobby"]);
    /// # Ok(()) }
    /// ```
    pub fn rooms(&self) -> Vec<RoomName> {
        self.session.rooms()
    }

    /// Adds a tag; the prefix `*` may be omitted. Returns false if the socket already had the tag. Fails
    /// like [`join`](Self::join).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert!(socket.tag("admin")?);
    /// assert_eq!(app.to("*admin").emit("report", "a new user")?, 1);
    /// # Ok(()) }
    /// ```
    pub fn tag(&self, tag: &str) -> Result<bool, JoinError> {
        access::join_for_server(self.node(), &self.session, &Target::tag(tag)?)
    }

    /// Removes a tag. Returns false if the socket did not have the tag.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("*muted")?;
    /// assert!(socket.untag("*muted")?);
    /// # Ok(()) }
    /// ```
    pub fn untag(&self, tag: &str) -> Result<bool, NameError> {
        Ok(access::leave(self.node(), &self.session, &Target::tag(tag)?))
    }

    /// The tags of the socket, each with the prefix `*`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("admin")?;
    /// assert_eq!(socket.tags(), ["*admin"]);
    /// # Ok(()) }
    /// ```
    pub fn tags(&self) -> Vec<TagName> {
        self.session.tags()
    }

    /// Logs the socket in as a user, in addition to users that it is logged in as. Returns false if it was
    /// logged in as this user already. Fails like [`join`](Self::join).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert!(app.is_user_online("ann").await?);
    /// # Ok(()) }
    /// ```
    pub fn login(&self, user: &str) -> Result<bool, JoinError> {
        inbox::log_in(self.node(), &self.session, &UserId::new(user)?)
    }

    /// Logs the socket out of a user. Returns false if it was not logged in as this user. If a token has logged it in, the
    /// rights of the token end too, with the rooms and tags that only they gave; the token itself stays valid until it is
    /// [revoked](crate::App::revoke).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert!(socket.logout("ann")?);
    /// assert!(!app.is_user_online("ann").await?);
    /// # Ok(()) }
    /// ```
    pub fn logout(&self, user: &str) -> Result<bool, NameError> {
        Ok(identity::log_out(self.node(), &self.session, &UserId::new(user)?))
    }

    /// Verifies a token with the app's [`Verifier`] and logs the socket in as its user, in place of the user
    /// of an earlier token. When the token expires, the socket is logged out and stays connected.
    ///
    /// # Errors
    /// If the token is refused, which changes nothing, or the socket cannot be logged in.
    pub async fn identify(&self, token: &str) -> Result<UserId, IdentifyError> {
        let (identity, backlog) =
            identity::identify(self.node(), &self.session, self.verifier(), Some(token)).await?;
        identity::notify_authenticated(self.node(), &self.session, &identity.user);
        if let Some(backlog) = backlog {
            backlog.start();
        }
        Ok(identity.user)
    }

    /// The user that the socket is logged in as; if several, the latest.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(socket.user(), None);
    /// socket.login("ann")?;
    /// assert_eq!(socket.user().as_deref(), Some("ann"));
    /// # Ok(()) }
    /// ```
    pub fn user(&self) -> Option<UserId> {
        self.session.user()
    }

    pub(crate) fn verifier(&self) -> Option<Arc<dyn Verifier>> {
        self.app.setup().extension::<CurrentVerifier>()?.get()
    }
}
