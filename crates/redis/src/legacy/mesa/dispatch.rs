//! Sending to original Mesa servers as an original Dispatcher does.

use redis::{FromRedisValue, RedisError, cmd};
use switchboard_backplane::BackplaneError;

use super::dispatch_script::DISPATCH;
use super::messages::{self, EVERYONE};
use super::namespace::suffixed;
use crate::connection::script;
use crate::error::RequestError;
use crate::publisher::Publisher;

/// A message for the sockets of original Mesa servers.
#[derive(Debug, Clone, Copy)]
pub struct LegacyMessage<'a> {
    /// The servers' namespace, if they have one.
    pub namespace: Option<&'a str>,
    /// The message as JSON: `{"op":0,"d":{},"t":"TYPE"}`.
    pub message: &'a str,
    /// The users; `*` stands for everyone.
    pub users: &'a [&'a str],
    /// With `*`: the users that do not receive it. Original servers ignore this.
    pub excluding: &'a [&'a str],
    /// Whether it is stored for users who are offline.
    pub store: bool,
}

impl Publisher {
    /// Sends a message to original Mesa servers, and to nodes that are bridged to them, as an original
    /// Dispatcher does. Returns the number of users for whom it is stored. Not in a cluster.
    pub async fn dispatch_to_legacy(&self, message: &LegacyMessage<'_>) -> Result<usize, BackplaneError> {
        Ok(self.dispatch(message).await?)
    }

    async fn dispatch(&self, message: &LegacyMessage<'_>) -> Result<usize, RequestError> {
        let named = |name: &str| suffixed(name, message.namespace);
        if message.users.contains(&EVERYONE) && !message.excluding.is_empty() {
            let text = messages::to_everyone_except(message.message, message.excluding);
            let mut connection = self.connection().await?;
            let _: usize = connection.query(cmd("PUBLISH").arg(named("ws")).arg(text)).await?;
            return Ok(0);
        }
        let keys = [named("connected_clients"), named("undelivered_messages")];
        // `*` addresses everyone, so nothing is stored for it.
        let store: &[u8] = if message.store && !message.users.contains(&EVERYONE) { b"1" } else { b"0" };
        let channel = named("ws");
        let mut args = vec![channel.as_bytes(), message.message.as_bytes(), store];
        args.extend(message.users.iter().map(|user| user.as_bytes()));
        let mut connection = self.connection().await?;
        let reply = script::run(&mut connection, &*DISPATCH, &DISPATCH.call(&keys, &args)).await?;
        Ok(usize::from_redis_value(reply).map_err(RedisError::from)?)
    }
}
