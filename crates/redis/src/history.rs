//! The history of rooms in Redis.
//!
//! One script numbers messages, keeps them and publishes them to all nodes, this one included, so every node receives the
//! messages of a room in the order of their offsets. Messages wait in a queue for the connection of the history. While
//! Redis is away they are delivered without positions; afterwards the project begins an era, and every room an epoch.

mod commands;
mod queue;
mod shared;
mod writer;

use std::sync::{Arc, Weak};

use redis::Value;
use switchboard_backplane::{
    AppendOutcome, BackplaneError, BackplaneFuture, BoxFuture, Content, History, HistoryLimits, HistoryPage,
    HistoryRange, Publication, Receiver, RoomMessage,
};
use switchboard_event::{Audience, OverflowPolicy, Position, ProjectId, RoomName, Target};
use tokio::time::timeout;

use crate::bus::RedisBus;
use crate::connection::script;
use crate::context::Context;
use crate::error::RequestError;
use crate::options::REPLY_TIMEOUT;
use commands::{RoomCommands, read_page};
use shared::{Connected, HistoryShared};
use writer::HistoryWriter;

/// Keeps the history of rooms in Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisHistory {
    shared: Arc<HistoryShared>,
}

impl RedisHistory {
    pub(crate) fn start(context: &Arc<Context>, bus: Arc<RedisBus>) -> Arc<Self> {
        let shared = Arc::new(HistoryShared::new(context.clone(), bus.clone()));
        let weak = Arc::downgrade(&shared);
        bus.on_own_recorded(Box::new(move |number| {
            weak.upgrade().is_none_or(|shared| shared.queue.arrived(number))
        }));
        context.supervise(HistoryWriter::new(shared.clone()), None);
        Arc::new(RedisHistory { shared })
    }

    /// Completes once messages are numbered.
    pub(crate) async fn wait_until_up(&self) {
        // Fails only when the history is gone.
        let _ = self.shared.connected.subscribe().wait_for(Option::is_some).await;
    }

    async fn run(&self, command: impl FnOnce(&Connected) -> redis::Cmd) -> Result<Value, RequestError> {
        let connected = self.shared.connected.borrow().clone().ok_or(RequestError::Disconnected)?;
        let command = command(&connected);
        let mut connection = connected.connection;
        let reply = script::run(&mut connection, &*self.shared.scripts, &command);
        Ok(timeout(REPLY_TIMEOUT, reply).await.map_err(|_| RequestError::Timeout)??)
    }
}

impl History for RedisHistory {
    fn start(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.shared.receiver.set(receiver);
    }

    fn append(
        &self,
        message: RoomMessage<'_>,
        limits: &HistoryLimits,
        _: &mut dyn FnMut(Position),
    ) -> AppendOutcome {
        let RoomMessage { project, room, except, event } = message;
        let audience = Audience { to: vec![Target::Room(room.clone())], except: except.to_vec() };
        let content = Content::Event { event: event.clone(), policy: OverflowPolicy::Live, position: None };
        let publication = Publication { project: project.clone(), audience, content };
        let for_bridge = self.shared.bus.is_bridged(project).then(|| publication.clone());
        if !self.shared.queue.push(publication, room, *limits, message.size()) {
            return AppendOutcome::Unavailable;
        }
        // The script publishes to Switchboard nodes only. If the queue is full, original servers miss the message.
        if let Some(publication) = for_bridge {
            let _ = self.shared.bus.publish_to_bridge(&publication);
        }
        AppendOutcome::Queued
    }

    fn read<'a>(
        &'a self,
        project: &'a ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
        range: HistoryRange,
        limit: usize,
    ) -> BackplaneFuture<'a, HistoryPage> {
        Box::pin(async move {
            let commands = RoomCommands::new(&self.shared.context.names, project, room, limits);
            let scripts = self.shared.scripts.clone();
            let reply = self.run(|to| commands.read(&scripts.read, &to.data_id, range, limit)).await?;
            read_page(reply).map_err(|error| BackplaneError(Box::new(error)))
        })
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, room: &'a RoomName) -> BackplaneFuture<'a, ()> {
        Box::pin(async move {
            let limits = HistoryLimits::default();
            let commands = RoomCommands::new(&self.shared.context.names, project, room, &limits);
            self.run(|_| commands.clear()).await?;
            Ok(())
        })
    }

    fn is_up(&self) -> bool {
        self.shared.connected.borrow().is_some()
    }

    fn has_holes(&self) -> bool {
        true
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.queue.wait_until_empty())
    }
}
