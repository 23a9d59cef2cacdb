//! Why something was not dispatched.

use switchboard_backplane::StoreError;
use switchboard_event::{AudienceError, NameError, PayloadError, Target};

/// Why there is no dispatcher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The namespace is empty or too long.
    #[error("the namespace cannot be used")]
    Namespace(#[source] NameError),
    /// An address cannot be used, or nobody answers there.
    #[error(transparent)]
    Redis(#[from] switchboard_redis::ConnectError),
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Its type is empty or too long.
    #[error("the type of a message cannot be used")]
    Type(#[from] NameError),
    /// JSON cannot hold its data.
    #[error("the data of a message cannot be JSON")]
    Data(#[from] PayloadError),
}

/// Why a message was not dispatched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// It does not say for whom.
    #[error("the audience cannot be used")]
    Audience(#[from] AudienceError),
    /// Redis does not answer, or refuses. Whether it was sent or kept is not known.
    #[error("Redis did not take the message")]
    Redis(#[from] StoreError),
    /// Original servers know users and everyone, and no exceptions from everyone.
    #[error("original servers cannot send to {0}")]
    Originals(Target),
    /// Original servers are told to close, and not how.
    #[error("original servers close with 1000 and no reason")]
    OriginalsClose,
}

impl From<NameError> for DispatchError {
    fn from(error: NameError) -> Self {
        DispatchError::Audience(error.into())
    }
}
