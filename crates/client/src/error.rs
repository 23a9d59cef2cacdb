//! What can go wrong, an enum for each thing one can ask for.

use std::time::Duration;

use switchboard_event::PayloadError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one: `ws://` or `wss://`, a host, perhaps a port and a path.
    #[error("`{0}` is not a WebSocket address")]
    Address(String),
    /// The address asks for TLS, and the client was built without its feature `tls`. Nothing was
    /// sent: not to be secure would be worse than to fail.
    #[error("`wss://` needs TLS, which this client was built without")]
    Tls,
    /// A root certificate given in the options cannot be read.
    #[error("a root certificate cannot be read")]
    RootCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server's certificate is not to be believed: no root that we trust stands behind it, it is
    /// for another host, it is out of date.
    #[error("the server's certificate is not trusted")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A header given in the options cannot be sent.
    #[error("the header `{0}` cannot be sent")]
    Header(String),
    /// The server did not answer in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The server refused, or cannot be reached.
    #[error("cannot connect")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// JSON cannot hold the data.
    #[error("the data cannot be JSON")]
    Data(#[from] PayloadError),
    /// There is no connection, and no queue was asked for.
    #[error("not connected")]
    Disconnected,
    /// The queue for the time without a connection is full.
    #[error("the queue holds its {0} bytes, which is the most")]
    QueueFull(usize),
    /// The connection is busy; [`emit`](crate::Client::emit) waits, this call does not.
    #[error("the connection is busy")]
    Busy,
}

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The server did not reply in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The connection was lost before the reply came; the server may or may not have acted.
    #[error("the connection was lost before the reply came")]
    Disconnected,
    /// The server refused.
    #[error("refused: {message}")]
    Refused {
        /// A stable word to switch on, such as `bad_data`.
        code: String,
        /// For people.
        message: String,
    },
    /// The reply has another shape.
    #[error("the reply does not have the expected shape")]
    Decode(#[source] PayloadError),
}
