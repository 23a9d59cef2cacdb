//! The rights of a socket's client, and memberships that depend on them.

use switchboard_event::{Resource, Right, Target};

use crate::api::socket::Socket;
use crate::node::access::{self, operation::Operation};
use crate::node::errors::{Forbidden, MembershipError};

impl Socket {
    /// Returns true if the client may do something, by the claim `can` of its token or by the
    /// [rule](crate::App::with_access_rule) of the app. What a handler does by itself needs no right.
    ///
    /// A text is a `#room` or a `*tag`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// use switchboard::access::{Resource, Right};
    ///
    /// assert!(socket.may(Right::Join, "#lobby")); // without a rule, everything
    /// assert!(socket.may(Right::Send, Resource::User("ann")));
    /// # Ok(()) }
    /// ```
    pub fn may<'a>(&self, right: Right, resource: impl Into<Resource<'a>>) -> bool {
        access::may(self.node(), self.session(), right, resource.into())
    }

    /// [`may`](Self::may), as an error whose reply has the code `forbidden`. A refusal is counted and logged.
    ///
    /// ```
    /// use switchboard::access::Right;
    /// use switchboard::{App, Data, Reply, ReplyError, Socket};
    ///
    /// async fn who(app: App, socket: Socket, Data(room): Data<String>) -> Result<Reply<usize>, ReplyError> {
    ///     socket.require(Right::Presence, room.as_str())?;
    ///     Ok(Reply(app.room_size(&room).await?))
    /// }
    /// ```
    pub fn require<'a>(&self, right: Right, resource: impl Into<Resource<'a>>) -> Result<(), Forbidden> {
        let operation = match right {
            Right::Join => Operation::Join,
            Right::Send => Operation::Send,
            Right::History => Operation::History,
            Right::Presence => Operation::Query,
        };
        access::check(self.node(), self.session(), operation, resource.into())
    }

    /// Joins a room like [`join`](Self::join), if the client has the right to. When the client loses the right,
    /// because its token expires for example, it leaves the room.
    ///
    /// # Errors
    /// If the client may not join, and as [`join`](Self::join).
    ///
    /// ```
    /// use switchboard::{App, Data, ReplyError, Socket};
    ///
    /// async fn enter(socket: Socket, Data(room): Data<String>) -> Result<(), ReplyError> {
    ///     socket.join_as_client(&room)?;
    ///     Ok(())
    /// }
    /// ```
    pub fn join_as_client(&self, room: &str) -> Result<bool, MembershipError> {
        access::join_for_client(self.node(), self.session(), Operation::Join, &Target::room(room)?)
    }

    /// Adds a tag like [`tag`](Self::tag), if the client has the right to join it. When the client loses the right, it
    /// loses the tag.
    ///
    /// # Errors
    /// As [`join_as_client`](Self::join_as_client).
    pub fn tag_as_client(&self, tag: &str) -> Result<bool, MembershipError> {
        access::join_for_client(self.node(), self.session(), Operation::Tag, &Target::tag(tag)?)
    }
}
