//! Appending messages to inboxes and publishing them, each call in one step.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{Counter, Gauge, counter, gauge};
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_backplane::{InboxLimits, Stored};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use switchboard_log::{limited, printable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batch_queue::{BatchCall, BatchItem, BatchQueue, CALL_BYTES_MAX, CALL_USERS_MAX};
use super::scripts::{InboxScripts, inbox_call, retention_ms};
use crate::connection::{RedisConnection, script};
use crate::envelope;
use crate::error::RequestError;
use crate::names::Names;

/// Maximum size of all requests that are queued or in flight, over all projects, in KiB: 16 MiB. A request beyond
/// it waits.
const QUEUED_KIB_MAX: u32 = 16 * 1024;

/// Approximate overhead in bytes of a message, and of each of its users.
const MESSAGE_OVERHEAD: usize = 256;
const USER_OVERHEAD: usize = 32;

/// A message for some users, each once.
struct Message {
    users: Vec<UserId>,
    event: Event,
    _permit: OwnedSemaphorePermit,
}

/// Appends messages to inboxes. It needs no lease, so a process that is not a node can use it.
pub(crate) struct Appender {
    names: Names,
    limits: Mutex<InboxLimits>,
    verb: &'static str,
    scripts: Arc<InboxScripts>,
    queue: BatchQueue<Message>,
    capacity: Arc<Semaphore>,
    queued_bytes: Gauge,
    /// Projects that are registered as having inboxes.
    registered: Mutex<HashSet<ProjectId>>,
    stored: Counter,
    evicted: Counter,
    rejected: Counter,
}

impl Appender {
    pub(crate) fn new(
        names: Names,
        limits: InboxLimits,
        verb: &'static str,
        scripts: Arc<InboxScripts>,
    ) -> Self {
        Appender {
            names,
            limits: Mutex::new(limits),
            verb,
            scripts,
            queue: BatchQueue::default(),
            capacity: Arc::new(Semaphore::new(QUEUED_KIB_MAX as usize)),
            queued_bytes: gauge!("switchboard_queue_bytes", "queue" => "inbox"),
            registered: Mutex::default(),
            stored: counter!("switchboard_inbox_stored_total"),
            evicted: counter!("switchboard_inbox_evicted_total"),
            rejected: counter!("switchboard_undelivered_total", "reason" => "inbox_full"),
        }
    }

    /// Called with each new connection before it is announced as up. The connection may lead to another server,
    /// in which the projects are not registered.
    pub(crate) fn reconnected(&self) {
        self.registered().clear();
        self.queue.open();
    }

    /// Sets the bounds of messages that are appended from now on.
    pub(crate) fn set_limits(&self, limits: InboxLimits) {
        *self.limits.lock().expect("no code that holds the limits panics") = limits;
    }

    /// Calls Redis for queued messages. When it is dropped, requests fail until the next connection.
    pub(crate) async fn run(&self, connection: &RedisConnection) -> Infallible {
        self.queue.run(|call| self.call(connection.clone(), call)).await
    }

    fn registered(&self) -> MutexGuard<'_, HashSet<ProjectId>> {
        self.registered.lock().expect("no code that holds the projects panics")
    }

    /// Appends a message to the inboxes of users. After an error it may be in some or all of them, and a
    /// second attempt may store it twice. Fails at once without a connection.
    pub(crate) async fn append(
        &self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
    ) -> Result<Stored, RequestError> {
        if users.len() <= 1 {
            return self.append_some(project, users.to_vec(), event).await;
        }
        let mut known = HashSet::with_capacity(users.len());
        let users: Vec<&UserId> = users.iter().filter(|user| known.insert(*user)).collect();
        let mut total = Stored { number: MessageNumber(0), inboxes: 0, evicted: 0 };
        let users_max = CALL_BYTES_MAX / event.data.as_bytes().len().max(1);
        for users in users.chunks(users_max.clamp(1, CALL_USERS_MAX)) {
            let some = users.iter().copied().cloned().collect();
            let stored = self.append_some(project, some, event).await?;
            total.number = stored.number;
            total.inboxes += stored.inboxes;
            total.evicted += stored.evicted;
        }
        Ok(total)
    }

    async fn append_some(
        &self,
        project: &ProjectId,
        users: Vec<UserId>,
        event: &Event,
    ) -> Result<Stored, RequestError> {
        let bytes = MESSAGE_OVERHEAD + USER_OVERHEAD * users.len() + event.data.as_bytes().len();
        let kib = u32::try_from(bytes.div_ceil(1024)).map_or(QUEUED_KIB_MAX, |kib| kib.min(QUEUED_KIB_MAX));
        // Without yielding if there is capacity, so that messages are stored in the order of the calls.
        let permit = match self.capacity.clone().try_acquire_many_owned(kib) {
            Ok(permit) => permit,
            Err(_) => {
                let permit = self.capacity.clone().acquire_many_owned(kib).await;
                permit.map_err(|_| RequestError::Disconnected)?
            }
        };
        self.measure();
        self.queue.request(project, Message { users, event: event.clone(), _permit: permit }).await
    }

    fn measure(&self) {
        let taken = (QUEUED_KIB_MAX as usize).saturating_sub(self.capacity.available_permits());
        self.queued_bytes.set(taken as f64 * 1024.0);
    }

    async fn call(&self, mut connection: RedisConnection, call: BatchCall<Message>) {
        let replies = self.send(&mut connection, &call.project, &call.items).await;
        call.finish(replies);
        self.measure();
    }

    async fn send(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
        messages: &[Message],
    ) -> Result<Vec<Stored>, RequestError> {
        self.register(connection, project).await?;
        let call = self.script_call(project, messages);
        let reply = script::run(connection, &*self.scripts, &call).await?;
        let AppendReply { stored, rejected, failed } = AppendReply::read(reply, messages)?;
        self.stored.increment(stored.iter().map(|stored| stored.inboxes as u64).sum());
        self.evicted.increment(stored.iter().map(|stored| stored.evicted as u64).sum());
        self.rejected.increment(rejected + failed);
        if failed > 0 {
            limited!(
                ERROR,
                project = printable(project),
                failed,
                "inbox key has the wrong type; messages not stored"
            );
        }
        Ok(stored)
    }

    fn script_call(&self, project: &ProjectId, messages: &[Message]) -> Cmd {
        let names = self.names.project(project);
        let [head, behind] = envelope::around_number(project);
        let InboxLimits { messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max } =
            *self.limits.lock().expect("no code that holds the limits panics");
        let limits =
            [retention_ms(age_max_ms), messages_max, bytes_max, project_messages_max, project_bytes_max]
                .map(|limit| limit.to_string());
        // CALL_USERS_MAX fits into two bytes.
        let counts = messages.iter().flat_map(|message| (message.users.len() as u16).to_be_bytes());
        let counts: Vec<u8> = counts.collect();
        let mut args: Vec<&[u8]> = vec![self.verb.as_bytes(), &head, &behind];
        args.extend(limits.iter().map(|limit| limit.as_bytes()));
        args.push(&counts);
        let keys = [names.inbox_last(), names.users()];
        let mut command = inbox_call(&self.scripts.put, &names, &keys, &args);
        let mut encoded = Vec::new();
        for message in messages {
            encoded.clear();
            message.event.write(&mut encoded);
            command.arg(&encoded);
        }
        for user in messages.iter().flat_map(|message| &message.users) {
            command.arg(user.as_bytes());
        }
        command
    }

    /// Registers a project as having inboxes, before it has any.
    pub(super) async fn register(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
    ) -> RedisResult<()> {
        if self.registered().contains(project) {
            return Ok(());
        }
        let _: i64 = connection.query(cmd("SADD").arg(self.names.inboxes()).arg(&**project)).await?;
        self.registered().insert(project.clone());
        Ok(())
    }
}

