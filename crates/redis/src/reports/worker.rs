//! A worker's place in a group, through Redis: its lease and its partitions, the reports in them, and the
//! way back for answers. What is done with the reports is the matter of `switchboard-worker`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, PushInfo, PushKind, RedisError, Value};
use switchboard_backplane::{ReplyAddress, Report, ReportId};
use switchboard_event::{Name, NodeId, Payload, ProjectId};

use super::{WorkerScripts, record};
use crate::ConnectError;
use crate::connection::script::call;
use crate::connection::{Batch, Connected, Link, Source, ignore};
use crate::envelope::{self, Stamp};
use crate::names::{Names, ProjectNames};
use crate::options::{ANSWER_WITHIN, Options};

/// How many partitions there are where no node has said.
const PARTITIONS: &str = "16";

/// Most ids in one command: Lua has so much room for arguments.
const IDS_MAX: usize = 1000;

/// Redis did not do what a worker asked of it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WorkError(#[from] RedisError);

/// Which worker of which group of which project.
#[derive(Debug, Clone)]
pub struct Place {
    /// The project.
    pub project: ProjectId,
    /// The group.
    pub group: Name,
    /// The worker; no two are the same.
    pub worker: String,
    /// After how long a worker that says nothing has lost its partitions.
    pub lease: Duration,
    /// How long a group without workers stands.
    pub stands: Duration,
}

/// Where a worker reports for work.
pub struct Post {
    source: Arc<Source>,
    names: Names,
    of_project: ProjectNames,
    place: Place,
    scripts: WorkerScripts,
}

/// An entry of a stream: when it was put there, in ms by the clock of Redis, and which of that ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// The time.
    pub ms: u64,
    /// The number in it.
    pub number: u64,
}

/// A report as it waits.
#[derive(Debug)]
pub struct Entry {
    /// Where.
    pub partition: u16,
    /// Which.
    pub id: EntryId,
    /// What; none if it is no report.
    pub report: Option<(ReportId, Report)>,
}

/// What a worker has a right to now.
#[derive(Debug)]
pub struct Claim {
    /// The time by the clock of Redis, in ms.
    pub now_ms: u64,
    /// How many partitions it should have.
    pub share: usize,
    /// Those that it has; true if the owner before died with it.
    pub owned: Vec<(u16, bool)>,
}

/// A worker's connection.
pub struct Desk {
    post: Arc<Post>,
    connected: Connected,
}

/// A connection to read with; it waits where nothing is.
pub struct Reader {
    post: Arc<Post>,
    link: Link,
}

impl Post {
    /// Says what of the options cannot be used, without asking anybody.
    pub fn new(options: &Options, place: Place) -> Result<Arc<Self>, ConnectError> {
        let source = Arc::new(Source::new(options).map_err(ConnectError::Options)?);
        let names = Names::new(&options.prefix);
        let of_project = names.project(&place.project);
        Ok(Arc::new(Post { source, names, of_project, place, scripts: WorkerScripts::new() }))
    }

    /// Connects. `on_change` is called when something in the group has changed.
    pub async fn open(
        self: &Arc<Self>,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Desk, Reader), ConnectError> {
        let opened = self.open_both(on_change).await;
        opened.map_err(|cause| ConnectError::Unreachable { addresses: self.source.addresses().into(), cause })
    }

    async fn open_both(
        self: &Arc<Self>,
        on_change: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Desk, Reader), RedisError> {
        let group = self.place.group.clone();
        let on_push = move |PushInfo { kind, data }: PushInfo| {
            let of_group = matches!(&data[..], [_, Value::BulkString(name)] if **name == *group.as_bytes());
            if matches!(kind, PushKind::Message | PushKind::SMessage) && of_group {
                on_change();
            }
        };
        let connected = self.source.connect(Box::new(on_push)).await?;
        let mut link = connected.link.clone();
        self.scripts.load(&mut link).await?;
        link.subscribe(&[self.of_project.work_channel()]).await?;
        let reader = Reader { post: self.clone(), link: self.source.connect(ignore()).await?.link };
        Ok((Desk { post: self.clone(), connected }, reader))
    }

    /// Renewed three times as often as it ends.
    pub fn renew_every(&self) -> Duration {
        self.place.lease / 3
    }

    /// How long what Redis was last asked for holds.
    pub fn lease(&self) -> Duration {
        self.place.lease
    }

    /// Which it is.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl Desk {
    /// When the connection has ended.
    pub async fn cut(&self) -> WorkError {
        WorkError(self.connected.cut().await)
    }

    fn link(&self) -> Link {
        self.connected.link.clone()
    }

