//! Errors that several operations share.

use std::time::Duration;

use switchboard_backplane::{PublishError, StoreError};
use switchboard_event::{AudienceError, NameError, PayloadError, Target};
use switchboard_hub::JoinError;

/// Why a message was not sent or not stored.
///
/// ```
/// # use switchboard::{App, EmitError};
/// # let app = App::new();
/// let typo = app.to("lobby").emit("said", "hi"); // neither `#lobby` nor `*lobby`
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
    #[error("the data cannot be JSON")]
    Data(#[from] PayloadError),
    /// The socket has closed.
    #[error("the socket has closed")]
    Closed,
    /// The message is to be stored, and the app has no inbox.
    #[error("no message can be stored: the app has no inbox")]
    NoInbox,
    /// The message is to be stored, and the audience or its exceptions name something else than users.
    #[error("a message can be stored for users only, not for {0:?}")]
    NotAUser(Target),
    /// The message may not have been stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request to a client has no answer.
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
    /// The client did not answer in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The client went away first.
    #[error("the socket has closed")]
    Closed,
    /// The bound on requests without an answer is a setting.
    #[error("{max} requests to this socket wait for an answer already, which is the most")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The client's protocol has no replies.
    #[error("a client of this protocol cannot reply")]
    CannotReply,
    /// It could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The socket's node cannot be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The answer has another shape.
    #[error("the reply does not have the expected shape")]
    Decode(#[source] PayloadError),
}

/// Why another node did not do what it was asked, as far as this one knows.
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
    /// It was not told.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It did not say what became of it: it is gone, or its answer was lost.
    #[error("the node of the socket did not answer within {0:?}")]
    Timeout(Duration),
    /// The bound on calls without an answer is a setting.
    #[error("{max} calls to other nodes wait for an answer already, which is the most")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

/// Why a socket was not brought into something, or taken out of it.
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
    /// It cannot be: the socket is gone, has too many already, or the name is none.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The socket's node cannot be reached, or did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<NameError> for MembershipError {
    fn from(error: NameError) -> Self {
        MembershipError::Join(error.into())
    }
}

/// Why something was not done to sockets of all nodes.
///
/// ```
/// # use switchboard::{App, CommandError};
/// # let app = App::new();
/// let typo = app.disconnect("lobby", 4000, "closing time"); // neither `#lobby` nor `*lobby`
/// assert!(matches!(typo, Err(CommandError::Audience(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It does not say to whom. Nothing was done.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// It was done on this node, and other nodes were not told.
    #[error("it was done to {sockets_here} sockets of this node alone")]
    Partial {
        /// Number of sockets of this node that the command changed.
        sockets_here: usize,
        /// Why others were not told.
        #[source]
        cause: PublishError,
    },
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        CommandError::Audience(error.into())
    }
}

/// Why a query has no answer.
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
    /// The shared store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
