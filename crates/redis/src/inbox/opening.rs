//! Giving a socket what waits for its user.

use std::convert::Infallible;
use std::iter;
use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_backplane::InboxPage;
use switchboard_event::{MessageNumber, ProjectId, SocketId, Target, UserId};

use super::batch_queue::{Call, Part, Piles};
use super::elements::{Messages, first_number, first_put_ms};
use super::scripts::Scripts;
use super::{RedisInbox, inbox_call};
use crate::connection::script::{is_unknown, number};
use crate::connection::{Batch, Link};
use crate::names::{Names, ProjectNames};
use crate::store::NoAnswer;

/// How often it is looked anew because something had waited for too long.
const TRIES: usize = 20;

/// What an inbox may be expected to have, in bytes. So the answer to a call is not too long.
const INBOX_BYTES: usize = 16 * 1024;

/// What a socket asks for.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) user: UserId,
    pub(super) socket: SocketId,
    pub(super) after: Option<MessageNumber>,
    pub(super) most: usize,
}

/// What Redis has for it.
pub(super) struct Found {
    now_ms: u64,
    held_by: Option<SocketId>,
    /// What stands there; if another one has the inbox, only whose number is the first is of interest.
    elements: Vec<Bytes>,
}

/// Asks Redis what waits for sockets.
pub(super) struct Openings {
    names: Names,
    scripts: Arc<Scripts>,
    piles: Piles<Opening>,
}

impl Openings {
    pub(super) fn new(names: Names, scripts: Arc<Scripts>) -> Self {
        Openings { names, scripts, piles: Piles::default() }
    }

    /// To be called with every new connection, before it is said to be there.
    pub(super) fn begin_anew(&self) {
        self.piles.open();
    }

    /// Calls Redis for what is asked, as long as somebody polls; then nothing can be asked.
    pub(super) async fn run(&self, link: &Link) -> Infallible {
        self.piles.run(|call| self.call(link.clone(), call)).await
    }

    /// Takes the inbox for the socket, and reads. If another one has it, nothing is read.
    async fn look(&self, project: &ProjectId, opening: &Opening) -> Result<Found, NoAnswer> {
        Ok(self.piles.ask(project, opening.clone()).await??)
    }

    async fn call(&self, mut link: Link, call: Call<Opening>) {
        let found = self.ask(&mut link, &call).await;
        call.tell(found);
    }

    async fn ask(&self, link: &mut Link, call: &Call<Opening>) -> Result<Vec<RedisResult<Found>>, NoAnswer> {
        let mut answers = link.run(self.batch(call)).await?;
        if answers.first().is_some_and(is_unknown) {
            self.scripts.load(link).await?;
            answers = link.run(self.batch(call)).await?;
        }
        Ok(Found::read_all(&call.parts, answers)?)
    }

    /// The call of the script, and behind it what it leaves to be read. It may say that another socket has that;
    /// then of what is read only the first number is looked at. What is put between the two is read and heard.
    fn batch(&self, call: &Call<Opening>) -> Batch {
        let names = self.names.project(&call.project);
        let mut command = inbox_call(&self.scripts.open, &names, &[names.members(&Target::Everyone)], &[]);
        let mut batch = Batch::default();
        for Opening { user, socket, after, most } in &call.parts {
            let after = after.map(|after| after.0.to_be_bytes());
            command.arg(user.as_bytes()).arg(socket.as_bytes());
            command.arg(after.as_ref().map_or(b"".as_slice(), |after| after)).arg(most);
        }
        batch.push(names.base(), command);
        for opening in call.parts.iter().filter(|opening| opening.reads_front()) {
            batch.push(names.base(), front(&names, opening));
        }
        batch
    }
}

impl Part for Opening {
    type Answer = RedisResult<Found>;

    fn users(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        INBOX_BYTES
    }
}

impl Opening {
    /// Whether it reads what has waited longest.
    fn reads_front(&self) -> bool {
        self.after.is_none() && self.most > 0
    }
}

