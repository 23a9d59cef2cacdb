//! The errors of a client, one enum per operation.

use std::time::Duration;

use serde::Deserialize;
use switchboard_event::PayloadError;

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `ws://` or `wss://` with a host and optionally a port and a path.
    #[error("`{0}` is not a WebSocket address; write it as `ws://host:port` or `wss://host`")]
    Address(String),
    /// The address needs TLS, but the crate was built without its feature `tls`. Nothing was sent.
    #[error("`wss://` needs the feature `tls`, which is disabled in this build")]
    Tls,
    /// A root certificate of the options is invalid.
    #[error("root certificate is invalid")]
    RootCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server's certificate is not trusted: it is not signed by a trusted root, belongs to another host, or
    /// has expired. A self-signed certificate must not be that of a certificate authority (`CaUsedAsEndEntity`).
    #[error("server certificate is not trusted")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A header of the options has an invalid name or value.
    #[error("header `{0}` is invalid")]
    Header(String),
    /// The token source of the options failed, or its token cannot be sent in a header.
    #[error("no token")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection was not open within the connect time-out.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// A server answered, but not as a WebSocket server.
    #[error("the server refused the connection with the HTTP status {status}{}", hint(*status))]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The server could not be reached.
    #[error("connection failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The likely cause of an HTTP status in place of a WebSocket.
fn hint(status: u16) -> &'static str {
    match status {
        400 => "; if the port is encrypted, the address begins with wss://",
        401 | 403 => "; check the token and the rights of this client",
        404 => "; check the path of the address",
        429 | 503 => "; the server is busy, try again later",
        _ => "; there may be no WebSocket server at this address",
    }
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The data cannot be represented as JSON, or nests too deeply, so that the server would ignore it.
    #[error("data is invalid")]
    Data(#[from] PayloadError),
    /// There is no connection, and the offline queue is off.
    #[error("not connected")]
    Disconnected,
    /// The offline queue is full.
    #[error("offline queue exceeds {0} bytes")]
    QueueFull(usize),
    /// Too many frames wait to be sent. [`emit`](crate::Client::emit) waits in this case.
    #[error("too many frames wait to be sent")]
    Busy,
}

/// The code of [`RequestError::Refused`] if the server has no handler for the event; check the event's name.
pub const NO_HANDLER: &str = "no_handler";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The server did not reply in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The connection was lost before the reply arrived. The server may have handled the request.
    #[error("connection lost before the reply arrived")]
    Disconnected,
    /// The server replied with an error, or has no handler for the event.
    #[error("refused: {message}")]
    Refused {
        /// A stable identifier, such as `bad_data`, or [`NO_HANDLER`].
        code: String,
        /// A description for humans.
        message: String,
    },
    /// The reply does not match the expected type.
    #[error("reply does not match the expected type")]
    Decode(#[source] PayloadError),
}

/// The data of `@refused`: the server has not done what an event without a reply asks for. Servers of emit.gg send none.
///
/// ```no_run
/// use switchboard_client::RefusedEvent;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = switchboard_client::Client::connect("ws://localhost:3000").await?;
/// client.on_data("@refused", |refused: RefusedEvent| eprintln!("{}: {}", refused.code, refused.error));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RefusedEvent {
    /// The name of the event; `None` if the server could not decode the frame.
    pub event: Option<String>,
    /// A stable identifier, such as `bad_data` or [`NO_HANDLER`]; the one that a request would receive.
    pub code: String,
    /// A description for humans.
    pub error: String,
    /// With the code `rate_limited`: milliseconds until the server accepts one more.
    pub retry_after_ms: Option<u64>,
}