impl BatchItem for Message {
    type Reply = Stored;

    fn users(&self) -> usize {
        self.users.len()
    }

    fn bytes(&self) -> usize {
        self.event.data.as_bytes().len() * self.users.len()
    }
}

/// The outcome of one call.
struct AppendReply {
    stored: Vec<Stored>,
    rejected: u64,
    failed: u64,
}

impl AppendReply {
    /// The script returns the first number, and five counts for each message that is not in all its inboxes
    /// without an eviction. The numbers of a call are consecutive.
    fn read(reply: Value, messages: &[Message]) -> RedisResult<Self> {
        let mut parts = Vec::<Value>::from_redis_value(reply)?.into_iter();
        let first = Vec::<u8>::from_redis_value(parts.next().unwrap_or(Value::Nil))?;
        let first = first.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let in_all = |(message, number): (&Message, u64)| Stored {
            number: MessageNumber(number),
            inboxes: message.users.len(),
            evicted: 0,
        };
        let stored = messages.iter().zip(first..).map(in_all).collect();
        let mut reply = AppendReply { stored, rejected: 0, failed: 0 };
        let counts =
            parts.map(usize::from_redis_value).collect::<Result<Vec<_>, _>>().map_err(RedisError::from)?;
        for counts in counts.chunks_exact(5) {
            if let Some(stored) = reply.stored.get_mut(counts[0]) {
                (stored.inboxes, stored.evicted) = (counts[1], counts[2]);
            }
            reply.rejected += counts[3] as u64;
            reply.failed += counts[4] as u64;
        }
        Ok(reply)
    }
}
