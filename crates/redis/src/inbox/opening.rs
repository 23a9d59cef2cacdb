//! Opening inboxes: a socket takes its user's inbox and reads the stored messages, many sockets in one call.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_event::{MessageNumber, ProjectId, SocketId, Target, UserId};

use super::batch_queue::{BatchCall, BatchItem, BatchQueue};
use super::scripts::{InboxScripts, inbox_call};
use crate::connection::script::{self, integer};
use crate::connection::{Batch, RedisConnection};
use crate::error::RequestError;
use crate::names::{Names, ProjectNames};

/// Assumed size of an inbox in bytes. It bounds the number of inboxes in one call, and so its reply.
const INBOX_BYTES: usize = 16 * 1024;

/// A socket's request for the inbox of its user.
#[derive(Clone)]
pub(super) struct OpenRequest {
    pub(super) user: UserId,
    pub(super) socket: SocketId,
    /// The last message that the socket has read.
    pub(super) after: Option<MessageNumber>,
    /// Maximum number of messages to read.
    pub(super) max: usize,
}

/// The state of an inbox for one request.
pub(super) struct OpenReply {
    pub(super) now_ms: u64,
    /// The other socket that holds the inbox.
    pub(super) held_by: Option<SocketId>,
    /// List elements that were read. If another socket holds the inbox, only the first number is of use.
    pub(super) elements: Vec<Bytes>,
}

/// Queued requests to open inboxes.
pub(super) struct OpenQueue {
    names: Names,
    scripts: Arc<InboxScripts>,
    queue: BatchQueue<OpenRequest>,
}

impl OpenQueue {
    pub(super) fn new(names: Names, scripts: Arc<InboxScripts>) -> Self {
        OpenQueue { names, scripts, queue: BatchQueue::default() }
    }

    /// Called with each new connection before it is announced as up.
    pub(super) fn reconnected(&self) {
        self.queue.open();
    }

    /// Calls Redis for queued requests. When it is dropped, requests fail until the next connection.
    pub(super) async fn run(&self, connection: &RedisConnection) -> Infallible {
        self.queue.run(|call| self.call(connection.clone(), call)).await
    }

    /// Takes the inbox for the socket and reads from it. Reads nothing if another socket holds it.
    pub(super) async fn open(
        &self,
        project: &ProjectId,
        request: &OpenRequest,
    ) -> Result<OpenReply, RequestError> {
        Ok(self.queue.request(project, request.clone()).await??)
    }

    async fn call(&self, mut connection: RedisConnection, call: BatchCall<OpenRequest>) {
        let replies = self.send(&mut connection, &call).await;
        call.finish(replies);
    }

    async fn send(
        &self,
        connection: &mut RedisConnection,
        call: &BatchCall<OpenRequest>,
    ) -> Result<Vec<RedisResult<OpenReply>>, RequestError> {
        let replies = script::run_batch(connection, &*self.scripts, || self.batch(call)).await?;
        Ok(OpenReply::read_all(&call.items, replies)?)
    }

    /// The call of the script, followed by the reads of those inboxes that the script does not read itself. If
    /// another socket holds an inbox, only the first number of its read is used. A message that is stored between
    /// the call and the read is read, and also arrives by the bus.
    fn batch(&self, call: &BatchCall<OpenRequest>) -> Batch {
        let names = self.names.project(&call.project);
        let mut command = inbox_call(&self.scripts.open, &names, &[names.members(&Target::Everyone)], &[]);
        let mut batch = Batch::default();
        for OpenRequest { user, socket, after, max } in &call.items {
            let after = after.map(|after| after.0.to_be_bytes());
            command.arg(user.as_bytes()).arg(socket.as_bytes());
            command.arg(after.as_ref().map_or(b"".as_slice(), |after| after)).arg(max);
        }
        batch.push(names.base(), command);
        for request in call.items.iter().filter(|request| request.reads_front()) {
            batch.push(names.base(), read_front(&names, request));
        }
        batch
    }
}

impl BatchItem for OpenRequest {
    type Reply = RedisResult<OpenReply>;

    fn users(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        INBOX_BYTES
    }
}

impl OpenRequest {
    /// Whether it reads from the oldest message on.
    fn reads_front(&self) -> bool {
        self.after.is_none() && self.max > 0
    }
}

/// Reads the oldest messages.
fn read_front(names: &ProjectNames, request: &OpenRequest) -> Cmd {
    let mut command = cmd("LRANGE");
    command.arg(names.inbox_of(&request.user)).arg(0).arg(2 * request.max - 1);
    command
}

impl OpenReply {
    /// Splits the replies of one call by request.
    fn read_all(requests: &[OpenRequest], replies: Vec<Value>) -> RedisResult<Vec<RedisResult<Self>>> {
        let mut replies = replies.into_iter();
        let of_script = replies.next().unwrap_or(Value::Nil).extract_error()?;
        let mut of_script = Vec::<Value>::from_redis_value(of_script)?.into_iter();
        let now_ms = of_script.next().as_ref().and_then(integer).unwrap_or(0).try_into().unwrap_or(0);
        let read = |request: &OpenRequest| {
            let front = if request.reads_front() { replies.next() } else { None };
            Self::read(now_ms, of_script.next().unwrap_or(Value::Nil), front)
        };
        Ok(requests.iter().map(read).collect())
    }

    /// `of_script` is the script's result for one request, `front` the front of the inbox if it was read.
    fn read(now_ms: u64, of_script: Value, front: Option<Value>) -> RedisResult<Self> {
        let mut held_by = None;
        let elements = match of_script {
            Value::Nil => {
                let reason = "the inbox key has the wrong type";
                return Err(RedisError::from((ErrorKind::UnexpectedReturnType, reason)));
            }
            Value::Array(elements) => elements,
            other => {
                if let Value::BulkString(holder) = other {
                    held_by = socket_of(&holder);
                }
                Vec::from_redis_value(front.unwrap_or(Value::Nil).extract_error()?)?
            }
        };
        let bytes = |element| match element {
            Value::BulkString(bytes) => Some(bytes.into()),
            _ => None,
        };
        Ok(OpenReply { now_ms, held_by, elements: elements.into_iter().filter_map(bytes).collect() })
    }
}

/// The socket that holds an inbox, if there is one.
fn socket_of(holder: &[u8]) -> Option<SocketId> {
    Some(SocketId::from_bytes(holder.try_into().ok()?))
}
