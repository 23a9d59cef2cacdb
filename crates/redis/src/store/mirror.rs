//! The interface to a mirror of presence for original servers on the same Redis: it copies this node's presence
//! to their keys, and reads their presence.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::RedisResult;
use switchboard_backplane::LocalMembers;
use switchboard_event::{ProjectId, SocketId, Target, UserId};

use crate::connection::RedisConnection;
use crate::names::{Names, ProjectNames};

/// Copies presence to keys of original servers, and reads their presence.
pub(crate) trait PresenceMirror: Send + Sync {
    /// The copies of a project's presence: for each its kind and its parameters, alternating.
    /// Empty if there are none.
    fn copies(&self, project: &ProjectId) -> Vec<String>;

    /// Returns true if original servers may have sockets in the project.
    fn has_sockets(&self, project: &ProjectId) -> bool;

    /// The sockets of original servers in a target.
    fn sockets<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a ProjectNames,
        target: &'a Target,
    ) -> BoxFuture<'a, RedisResult<BTreeSet<SocketId>>>;

    /// The users that have sockets on original servers and none here.
    fn users<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a ProjectNames,
    ) -> BoxFuture<'a, RedisResult<BTreeSet<UserId>>>;

    /// Called with each renewal of the lease.
    fn renew<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a Names,
        local: Option<Arc<dyn LocalMembers>>,
    ) -> BoxFuture<'a, RedisResult<()>>;
}
