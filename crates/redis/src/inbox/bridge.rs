//! The interface to messages that original servers have stored for users in the same Redis.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::RedisResult;
use switchboard_event::{ProjectId, UserId};

use crate::connection::RedisConnection;

/// Messages that original servers store for users, in their own format.
pub(crate) trait InboxBridge: Send + Sync {
    /// Whether original servers may store messages in the project.
    fn covers(&self, project: &ProjectId) -> bool;

    /// The stored messages of a user, undecoded. `None` if there are none.
    fn read<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
    ) -> BoxFuture<'a, RedisResult<Option<Bytes>>>;

    /// Moves messages to the end of the user's inbox and returns their number. `stored` is the result of
    /// [`read`](Self::read); returns `None` if it is no longer current.
    fn move_to_inbox<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
        stored: &'a Bytes,
        retention_ms: u64,
    ) -> BoxFuture<'a, RedisResult<Option<usize>>>;

    /// Removes the stored messages of a user.
    fn clear<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
    ) -> BoxFuture<'a, RedisResult<()>>;
}
