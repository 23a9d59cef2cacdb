//! The task that serves the connection of the history: it numbers queued messages, one pipeline at a time.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use metrics::{Counter, counter};
use redis::{RedisResult, Value};
use switchboard_backplane::{Bus, Content, IfUnreached};
use switchboard_log::{limited, printable_error};
use tokio::time::timeout;

use super::commands::{Destination, RoomCommands, begin_era};
use super::queue::Queued;
use super::shared::{Connected, HistoryShared};
use crate::connection::{Batch, RedisConnection, Session, Up, is_no_master, script};
use crate::options::REPLY_TIMEOUT;

pub(super) struct HistoryWriter {
    shared: Arc<HistoryShared>,
    /// Messages that were sent and have no reply yet.
    unconfirmed: Vec<Queued>,
    /// Messages that may not have reached other nodes.
    lost: Counter,
}

/// The messages of one room in a pipeline: their places in it.
type RoomPlaces = Vec<usize>;

impl HistoryWriter {
    pub(super) fn new(shared: Arc<HistoryShared>) -> Self {
        let lost = counter!("switchboard_undelivered_total", "reason" => "bus_interrupted");
        HistoryWriter { shared, unconfirmed: Vec::new(), lost }
    }

    async fn write(&mut self, connected: &Connected) -> RedisResult<()> {
        let shared = self.shared.clone();
        self.begin_eras(&connected.connection).await?;
        self.unconfirmed = shared.queue.take();
        if self.unconfirmed.is_empty() {
            return Ok(());
        }
        // Members that joined before the send then receive it, because this node receives it like every other.
        shared.bus.settled().await;
        let rooms = by_room(&self.unconfirmed);
        let mut replies = connected.connection.run(self.batch(connected, &rooms)).await?;
        let needs_script =
            |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT");
        if replies.iter().any(needs_script) {
            script::load(&mut connected.connection.clone(), &*shared.scripts).await?;
            let missing: Vec<usize> = (0..rooms.len()).filter(|at| needs_script(&replies[*at])).collect();
            let again: Vec<RoomPlaces> = missing.iter().map(|at| rooms[*at].clone()).collect();
            let more = connected.connection.run(self.batch(connected, &again)).await?;
            missing.into_iter().zip(more).for_each(|(at, reply)| replies[at] = reply);
        }
        self.finish(rooms, replies)
    }

    fn batch(&self, connected: &Connected, rooms: &[RoomPlaces]) -> Batch {
        let context = &self.shared.context;
        let to =
            Destination { data_id: &connected.data_id, verb: context.publish_verb(), node: context.node };
        let mut batch = Batch::default();
        for places in rooms {
            let messages: Vec<&Queued> = places.iter().map(|place| &self.unconfirmed[*place]).collect();
            let Queued { room, limits, publication, .. } = messages[0];
            let commands = RoomCommands::new(&context.names, &publication.project, room, limits);
            let command = commands.append(&self.shared.scripts.append, to, &messages);
            batch.push(commands.route(), command);
        }
        batch
    }

    /// Sorts the messages by the replies to their calls, and delivers those that were refused.
    fn finish(&mut self, rooms: Vec<RoomPlaces>, replies: Vec<Value>) -> RedisResult<()> {
        let mut refused = vec![false; self.unconfirmed.len()];
        for (places, reply) in rooms.iter().zip(replies) {
            let Err(error) = reply.extract_error() else { continue };
            if is_no_master(error.kind()) {
                return Err(error);
            }
            limited!(
                ERROR,
                error = printable_error(&error),
                "Redis refused messages to a room with history; they are delivered without positions"
            );
            places.iter().for_each(|place| refused[*place] = true);
        }
        let mut refused = refused.into_iter();
        let (lost, done): (Vec<Queued>, Vec<Queued>) =
            self.unconfirmed.drain(..).partition(|_| refused.next().is_some_and(|refused| refused));
        self.shared.queue.done(&done);
        self.notify_recorded(&done);
        self.deliver_unrecorded(lost, true);
        Ok(())
    }

    /// Notifies the node of messages that need no number any more.
    fn notify_recorded(&self, messages: &[Queued]) {
        let Some(receiver) = self.shared.receiver.get().and_then(Weak::upgrade) else { return };
        for Queued { publication, .. } in messages {
            if let Content::Event { event, .. } = &publication.content {
                receiver.recorded(event);
            }
        }
    }

    /// Delivers messages without a position, unless they have arrived with one. Other nodes receive them only if it is
    /// certain that they have no number.
    fn deliver_unrecorded(&self, messages: Vec<Queued>, is_certain: bool) {
        self.notify_recorded(&messages);
        let receiver = self.shared.receiver.get().and_then(Weak::upgrade);
        for Queued { publication, .. } in self.shared.queue.give_up(messages) {
            let is_published =
                is_certain && self.shared.bus.publish(&publication, IfUnreached::Ignore).is_ok();
            if !is_published {
                self.lost.increment(1);
            }
            if let Some(receiver) = &receiver {
                receiver.receive(publication);
            }
        }
    }

    /// Begins an era in each project with messages that are not in the history.
    async fn begin_eras(&self, connection: &RedisConnection) -> RedisResult<()> {
        let projects = self.shared.queue.incomplete();
        let mut batch = Batch::default();
        for project in &projects {
            let names = self.shared.context.names.project(project);
            batch.push(names.base(), begin_era(&names));
        }
        if !batch.is_empty() {
            connection.run_all(batch).await?;
            self.shared.queue.completed(&projects);
        }
        Ok(())
    }
}

/// The places of the messages of each room, in the order of the rooms' first messages.
fn by_room(messages: &[Queued]) -> Vec<RoomPlaces> {
    let mut rooms: Vec<RoomPlaces> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (place, queued) in messages.iter().enumerate() {
        let at = *known.entry((&queued.publication.project, &queued.room)).or_insert_with(|| {
            rooms.push(Vec::new());
            rooms.len() - 1
        });
        rooms[at].push(place);
    }
    rooms
}

impl Session for HistoryWriter {
    const CONNECTION: &'static str = "history";
    const LOST: &'static str =
        "history disconnected from Redis; messages to rooms have no positions until it reconnects";

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        let shared = self.shared.clone();
        script::load(&mut connection, &*shared.scripts).await?;
        let data_id = connection.data_id().await?.into();
        let connected = Connected { connection, data_id };
        self.begin_eras(&connected.connection).await?;
        shared.queue.open();
        shared.connected.send_replace(Some(connected.clone()));
        up.set();
        shared.context.reconnects.record();
        loop {
            if timeout(REPLY_TIMEOUT, shared.queue.filled.notified()).await.is_err() {
                connected.connection.clone().ping().await?;
            }
            loop {
                self.write(&connected).await?;
                if shared.queue.is_empty() {
                    break;
                }
            }
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.connected.send_replace(None);
        let mut messages = std::mem::take(&mut self.unconfirmed);
        messages.extend(self.shared.queue.close());
        self.deliver_unrecorded(messages, false);
        ControlFlow::Continue(())
    }
}
