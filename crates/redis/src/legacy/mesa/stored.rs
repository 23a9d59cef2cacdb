//! Messages that original Dispatchers have stored for a user move to the user's inbox.

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use redis::{RedisResult, cmd};
use switchboard_event::{Event, ProjectId, UserId};
use switchboard_log::{limited, printable};

use super::namespace::suffixed;
use super::undelivered;
use crate::connection::RedisConnection;
use crate::connection::script::{self, Script, integer, is_wrong_type};
use crate::inbox::{InboxBridge, inbox_call};
use crate::names::Names;
use crate::options::MesaBridge;

static ADOPT: LazyLock<Script> = LazyLock::new(|| {
    Script::allow_oom(concat!(include_str!("../../inbox/scripts/inbox.lua"), include_str!("adopt.lua")))
});

/// The hash in which Dispatchers of one namespace store messages.
pub(in crate::legacy) struct StoredByDispatchers {
    key: String,
    project: ProjectId,
    names: Names,
    undecodable: Counter,
}

impl StoredByDispatchers {
    pub(in crate::legacy) fn new(bridge: &MesaBridge, names: Names) -> Self {
        let key = suffixed("undelivered_messages", bridge.namespace.as_deref());
        let undecodable = counter!("switchboard_undelivered_total", "reason" => "undecodable");
        StoredByDispatchers { key, project: bridge.project.clone(), names, undecodable }
    }
}

impl InboxBridge for StoredByDispatchers {
    fn covers(&self, project: &ProjectId) -> bool {
        self.project == *project
    }

    fn read<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
    ) -> BoxFuture<'a, RedisResult<Option<Bytes>>> {
        Box::pin(async move {
            let stored: RedisResult<Option<Vec<u8>>> =
                connection.query(cmd("HGET").arg(&self.key).arg(&**user)).await;
            match stored {
                Ok(stored) => Ok(stored.map(Bytes::from)),
                Err(error) if is_wrong_type(&error) => {
                    limited!(
                        WARN,
                        key = self.key,
                        "legacy Dispatcher storage has an unexpected format; it is ignored"
                    );
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
    }

    fn move_to_inbox<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
        stored: &'a Bytes,
        retention_ms: u64,
    ) -> BoxFuture<'a, RedisResult<Option<usize>>> {
        Box::pin(async move {
            let (events, undecodable) = undelivered::read(stored);
            let events: Vec<Vec<u8>> = events.iter().map(encoded).collect();
            let retention = retention_ms.to_string();
            let mut args = vec![user.as_bytes(), stored, retention.as_bytes()];
            args.extend(events.iter().map(|event| &**event));
            let names = self.names.project(&self.project);
            let call = inbox_call(&ADOPT, &names, &[names.inbox_last(), self.key.clone()], &args);
            let reply = script::run(connection, &*ADOPT, &call).await?;
            if integer(&reply) != Some(1) {
                return Ok(None);
            }
            if undecodable > 0 {
                self.undecodable.increment(undecodable as u64);
                limited!(
                    WARN,
                    project = printable(&self.project),
                    user = printable(user),
                    undecodable,
                    "messages of a legacy Dispatcher cannot be decoded; they are dropped"
                );
            }
            Ok(Some(events.len()))
        })
    }

    fn clear<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        user: &'a UserId,
    ) -> BoxFuture<'a, RedisResult<()>> {
        Box::pin(async move {
            match connection.query::<i64>(cmd("HDEL").arg(&self.key).arg(&**user)).await {
                Err(error) if !is_wrong_type(&error) => Err(error),
                _ => Ok(()),
            }
        })
    }
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    event.write(&mut out);
    out
}
