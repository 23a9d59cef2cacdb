//! Giving a socket what waits for its user.

use bytes::{Buf, Bytes};
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_event::{Event, MessageNumber, ProjectId, SocketId, Target, UserId};
use switchboard_hub::inbox::{Opened, Waiting};

use super::{RedisInbox, inbox_call};
use crate::link::Batch;
use crate::names::ProjectNames;
use crate::script::{is_unknown, number};
use crate::store::NoAnswer;

/// Most messages that one call takes out since they have waited for too long, so that it is short.
const EXPIRE_MAX: &[u8] = b"1000";

/// How often it is looked anew because something had waited for too long.
const TRIES: usize = 10;

/// How many bytes of a message are its number.
const NUMBER: usize = 8;

/// What a socket asks for.
pub(super) struct Opening<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) user: &'a UserId,
    pub(super) socket: SocketId,
    pub(super) after: Option<MessageNumber>,
    pub(super) most: usize,
}

/// What Redis has for it.
#[derive(Default)]
struct Found {
    now_ms: u64,
    held_by: Option<SocketId>,
    messages: Vec<Bytes>,
}

impl RedisInbox {
    pub(super) async fn opened(&self, opening: &Opening<'_>) -> Result<Opened, NoAnswer> {
        self.is_present().await?;
        self.adopt(opening.project, opening.user).await?;
        let names = self.names.project(opening.project);
        let mut found = self.look(&names, opening).await?;
        for _ in 0..TRIES {
            let oldest = found.messages.first().filter(|_| opening.after.is_none());
            if !oldest.is_some_and(|oldest| self.is_outdated(oldest, found.now_ms)) {
                break;
            }
            self.expire(&names, opening.user).await?;
            found = self.look(&names, opening).await?;
        }
        let (mut waiting, mut unreadable) = (Vec::with_capacity(found.messages.len()), Vec::new());
        let mut sizes = Vec::with_capacity(found.messages.len());
        for message in found.messages {
            match read(message.clone()) {
                Some(read) => {
                    sizes.push((read.number, Event::size_of(&message[NUMBER..])));
                    waiting.push(read);
                }
                None => unreadable.push(message),
            }
        }
        if !unreadable.is_empty() {
            self.drop_unreadable(&names, opening, &unreadable).await?;
        } else if found.held_by.is_none() {
            self.handed_out.note(opening.project, opening.user, opening.after, sizes.into_iter());
        }
        Ok(Opened { messages: waiting, held_by: found.held_by })
    }

    /// Takes the inbox for the socket, and reads. The script may say that another one has it; then what is read is
    /// not looked at. What is put between the two is read and heard.
    async fn look(&self, names: &ProjectNames, opening: &Opening<'_>) -> Result<Found, NoAnswer> {
        let mut answers = self.run(names, opening).await?;
        if answers.iter().any(is_unknown) {
            self.scripts.load(&mut self.link()?).await?;
            answers = self.run(names, opening).await?;
        }
        Ok(Found::read(answers)?)
    }

    async fn run(&self, names: &ProjectNames, opening: &Opening<'_>) -> Result<Vec<Value>, NoAnswer> {
        let Opening { user, socket, after, most, .. } = opening;
        let after = after.map(|after| after.0.to_be_bytes());
        let most = (*most).min(i32::MAX as usize);
        let everyone = names.members(&Target::Everyone);
        let args = [
            user.as_bytes(),
            socket.as_bytes(),
            after.as_ref().map_or(b"", |after| &after[..]),
            &most.to_string().into_bytes(),
        ];
        let mut batch = Batch::default();
        batch.push(names.base(), inbox_call(&self.scripts.open, names, &[everyone], &args));
        if after.is_none() && most > 0 {
            batch.push(names.base(), front(names, user, most));
        }
        Ok(self.link()?.run(batch).await?)
    }

    fn is_outdated(&self, message: &Bytes, now_ms: u64) -> bool {
        number_of(message).is_some_and(|number| (number.0 >> 20) + self.limits.age_max_ms < now_ms)
    }

    async fn expire(&self, names: &ProjectNames, user: &UserId) -> Result<(), NoAnswer> {
        let age = self.limits.age_max_ms.to_string();
        let args = [age.as_bytes(), EXPIRE_MAX, user.as_bytes()];
        let answer = self.ask(&inbox_call(&self.scripts.expire, names, &[], &args)).await?;
        let answer = Vec::<Value>::from_redis_value(answer).map_err(RedisError::from)?;
        let expired = answer.first().and_then(number);
        self.expired.increment(expired.and_then(|expired| expired.try_into().ok()).unwrap_or(0));
        Ok(())
    }

    async fn drop_unreadable(
        &self,
        names: &ProjectNames,
        opening: &Opening<'_>,
        unreadable: &[Bytes],
    ) -> Result<(), NoAnswer> {
        let Opening { project, user, .. } = opening;
        tracing::error!(%project, %user, count = unreadable.len(), "what waits cannot be read; it is dropped");
        let mut args = vec![user.as_bytes()];
        args.extend(unreadable.iter().map(|message| &**message));
        self.ask(&inbox_call(&self.scripts.drop, names, &[], &args)).await.map(drop)
    }
}

/// Reads what has waited longest.
fn front(names: &ProjectNames, user: &UserId, most: usize) -> Cmd {
    let mut command = cmd("LRANGE");
    command.arg(names.inbox_of(user)).arg(0).arg(most - 1);
    command
}

impl Found {
    fn read(answers: Vec<Value>) -> RedisResult<Self> {
        let list = |answer: Value| RedisResult::Ok(Vec::<Value>::from_redis_value(answer.extract_error()?)?);
        let mut answers = answers.into_iter().map(list);
        let mut said = answers.next().transpose()?.unwrap_or_default().into_iter();
        let now_ms = said.next().as_ref().and_then(number).unwrap_or(0).try_into().unwrap_or(0);
        if let Some(held_by) = said.next().and_then(|holder| socket_of(&holder)) {
            return Ok(Found { now_ms, held_by: Some(held_by), messages: Vec::new() });
        }
        let read = answers.next().transpose()?.unwrap_or_default();
        let messages = said.chain(read).filter_map(|message| match message {
            Value::BulkString(message) => Some(message.into()),
            _ => None,
        });
        Ok(Found { now_ms, held_by: None, messages: messages.collect() })
    }
}

/// The socket that has an inbox; none if it is nobody's, or of who asks.
fn socket_of(holder: &Value) -> Option<SocketId> {
    let Value::BulkString(holder) = holder else { return None };
    Some(SocketId::from_bytes(holder.as_slice().try_into().ok()?))
}

fn number_of(message: &Bytes) -> Option<MessageNumber> {
    message.clone().try_get_u64().ok().map(MessageNumber)
}

/// A message as it stands in Redis; none if it cannot be read.
fn read(mut message: Bytes) -> Option<Waiting> {
    let number = MessageNumber(message.try_get_u64().ok()?);
    Some(Waiting { number, event: Event::read(message).ok()? })
}