    /// Renews the lease, gives up some partitions in which nothing is left undone, and takes what is due.
    pub async fn share(&self, given_up: &[u16]) -> Result<Claim, WorkError> {
        let Post { source, of_project: names, place, scripts, .. } = &*self.post;
        let keys = [
            names.work_groups(),
            names.work_partitions(),
            names.workers(&place.group),
            names.owners(&place.group),
        ];
        let ms = |duration: Duration| duration.as_millis().to_string();
        let mut args = vec![source.publish_verb().to_owned(), names.work_channel(), place.group.to_string()];
        args.extend([place.worker.clone(), ms(place.lease), ms(place.stands), PARTITIONS.into()]);
        args.extend(given_up.iter().map(u16::to_string));
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let answer: Vec<Value> = self.link().ask(&call(&scripts.share, &keys, &args)).await?;
        let mut answer = answer.into_iter();
        let mut number =
            || answer.next().map(u64::from_redis_value).transpose().map(Option::unwrap_or_default);
        let (now_ms, share) = (number().map_err(RedisError::from)?, number().map_err(RedisError::from)?);
        let mut owned = Vec::new();
        for partition in answer {
            let text = String::from_redis_value(partition).map_err(RedisError::from)?;
            let bare = text.strip_prefix('!');
            if let Ok(partition) = bare.unwrap_or(&text).parse() {
                owned.push((partition, bare.is_some()));
            }
        }
        Ok(Claim { now_ms, share: share as usize, owned })
    }

    /// Takes reports out that were handled. Those of partitions that are another's now stay.
    pub async fn finish(&self, done: &[(u16, EntryId)]) -> Result<(), WorkError> {
        let Post { of_project: names, place, scripts, .. } = &*self.post;
        let mut batch = Batch::default();
        for some in done.chunks(IDS_MAX) {
            let mut some = some.to_vec();
            some.sort_unstable();
            let mut args: Vec<String> =
                vec![names.base().into(), place.group.to_string(), place.worker.clone()];
            for ids in some.chunk_by(|one, next| one.0 == next.0) {
                args.extend([ids[0].0.to_string(), ids.len().to_string()]);
                args.extend(ids.iter().map(|(_, id)| id.to_string()));
            }
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            batch.push(names.base(), call(&scripts.finish, &[names.owners(&place.group)], &args));
        }
        for answer in self.link().run(batch).await? {
            answer.extract_error()?;
        }
        Ok(())
    }

    /// Sends answers to the nodes that wait for them.
    pub async fn answer(&self, answers: Vec<(ReplyAddress, Payload)>) -> Result<(), WorkError> {
        let mut batch = Batch::default();
        for (to, data) in answers {
            let names = self.post.names.project(&to.project);
            let mut command = redis::cmd(self.post.source.publish_verb());
            command.arg(names.node_channel(to.call.node()));
            // Of no node, so that every node takes it for another's.
            let message = envelope::encode(&to.publication(data), Stamp { node: NodeId(0), number: 0 });
            command.arg(&*message);
            batch.push(names.base(), command);
        }
        for answer in self.link().run(batch).await? {
            answer.extract_error()?;
        }
        Ok(())
    }

    /// Leaves the group. In the partitions that are named nothing is left undone.
    pub async fn leave(&self, clean: &[u16]) -> Result<(), WorkError> {
        let Post { source, of_project: names, place, scripts, .. } = &*self.post;
        let mut args = vec![source.publish_verb().to_owned(), names.work_channel(), place.group.to_string()];
        args.push(place.worker.clone());
        args.extend(clean.iter().map(u16::to_string));
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let keys = [names.workers(&place.group), names.owners(&place.group)];
        let left = self.link();
        let command = call(&scripts.leave, &keys, &args);
        let answer = tokio::time::timeout(ANSWER_WITHIN, async move { left.clone().command(&command).await });
        if let Ok(answer) = answer.await {
            answer?.extract_error()?;
        }
        Ok(())
    }
}

impl Reader {
    /// What stands in some partitions behind an entry, at most so many of each. Where there is nothing
    /// it waits, at most so long, and that less than 2 s; what is called meanwhile waits behind it.
    pub async fn read(
        &mut self,
        after: &[(u16, EntryId)],
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<Entry>, WorkError> {
        let Post { of_project: names, place, .. } = &*self.post;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(most);
        if let Some(wait) = wait {
            command.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
        }
        command.arg("STREAMS");
        let keys: Vec<String> =
            after.iter().map(|(partition, _)| names.work(*partition, &place.group)).collect();
        keys.iter().for_each(|key| {
            command.arg(key);
        });
        for (_, id) in after {
            command.arg(id.to_string());
        }
        type Fields = Vec<(Vec<u8>, Vec<u8>)>;
        type Streams = Vec<(String, Vec<(String, Fields)>)>;
        let streams: Option<Streams> = self.link.ask(&command).await?;
        let mut entries = Vec::new();
        for (key, list) in streams.unwrap_or_default() {
            let Some(at) = keys.iter().position(|known| *known == key) else { continue };
            for (id, fields) in list {
                let Some(id) = EntryId::of(&id) else { continue };
                let bytes = fields.into_iter().find(|(field, _)| field == b"r");
                let report = bytes.and_then(|(_, bytes)| {
                    record::decode(&place.project, &Bytes::from(bytes))
                        .inspect_err(|error| tracing::warn!(%error, key, "what is no report is taken out"))
                        .ok()
                });
                entries.push(Entry { partition: after[at].0, id, report });
            }
        }
        Ok(entries)
    }
}

impl EntryId {
    fn of(text: &str) -> Option<Self> {
        let (ms, number) = text.split_once('-')?;
        Some(EntryId { ms: ms.parse().ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}