impl RedisInbox {
    pub(super) async fn opened(&self, project: &ProjectId, opening: &Opening) -> Result<InboxPage, NoAnswer> {
        self.is_present().await?;
        self.adopt(project, &opening.user).await?;
        let mut found = self.openings.look(project, opening).await?;
        for _ in 0..TRIES {
            if opening.after.is_some() || !self.is_outdated(&found) {
                break;
            }
            self.expire(&mut self.link()?, project, Some(&opening.user)).await?;
            found = self.openings.look(project, opening).await?;
        }
        if found.held_by.is_some() {
            let oldest = first_number(&found.elements);
            return Ok(InboxPage { held_by: found.held_by, oldest, ..InboxPage::default() });
        }
        let Messages { waiting, sizes, garbage } = Messages::read(found.elements, opening.most);
        if !garbage.is_empty() {
            self.drop_garbage(project, &opening.user, &garbage).await?;
        } else {
            let sizes = waiting.iter().map(|waiting| waiting.number).zip(sizes);
            self.handed_out.note(project, &opening.user, opening.after, sizes);
        }
        Ok(InboxPage { messages: waiting, ..InboxPage::default() })
    }

    fn is_outdated(&self, found: &Found) -> bool {
        first_put_ms(&found.elements)
            .is_some_and(|put_ms| put_ms.saturating_add(self.limits.age_max_ms) < found.now_ms)
    }

    async fn drop_garbage(
        &self,
        project: &ProjectId,
        user: &UserId,
        garbage: &[Bytes],
    ) -> Result<(), NoAnswer> {
        tracing::error!(%project, %user, count = garbage.len(), "what waits cannot be read; it is dropped");
        let args: Vec<&[u8]> =
            iter::once(user.as_bytes()).chain(garbage.iter().map(|part| &**part)).collect();
        let names = self.names.project(project);
        self.ask(&inbox_call(&self.scripts.drop, &names, &[], &args)).await.map(drop)
    }
}

/// Reads what has waited longest.
fn front(names: &ProjectNames, opening: &Opening) -> Cmd {
    let mut command = cmd("LRANGE");
    command.arg(names.inbox_of(&opening.user)).arg(0).arg(2 * opening.most - 1);
    command
}

impl Found {
    /// The answers of one call, for those who asked.
    fn read_all(openings: &[Opening], answers: Vec<Value>) -> RedisResult<Vec<RedisResult<Self>>> {
        let mut answers = answers.into_iter();
        let said = answers.next().unwrap_or(Value::Nil).extract_error()?;
        let mut said = Vec::<Value>::from_redis_value(said)?.into_iter();
        let now_ms = said.next().as_ref().and_then(number).unwrap_or(0).try_into().unwrap_or(0);
        let read = |opening: &Opening| {
            let front = if opening.reads_front() { answers.next() } else { None };
            Self::read(now_ms, said.next().unwrap_or(Value::Nil), front)
        };
        Ok(openings.iter().map(read).collect())
    }

    /// Reads what the script said for a socket, and what stands at the front of the inbox if that was asked for.
    fn read(now_ms: u64, said: Value, front: Option<Value>) -> RedisResult<Self> {
        let mut held_by = None;
        let elements = match said {
            Value::Nil => {
                return Err(RedisError::from((
                    ErrorKind::UnexpectedReturnType,
                    "an inbox holds something else",
                )));
            }
            Value::Array(elements) => elements,
            said => {
                if let Value::BulkString(holder) = said {
                    held_by = socket_of(&holder);
                }
                Vec::from_redis_value(front.unwrap_or(Value::Nil).extract_error()?)?
            }
        };
        let bytes = |element| match element {
            Value::BulkString(bytes) => Some(bytes.into()),
            _ => None,
        };
        Ok(Found { now_ms, held_by, elements: elements.into_iter().filter_map(bytes).collect() })
    }
}

/// The socket that has an inbox, if one is named.
fn socket_of(holder: &[u8]) -> Option<SocketId> {
    Some(SocketId::from_bytes(holder.try_into().ok()?))
}
