//! The errors of a dispatcher, one enum per operation.

use switchboard_backplane::BackplaneError;
use switchboard_event::{AudienceError, NameError, PayloadError, Target};

/// Why a dispatcher could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The namespace is empty or too long.
    #[error("namespace is invalid")]
    Namespace(#[source] NameError),
    /// A Redis address is invalid or cannot be reached.
    #[error(transparent)]
    Redis(#[from] switchboard_redis::ConnectError),
}

/// Why a message could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The type is empty or too long.
    #[error("message type is invalid")]
    Type(#[from] NameError),
    /// The data cannot be represented as JSON, or nests too deeply.
    #[error("message data is invalid")]
    Data(#[from] PayloadError),
}

/// Why a message was not dispatched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The audience is empty or invalid.
    #[error("audience is invalid")]
    Audience(#[from] AudienceError),
    /// Redis did not respond, or responded with an error. The message may have been sent or stored.
    #[error("Redis did not accept the message")]
    Redis(#[from] BackplaneError),
    /// Original servers support users and everyone as targets, and users as exclusions.
    #[error("legacy servers cannot send to {0}")]
    LegacyTarget(Target),
    /// Original servers do not support other close codes and reasons.
    #[error("legacy servers close with code 1000 and no reason")]
    LegacyClose,
}

impl From<NameError> for DispatchError {
    fn from(error: NameError) -> Self {
        DispatchError::Audience(error.into())
    }
}
