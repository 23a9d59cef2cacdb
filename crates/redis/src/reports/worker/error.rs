//! The error of a worker's requests.

use redis::RedisError;

/// A request of a worker failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WorkerError(#[from] pub(super) RedisError);
