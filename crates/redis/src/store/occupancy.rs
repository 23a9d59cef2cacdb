//! Which rooms are occupied, for the reports of webhooks: each change is reported by one node.
//!
//! The rooms are in a set beside the project's memberships. A node adds a room after its own entry is written; it removes
//! a room in a script that checks that the room has no member. So both changes are exact whatever other nodes do.

use std::sync::Arc;

use redis::cmd;
use switchboard_backplane::BackplaneError;
use switchboard_event::{ProjectId, RoomName, Target};

use super::RedisStore;
use crate::error::RequestError;
use crate::names::Names;

/// Removes a room from the set of occupied rooms if it has no member. Returns 1 if it was in the set.
const VACATE: &str =
    "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end return redis.call('SREM', KEYS[2], ARGV[1])";

/// The occupied rooms of all nodes.
pub struct RedisOccupancy {
    names: Names,
    store: Arc<RedisStore>,
}

impl RedisOccupancy {
    pub(crate) fn new(names: Names, store: Arc<RedisStore>) -> Self {
        RedisOccupancy { names, store }
    }

    /// Marks a room as occupied. Returns true if it was not.
    pub async fn occupy(&self, project: &ProjectId, room: &RoomName) -> Result<bool, BackplaneError> {
        let mut connection = self.store.settled_connection().await?;
        let mut command = cmd("SADD");
        command.arg(self.names.project(project).occupied()).arg(&**room);
        Ok(connection.query::<i64>(&command).await.map_err(RequestError::from)? == 1)
    }

    /// Marks a room as vacated if it has no member on any node. Returns true if it was occupied.
    pub async fn vacate(&self, project: &ProjectId, room: &RoomName) -> Result<bool, BackplaneError> {
        let mut connection = self.store.settled_connection().await?;
        let names = self.names.project(project);
        let mut command = cmd("EVAL");
        let members = names.members(&Target::Room(room.clone()));
        command.arg(VACATE).arg(2).arg(members).arg(names.occupied()).arg(&**room);
        Ok(connection.query::<i64>(&command).await.map_err(RequestError::from)? == 1)
    }
}
