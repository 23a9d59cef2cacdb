//! Errors that several operations share.

use std::time::Duration;

use switchboard_backplane::{BackplaneError, PublishError};
use switchboard_event::{AudienceError, Name, NameError, PayloadError, Right, Target};
use switchboard_hub::JoinError;

/// A client may not do something.
///
/// The reply to a client has the code `forbidden`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {right} right on {resource}")]
pub struct Forbidden {
    /// The missing right.
    pub right: Right,
    /// The resource, as the text of a pattern, such as `#lobby`.
    pub resource: String,
}

/// A rate rule is exceeded.
///
/// The reply to a client has the code `rate_limited`, and the member `retry_after_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many; try again in {} ms", self.retry_after_ms())]
pub struct RateLimited {
    /// Time until one more is allowed, if nothing else is counted until then.
    pub retry_after: Duration,
}

impl RateLimited {
    /// [`retry_after`](Self::retry_after) in whole ms, rounded up.
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// A message was not sent or not stored.
///
/// ```
/// # use switchboard::{App, EmitError};
/// # let app = App::new();
/// let typo = app.to("").emit("said", "hi"); // no room has an empty name
/// assert!(matches!(typo, Err(EmitError::Audience(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The audience is empty or one of its names is invalid.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// The event's name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The data cannot be serialized as JSON.
    #[error("cannot serialize the data as JSON")]
    Data(#[from] PayloadError),
    /// The socket's protocol reserves the name for the server.
    #[error("the name `{0}` is reserved for the server")]
    Reserved(Name),
    /// The socket has closed.
    #[error("the socket has closed")]
    Closed,
    /// The message must be stored, but the app has no inbox.
    #[error("cannot store a message: the app has no inbox")]
    NoInbox,
    /// The message must be stored, but the audience or its exclusions contain a target other than a user.
    #[error("messages can be stored only for users, not for {0:?}")]
    NotAUser(Target),
    /// The store failed; the message may not be stored.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
    /// The client for whom it is sent has no right to send to one of the targets. Nothing was sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// A request to a client has no reply.
///
/// ```
/// # use switchboard::{RequestError, Socket};
/// async fn is_ready(socket: &Socket) -> Result<bool, RequestError> {
///     match socket.request("/ready?", &()).await {
///         Err(RequestError::Timeout(_)) => Ok(false),
///         answer => answer,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client did not reply in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The socket closed before the client replied.
    #[error("the socket has closed")]
    Closed,
    /// [`Limits::requests_pending_max`](crate::Limits::requests_pending_max) is reached.
    #[error("{max} requests to this socket are already pending, the maximum")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The client's protocol has no replies.
    #[error("a client of this protocol cannot reply")]
    CannotReply,
    /// The request could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The socket's node cannot be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The reply cannot be deserialized as the expected type.
    #[error("the reply does not have the expected shape")]
    Decode(#[source] PayloadError),
}

/// A call to another node failed, or its outcome is unknown.
///
/// ```
/// # use std::time::Duration;
/// # use switchboard::{NodeError, RequestError};
/// fn is_worth_another_try(error: &RequestError) -> bool {
///     matches!(error, RequestError::Node(NodeError::Publish(_)))
/// }
/// # assert!(!is_worth_another_try(&RequestError::Timeout(Duration::ZERO)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The call could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No answer in time. The other node may have executed the call.
    #[error("the socket's node did not answer within {0:?}")]
    Timeout(Duration),
    /// [`Limits::remote_calls_pending_max`](crate::Limits::remote_calls_pending_max) is reached.
    #[error("{max} calls to other nodes are already pending, the maximum")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The node does not answer this query, or answers too many others.
    #[error("the node does not answer this query")]
    Refused,
}

/// A socket's room, tag or user was not changed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, JoinError, MembershipError, SocketId};
///
/// # let app = App::new();
/// let nobody = app.sync_tag(SocketId::random(), "*vip").await;
/// assert!(matches!(nobody, Err(MembershipError::Join(JoinError::Closed))));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// The socket has closed or has too many memberships, or the name is invalid.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The socket's node cannot be reached, or did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The client has no right to join.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The client joins more often than a rate rule for `@join` allows.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
}

impl From<NameError> for MembershipError {
    fn from(error: NameError) -> Self {
        MembershipError::Join(error.into())
    }
}

/// A command did not reach all nodes.
///
/// ```
/// # use switchboard::{App, CommandError};
/// # let app = App::new();
/// let typo = app.disconnect("", 4000, "closing time"); // no room has an empty name
/// assert!(matches!(typo, Err(CommandError::Audience(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The audience is invalid. Nothing was changed.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// The command was executed on this node, but could not be sent to the other nodes.
    #[error("the command was executed on this node only ({sockets_here} sockets)")]
    Partial {
        /// Number of sockets of this node that the command changed.
        sockets_here: usize,
        /// Why the command was not sent.
        #[source]
        cause: PublishError,
    },
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        CommandError::Audience(error.into())
    }
}

/// A query of presence failed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
/// # use switchboard::{App, QueryError};
/// # let app = App::new();
/// assert!(matches!(app.room_size("").await, Err(QueryError::Name(_))));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The name in the query is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The backplane did not answer.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}
