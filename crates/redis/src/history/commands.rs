//! The scripts of the history, their calls and replies.

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value};
use switchboard_backplane::{
    Content, HistoryLimits, HistoryPage, HistoryRange, Publication, RecordedMessage,
};
use switchboard_event::{Epoch, ProjectId, RoomName, SocketId, Target};

use super::queue::Queued;
use crate::connection::script::{Script, ScriptSet};
use crate::envelope::{self, Stamp};
use crate::names::{Names, ProjectNames};
use crate::whole_ms::MS_MAX;

/// How long an epoch without messages is kept after the last use of the room: 1 hour.
const EMPTY_MAX_MS: u64 = 60 * 60 * 1000;

/// How long the era of a project is kept; without one another era begins.
const ERA_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// Lua counts exactly up to this.
const OFFSET_MAX: u64 = 1 << 52;

pub(super) struct HistoryScripts {
    pub(super) append: Script,
    pub(super) read: Script,
}

impl HistoryScripts {
    pub(super) fn new() -> Self {
        const LOG: &str = include_str!("scripts/log.lua");
        HistoryScripts {
            append: Script::new([LOG, include_str!("scripts/append.lua")].concat()),
            // It frees memory, and writes only the values that it read.
            read: Script::allow_oom(&[LOG, include_str!("scripts/read.lua")].concat()),
        }
    }
}

impl ScriptSet for HistoryScripts {
    fn scripts(&self) -> Vec<&Script> {
        vec![&self.append, &self.read]
    }
}

/// Commands on the history of one room.
pub(super) struct RoomCommands<'a> {
    names: ProjectNames,
    room: &'a RoomName,
    limits: &'a HistoryLimits,
}

impl<'a> RoomCommands<'a> {
    pub(super) fn new(
        names: &Names,
        project: &ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
    ) -> Self {
        RoomCommands { names: names.project(project), room, limits }
    }

    /// The prefix of all names of the project.
    pub(super) fn route(&self) -> &str {
        self.names.base()
    }

    fn call(&self, script: &Script, data_id: &str, args: &[&[u8]]) -> Cmd {
        let HistoryLimits { messages_max, age_max_ms, bytes_max } = *self.limits;
        let age_ms = age_max_ms.clamp(1, MS_MAX / 2);
        let texts = [age_ms, age_ms + EMPTY_MAX_MS, messages_max.min(OFFSET_MAX), bytes_max.min(OFFSET_MAX)]
            .map(|number| number.to_string());
        let next_epoch = random().to_be_bytes();
        let mut all: Vec<&[u8]> = vec![data_id.as_bytes(), &next_epoch];
        all.extend(texts.iter().map(|text| text.as_bytes()));
        all.extend_from_slice(args);
        script.call(&self.names.history(self.room), &all)
    }

    /// Numbers messages of the room, keeps and publishes them.
    pub(super) fn append(&self, script: &Script, to: Destination<'_>, messages: &[&Queued]) -> Cmd {
        let channel = self.names.channel(&Target::Room(self.room.clone()));
        let mut args: Vec<Bytes> = vec![to.verb.into(), channel.into()];
        for Queued { number, size, publication, .. } in messages {
            let [head, event] =
                envelope::around_position(publication, Stamp { node: to.node, number: *number });
            args.extend([size.to_string().into(), head, event]);
        }
        let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
        self.call(script, to.data_id, &args)
    }

    pub(super) fn read(&self, script: &Script, data_id: &str, range: HistoryRange, limit: usize) -> Cmd {
        let (direction, offset) = match range {
            HistoryRange::Latest => ("before", OFFSET_MAX),
            HistoryRange::Before(offset) => ("before", offset),
            HistoryRange::After(offset) => ("after", offset),
        };
        let [offset, limit] = [offset, limit as u64].map(|number| number.min(OFFSET_MAX).to_string());
        self.call(script, data_id, &[direction.as_bytes(), offset.as_bytes(), limit.as_bytes()])
    }

    pub(super) fn clear(&self) -> Cmd {
        let [list, meta, _] = self.names.history(self.room);
        let mut command = redis::cmd("DEL");
        command.arg(list).arg(meta);
        command
    }
}

/// Where messages are numbered and published.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) data_id: &'a str,
    pub(super) verb: &'static str,
    pub(super) node: switchboard_event::NodeId,
}

/// Begins an era: the next message of every room of the project begins an epoch.
pub(super) fn begin_era(names: &ProjectNames) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(names.history_era()).arg(random()).arg("PX").arg(ERA_MAX_MS);
    command
}

fn random() -> u64 {
    SocketId::random().spread()
}

/// Reads the reply of the script `read`.
pub(super) fn read_page(reply: Value) -> RedisResult<HistoryPage> {
    type Reply = (Vec<u8>, u64, u64, u64, Vec<Vec<u8>>);
    let (epoch, top, count, from, elements) = Reply::from_redis_value(reply)?;
    let epoch = epoch.try_into().map_err(|_| invalid("an epoch has 8 bytes"))?;
    let messages = elements.chunks_exact(3).zip(from..);
    let messages = messages.map(|(elements, offset)| message(offset, &elements[1], &elements[2]));
    Ok(HistoryPage {
        epoch: Epoch(u64::from_be_bytes(epoch)),
        top,
        first: top + 1 - count,
        messages: messages.collect::<RedisResult<_>>()?,
    })
}

fn message(offset: u64, head: &[u8], event: &[u8]) -> RedisResult<RecordedMessage> {
    let whole = [head, &[0; envelope::POSITION_BYTES], event].concat();
    match envelope::decode(whole.into()) {
        Ok(Publication { audience, content: Content::Event { event, .. }, .. }) => {
            Ok(RecordedMessage { offset, except: audience.except, event })
        }
        _ => Err(invalid("a message in a history cannot be decoded")),
    }
}

fn invalid(reason: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, reason))
}
