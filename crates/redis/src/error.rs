//! Errors of connecting to Redis and of single requests.

use redis::RedisError;
use switchboard_backplane::BackplaneError;

use crate::options::REPLY_TIMEOUT;

/// Why a connection to Redis could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// An address or another option is invalid.
    #[error("the Redis options are invalid")]
    Options(#[source] RedisError),
    /// An address has a part that would have no effect.
    #[error("the address of Redis cannot be used: {0}")]
    Address(&'static str),
    /// No server answered in time, or it refused the connection.
    #[error("cannot reach Redis at {addresses}")]
    Unreachable {
        /// The configured addresses, without user names and passwords.
        addresses: String,
        /// The error of the last attempt.
        #[source]
        cause: RedisError,
    },
}

/// Why a request to Redis failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("not connected to Redis")]
    Disconnected,
    #[error("no reply from Redis within {REPLY_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl From<RequestError> for BackplaneError {
    fn from(error: RequestError) -> Self {
        BackplaneError(Box::new(error))
    }
}
