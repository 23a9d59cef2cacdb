//! The hook for a mirror: other servers on the same Redis read this node's presence in keys of their own, and
//! this node reads theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::RedisResult;
use switchboard_backplane::LocalMembers;
use switchboard_event::{ProjectId, SocketId, Target, UserId};

use crate::connection::RedisConnection;
use crate::names::{Names, ProjectNames};

/// Copies presence to keys of other servers, and reads their presence.
pub(crate) trait PresenceMirror: Send + Sync {
    /// The kind and the place of each copy of a project's presence, alternating. Empty if it has none.
    fn places(&self, project: &ProjectId) -> Vec<String>;

    /// Whether other servers may have sockets in the project.
    fn has_sockets(&self, project: &ProjectId) -> bool;

    /// The sockets of other servers in a target.
    fn sockets<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a ProjectNames,
        target: &'a Target,
    ) -> BoxFuture<'a, RedisResult<BTreeSet<SocketId>>>;

    /// The users that have sockets on other servers and none here.
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
