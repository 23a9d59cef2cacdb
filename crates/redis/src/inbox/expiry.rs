//! Removing expired messages: those older than the age limit of the inbox.

use std::convert::Infallible;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, cmd};
use switchboard_event::{ProjectId, UserId};
use switchboard_log::{limited, printable, printable_error};
use tokio::time::sleep;

use super::shared::InboxShared;
use crate::connection::RedisConnection;
use crate::connection::script::{self, integer};
use crate::whole_ms::whole_ms;

/// Maximum number of messages that one call removes, so that no call is long.
const EXPIRE_MAX: usize = 512;

/// Interval between searches for expired messages, over all nodes. Shorter if messages expire sooner.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Removes expired messages whenever no other node has done so within the interval, and announces the limits. A failed
/// removal is repeated after the interval; other tasks detect a broken connection.
pub(super) async fn expire_regularly(shared: &InboxShared, mut connection: RedisConnection) -> Infallible {
    let age_max = Duration::from_millis(shared.limits.age_max_ms);
    let interval = EXPIRE_INTERVAL.min(age_max / 2).max(Duration::from_millis(100));
    loop {
        if let Err(error) = expire_if_due(shared, &mut connection, interval).await {
            limited!(
                WARN,
                error = printable_error(&error),
                "expired messages not removed; another attempt follows"
            );
        }
        sleep(interval).await;
        shared.announcer.announce(&mut connection, &shared.scripts).await;
    }
}

/// Removes expired messages if this node gets the lock, which expires after the interval.
async fn expire_if_due(
    shared: &InboxShared,
    connection: &mut RedisConnection,
    interval: Duration,
) -> RedisResult<()> {
    let (lock, ms) = (shared.context.names.inboxes_expiry_lock(), whole_ms(interval).to_string());
    let call = shared.scripts.expiry_lock.call(&[lock], &[ms.as_bytes()]);
    let is_locked = script::run(connection, &shared.scripts.expiry_lock, &call).await?;
    if integer(&is_locked) != Some(1) {
        return Ok(());
    }
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SSCAN");
        scan.arg(shared.context.names.inboxes()).arg(&cursor).arg("COUNT").arg(100);
        let projects: Vec<Vec<u8>>;
        (cursor, projects) = connection.query(&scan).await?;
        for project in projects {
            let project = std::str::from_utf8(&project).ok().and_then(|text| ProjectId::new(text).ok());
            if let Some(project) = project {
                expire_project(shared, connection, &project).await;
            }
        }
        if cursor == "0" {
            return Ok(());
        }
    }
}

async fn expire_project(shared: &InboxShared, connection: &mut RedisConnection, project: &ProjectId) {
    loop {
        match expire(shared, connection, project, None).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                limited!(
                    ERROR,
                    project = printable(project),
                    error = printable_error(&error),
                    "expired messages of a project not removed"
                );
                return;
            }
        }
    }
}

/// Removes some expired messages of one user, or of all users. Returns whether there may be more.
pub(super) async fn expire(
    shared: &InboxShared,
    connection: &mut RedisConnection,
    project: &ProjectId,
    user: Option<&UserId>,
) -> RedisResult<bool> {
    let (age, max) = (shared.limits.age_max_ms.to_string(), EXPIRE_MAX.to_string());
    let names = shared.context.names.project(project);
    let mut args = vec![names.base().as_bytes(), age.as_bytes(), max.as_bytes()];
    args.extend(user.map(|user| user.as_bytes()));
    let call = shared.scripts.expire.call(&names.inbox(), &args);
    let reply = script::run(connection, &shared.scripts.expire, &call).await?;
    let (expired, more) = <(u64, u64)>::from_redis_value(reply)?;
    shared.expired.increment(expired);
    Ok(more > 0)
}
