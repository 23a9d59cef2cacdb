//! Keeping messages and publishing them, each call in one step.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use metrics::{Counter, counter};
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_backplane::{InboxLimits, Stored};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batch_queue::{CALL_BYTES_MAX, CALL_USERS_MAX, Call, Part, Piles};
use super::scripts::Scripts;
use super::{ask_script, inbox_call, waits_ms};
use crate::connection::Link;
use crate::envelope;
use crate::names::Names;
use crate::store::NoAnswer;

/// How much may wait or be under way in KiB, all projects together: 16 MiB. Who comes on top waits for room.
const ROOM_KIB: u32 = 16 * 1024;

/// What a message takes besides its event and for each user, about.
const PUT_BYTES: usize = 256;
const USER_BYTES: usize = 32;

/// A message for some users, each once.
struct Put {
    users: Vec<UserId>,
    event: Event,
    _room: OwnedSemaphorePermit,
}

/// Puts messages into inboxes. Needs no lease, so that who is no node can.
pub(crate) struct Putting {
    names: Names,
    limits: Mutex<InboxLimits>,
    verb: &'static str,
    scripts: Arc<Scripts>,
    piles: Piles<Put>,
    room: Arc<Semaphore>,
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
            limits: Mutex::new(limits),
            verb,
            scripts,
            piles: Piles::default(),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            noted: Mutex::default(),
            kept: counter!("switchboard_inbox_stored_total"),
            displaced: counter!("switchboard_inbox_evicted_total"),
            refused: counter!("switchboard_inbox_refused_total"),
        }
    }

    /// To be called with every new connection, before it is said to be there: another Redis may know nothing.
    pub(crate) fn begin_anew(&self) {
        self.noted.lock().expect("no code that holds the projects panics").clear();
        self.piles.open();
    }

    /// What is put from now on is bounded by these.
    pub(crate) fn keep_to(&self, limits: InboxLimits) {
        *self.limits.lock().expect("no code that holds the limits panics") = limits;
    }

    /// Calls Redis for what is put, as long as somebody polls; then nothing can be put.
    pub(crate) async fn run(&self, link: &Link) -> Infallible {
        self.piles.run(|call| self.call(link.clone(), call)).await
    }

    /// Puts a message into the inboxes of users. After an error it may be in some or all of them: who
    /// puts it again may have it there twice. Fails at once if there is no connection.
    pub(crate) async fn put(
        &self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
    ) -> Result<Stored, NoAnswer> {
        if users.len() <= 1 {
            return self.put_part(project, users.to_vec(), event).await;
        }
        let mut known = HashSet::with_capacity(users.len());
        let users: Vec<&UserId> = users.iter().filter(|user| known.insert(*user)).collect();
        let mut all = Stored { number: MessageNumber(0), inboxes: 0, evicted: 0 };
        let users_max = CALL_BYTES_MAX / event.data.as_bytes().len().max(1);
        for users in users.chunks(users_max.clamp(1, CALL_USERS_MAX)) {
            let part = self.put_part(project, users.iter().copied().cloned().collect(), event).await?;
            all.number = part.number;
            all.inboxes += part.inboxes;
            all.evicted += part.evicted;
        }
        Ok(all)
    }

    /// Waits for room first.
    async fn put_part(
        &self,
        project: &ProjectId,
        users: Vec<UserId>,
        event: &Event,
    ) -> Result<Stored, NoAnswer> {
        let bytes = PUT_BYTES + USER_BYTES * users.len() + event.data.as_bytes().len();
        let kib = u32::try_from(bytes.div_ceil(1024)).map_or(ROOM_KIB, |kib| kib.min(ROOM_KIB));
        // Without a pause if there is room: what is put first is kept first.
        let room = match self.room.clone().try_acquire_many_owned(kib) {
            Ok(room) => room,
            Err(_) => self.room.clone().acquire_many_owned(kib).await.map_err(|_| NoAnswer::Away)?,
        };
        self.piles.ask(project, Put { users, event: event.clone(), _room: room }).await
    }

    async fn call(&self, mut link: Link, call: Call<Put>) {
        let kept = self.ask(&mut link, &call.project, &call.parts).await;
        call.tell(kept);
    }

    async fn ask(&self, link: &mut Link, project: &ProjectId, puts: &[Put]) -> Result<Vec<Stored>, NoAnswer> {
        self.note(link, project).await?;
        let answer = ask_script(link, &self.scripts, &self.command(project, puts)).await?;
        let Answer { kept, refused, failed } = Answer::read(answer, puts)?;
        self.kept.increment(kept.iter().map(|kept| kept.inboxes as u64).sum());
        self.displaced.increment(kept.iter().map(|kept| kept.evicted as u64).sum());
        self.refused.increment(refused + failed);
        if failed > 0 {
            tracing::error!(%project, failed, "keys of inboxes hold something else; nothing is kept for their users");
        }
        Ok(kept)
    }

    fn command(&self, project: &ProjectId, puts: &[Put]) -> Cmd {
        let names = self.names.project(project);
        let [head, behind] = envelope::kept(project);
        let InboxLimits { messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max } =
            *self.limits.lock().expect("no code that holds the limits panics");
        let limits = [waits_ms(age_max_ms), messages_max, bytes_max, project_messages_max, project_bytes_max]
            .map(|limit| limit.to_string());
        // CALL_USERS_MAX fits into two bytes.
        let counts: Vec<u8> = puts.iter().flat_map(|put| (put.users.len() as u16).to_be_bytes()).collect();
        let mut args: Vec<&[u8]> = vec![self.verb.as_bytes(), &head, &behind];
        args.extend(limits.iter().map(|limit| limit.as_bytes()));
        args.push(&counts);
        let keys = [names.inbox_last(), names.users()];
        let mut command = inbox_call(&self.scripts.put, &names, &keys, &args);
        let mut written = Vec::new();
        for put in puts {
            written.clear();
            put.event.write(&mut written);
            command.arg(&written);
        }
        for user in puts.iter().flat_map(|put| &put.users) {
            command.arg(user.as_bytes());
        }
        command
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

impl Part for Put {
    type Answer = Stored;

    fn users(&self) -> usize {
        self.users.len()
    }

    fn bytes(&self) -> usize {
        self.event.data.as_bytes().len() * self.users.len()
    }
}

/// What became of the messages of one call.
struct Answer {
    kept: Vec<Stored>,
    refused: u64,
    failed: u64,
}

impl Answer {
    /// Numbers of a call follow each other; only of a message that is not simply kept more is said.
    fn read(answer: Value, puts: &[Put]) -> RedisResult<Self> {
        let mut parts = Vec::<Value>::from_redis_value(answer)?.into_iter();
        let first = Vec::<u8>::from_redis_value(parts.next().unwrap_or(Value::Nil))?;
        let first = first.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let simply = |(put, number): (&Put, u64)| Stored {
            number: MessageNumber(number),
            inboxes: put.users.len(),
            evicted: 0,
        };
        let mut all = Answer { kept: puts.iter().zip(first..).map(simply).collect(), refused: 0, failed: 0 };
        let counts =
            parts.map(usize::from_redis_value).collect::<Result<Vec<_>, _>>().map_err(RedisError::from)?;
        for counts in counts.chunks_exact(5) {
            if let Some(kept) = all.kept.get_mut(counts[0]) {
                (kept.inboxes, kept.evicted) = (counts[1], counts[2]);
            }
            all.refused += counts[3] as u64;
            all.failed += counts[4] as u64;
        }
        Ok(all)
    }
}
