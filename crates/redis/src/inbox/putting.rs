//! Keeping a message and publishing it, in one step.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use metrics::{Counter, counter};
use redis::{FromRedisValue, RedisError, cmd};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use switchboard_hub::InboxLimits;
use switchboard_hub::inbox::Kept;

use super::scripts::Scripts;
use super::{ask_script, inbox_call};
use crate::envelope;
use crate::link::Link;
use crate::names::Names;
use crate::store::NoAnswer;

/// Most users in one call, so that it is short.
const CALL_MAX: usize = 1000;

/// Puts messages into inboxes. Needs no lease, so that who is no node can.
pub(crate) struct Putting {
    names: Names,
    limits: InboxLimits,
    verb: &'static str,
    scripts: Arc<Scripts>,
    /// Projects that are noted as having inboxes.
    noted: Mutex<HashSet<ProjectId>>,
    kept: Counter,
    displaced: Counter,
    refused: Counter,
}

impl Putting {
    pub(crate) fn new(names: Names, limits: InboxLimits, verb: &'static str, scripts: Arc<Scripts>) -> Self {
        Putting {
            names,
            limits,
            verb,
            scripts,
            noted: Mutex::default(),
            kept: counter!("switchboard_inbox_kept_total"),
            displaced: counter!("switchboard_inbox_displaced_total"),
            refused: counter!("switchboard_inbox_refused_total"),
        }
    }

    /// To be called with every new connection: another Redis may know nothing.
    pub(crate) fn begin_anew(&self) {
        self.noted.lock().expect("no code that holds the projects panics").clear();
    }

    /// Puts a message into the inboxes of users. After an error it may be in some or all of them: who
    /// puts it again may have it there twice.
    pub(crate) async fn put(
        &self,
        link: &mut Link,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
    ) -> Result<Kept, NoAnswer> {
        self.note(link, project).await?;
        let mut known = HashSet::with_capacity(users.len());
        let users: Vec<&UserId> = users.iter().filter(|user| known.insert(*user)).collect();
        let mut all = Kept { number: MessageNumber(0), inboxes: 0, displaced: 0 };
        for users in users.chunks(CALL_MAX) {
            let part = self.put_some(link, project, users, event).await?;
            all.number = part.number;
            all.inboxes += part.inboxes;
            all.displaced += part.displaced;
        }
        Ok(all)
    }

    async fn put_some(
        &self,
        link: &mut Link,
        project: &ProjectId,
        users: &[&UserId],
        event: &Event,
    ) -> Result<Kept, NoAnswer> {
        let names = self.names.project(project);
        let [head, behind] = envelope::kept(project);
        let mut bytes = Vec::new();
        event.write(&mut bytes);
        let InboxLimits { messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max } =
            self.limits;
        let limits = [messages_max, bytes_max, project_messages_max, project_bytes_max, age_max_ms.max(1)]
            .map(|limit| limit.to_string());
        let mut args: Vec<&[u8]> = vec![self.verb.as_bytes(), &head, &behind, &bytes];
        args.extend(limits.iter().map(|limit| limit.as_bytes()));
        args.extend(users.iter().map(|user| user.as_bytes()));
        let command = inbox_call(&self.scripts.put, &names, &[names.inbox_last()], &args);
        let answer = ask_script(link, &self.scripts, &command).await?;
        let (number, [inboxes, displaced, refused, failed]) = read_answer(answer)?;
        self.kept.increment(inboxes as u64);
        self.displaced.increment(displaced as u64);
        self.refused.increment((refused + failed) as u64);
        if failed > 0 {
            tracing::error!(%project, failed, "keys of inboxes hold something else; nothing is kept for their users");
        }
        Ok(Kept { number, inboxes, displaced })
    }

    /// Puts down that the project has inboxes, before it has any.
    pub(super) async fn note(&self, link: &mut Link, project: &ProjectId) -> Result<(), NoAnswer> {
        if self.noted.lock().expect("no code that holds the projects panics").contains(project) {
            return Ok(());
        }
        let _: i64 = link.ask(cmd("SADD").arg(self.names.inboxes()).arg(&**project)).await?;
        self.noted.lock().expect("no code that holds the projects panics").insert(project.clone());
        Ok(())
    }
}

fn read_answer(answer: redis::Value) -> Result<(MessageNumber, [usize; 4]), RedisError> {
    let (number, inboxes, displaced, refused, failed): (Vec<u8>, usize, usize, usize, usize) =
        FromRedisValue::from_redis_value(answer)?;
    let number = number.try_into().map(u64::from_be_bytes).unwrap_or_default();
    Ok((MessageNumber(number), [inboxes, displaced, refused, failed]))
}
