//! Messages that original Mesa Dispatchers stored for a user become ours.

use bytes::Bytes;
use redis::cmd;
use switchboard_event::{Event, ProjectId, UserId};

use super::{RedisInbox, inbox_call, waits_ms};
use crate::connection::script::{is_wrong_type, number};
use crate::legacy::undelivered;
use crate::store::NoAnswer;

/// How often what was read may have changed before it is left for the next time.
const TRIES: usize = 10;

impl RedisInbox {
    /// Moves them into the user's inbox, as the last ones of it. What cannot be read is dropped.
    pub(super) async fn adopt(&self, project: &ProjectId, user: &UserId) -> Result<(), NoAnswer> {
        let Some(stored) = self.bridges.undelivered(project) else { return Ok(()) };
        for _ in 0..TRIES {
            let Some(read) = self.read_stored(&stored, user).await? else { return Ok(()) };
            if self.move_in(project, user, &stored, &read).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Drops them.
    pub(super) async fn drop_stored(&self, project: &ProjectId, user: &UserId) -> Result<(), NoAnswer> {
        let Some(stored) = self.bridges.undelivered(project) else { return Ok(()) };
        match self.link()?.ask::<i64>(cmd("HDEL").arg(&stored).arg(&**user)).await {
            Err(error) if !is_wrong_type(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn read_stored(&self, stored: &str, user: &UserId) -> Result<Option<Bytes>, NoAnswer> {
        let read: Result<Option<Vec<u8>>, _> = self.link()?.ask(cmd("HGET").arg(stored).arg(&**user)).await;
        match read {
            Ok(read) => Ok(read.map(Bytes::from)),
            Err(error) if is_wrong_type(&error) => {
                tracing::warn!(key = stored, "what Dispatchers store messages in holds something else");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// False if it is no longer what was read.
    async fn move_in(
        &self,
        project: &ProjectId,
        user: &UserId,
        stored: &str,
        read: &Bytes,
    ) -> Result<bool, NoAnswer> {
        self.putting.note(&mut self.link()?, project).await?;
        let (events, unreadable) = undelivered::read(read);
        let written = |event: &Event| {
            let mut out = Vec::new();
            event.write(&mut out);
            out
        };
        let events: Vec<Vec<u8>> = events.iter().map(written).collect();
        let names = self.names.project(project);
        let waits = waits_ms(self.limits.age_max_ms).to_string();
        let mut args = vec![user.as_bytes(), read, waits.as_bytes()];
        args.extend(events.iter().map(|event| &**event));
        let keys = [names.inbox_last(), stored.to_owned()];
        let answer = self.ask(&inbox_call(&self.scripts.adopt, &names, &keys, &args)).await?;
        let is_moved = number(&answer) == Some(1);
        if is_moved {
            self.adopted.increment(events.len() as u64);
            if unreadable > 0 {
                tracing::warn!(%project, %user, unreadable, "what a Dispatcher stored cannot be read; it is dropped");
            }
        }
        Ok(is_moved)
    }
}
