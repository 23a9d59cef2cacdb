//! Messages stored for users in Redis.
//!
//! A message is stored and published in one step, so no other request can happen between the two. Its number
//! derives from Redis' clock. It reaches every node that has a socket of its users by the bus, including the
//! node that stored it.

mod appender;
mod batch_queue;
mod bridge;
mod elements;
mod expiry;
mod limits;
mod message_sizes;
mod opening;
mod receipts;
mod scripts;
mod shared;
mod writer;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use metrics::{Counter, counter};
use redis::{Cmd, Value, cmd};
use switchboard_backplane::{
    BackplaneFuture, BoxFuture, Bus, Content, Inbox, InboxLimits, InboxPage, Publication, Store, Stored,
    StoredMessage,
};
use switchboard_event::{Audience, Event, MessageNumber, ProjectId, SocketId, Target, UserId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bus::RedisBus;
use crate::connection::script;
use crate::context::Context;
use crate::error::RequestError;
use crate::options::REPLY_TIMEOUT;
use crate::store::RedisStore;

pub(crate) use appender::Appender;
pub(crate) use bridge::InboxBridge;
use elements::{Messages, first_number, first_stored_ms};
pub(crate) use limits::AnnouncedLimits;
use limits::LimitsAnnouncer;
use message_sizes::MessageSizes;
use opening::{OpenQueue, OpenReply, OpenRequest};
use receipts::{Receipt, ReceiptQueue};
pub(crate) use scripts::{InboxScripts, inbox_call, retention_ms};
use shared::{InboxShared, InboxState};
use switchboard_log::{limited, printable, printable_error};
use writer::InboxWriter;

/// How often an inbox is opened again because its oldest message had expired.
const EXPIRED_ATTEMPTS_MAX: usize = 20;

/// How often the messages that original servers stored are read again because they have changed meanwhile.
const ADOPT_ATTEMPTS_MAX: usize = 10;

/// Messages that are read from Redis at once for a look into an inbox.
const PEEK_MESSAGES: usize = 256;

/// Stores messages for users in Redis. Made by [`Redis::connect`](crate::Redis::connect) if
/// [`Options::inbox`](crate::Options::inbox) is set.
pub struct RedisInbox {
    shared: Arc<InboxShared>,
    bus: Arc<RedisBus>,
    store: Arc<RedisStore>,
    bridge: Option<Arc<dyn InboxBridge>>,
    sizes: MessageSizes,
    /// The last message was refused by Redis.
    is_refused: AtomicBool,
    adopted: Counter,
    undecodable: Counter,
}

impl RedisInbox {
    pub(crate) fn start(
        context: &Arc<Context>,
        limits: InboxLimits,
        bus: Arc<RedisBus>,
        store: Arc<RedisStore>,
        bridge: Option<Arc<dyn InboxBridge>>,
    ) -> Arc<Self> {
        let (names, scripts) = (&context.names, Arc::new(InboxScripts::new()));
        let shared = Arc::new(InboxShared {
            limits,
            announcer: LimitsAnnouncer::new(names, limits),
            appender: Appender::new(names.clone(), limits, context.publish_verb(), scripts.clone()),
            opens: OpenQueue::new(names.clone(), scripts.clone()),
            scripts,
            receipts: ReceiptQueue::new(context.options.receipts_bytes_max),
            state: watch::Sender::new(InboxState::default()),
            expired: counter!("switchboard_inbox_expired_total"),
            context: context.clone(),
        });
        context.supervise(InboxWriter::new(shared.clone()), None);
        Arc::new(RedisInbox {
            shared,
            bus,
            store,
            bridge,
            sizes: MessageSizes::default(),
            is_refused: AtomicBool::new(false),
            adopted: counter!("switchboard_inbox_adopted_total"),
            undecodable: counter!("switchboard_undelivered_total", "reason" => "undecodable"),
        })
    }

    /// Completes once messages can be stored.
    pub(crate) async fn wait_until_up(&self) {
        // Fails only when the inbox is gone.
        let _ = self.shared.state.subscribe().wait_for(|state| state.connection.is_some()).await;
    }

    /// Completes once all earlier receipts are written, or cannot be.
    async fn wait_until_written(&self) {
        let count = self.shared.receipts.count();
        let mut state = self.shared.state.subscribe();
        // Fails only when the inbox is gone, and with it everything that could be waited for.
        let _ = state.wait_for(|state| state.connection.is_none() || state.written >= count).await;
    }

    /// Completes once other nodes see this node's sockets as present, and this node receives messages that are
    /// stored for their users.
    async fn wait_until_present(&self) -> Result<(), RequestError> {
        self.store.settled_connection().await?;
        let ready = async { tokio::join!(self.bus.settled(), self.wait_until_written()) };
        timeout(REPLY_TIMEOUT, ready).await.map(drop).map_err(|_| RequestError::Timeout)
    }

    /// Publishes a stored message to original servers. The script publishes it to Switchboard nodes only.
    fn publish_to_bridge(&self, project: &ProjectId, users: &[UserId], number: MessageNumber, event: &Event) {
        if !self.bus.is_bridged(project) {
            return;
        }
        let audience =
            Audience { to: users.iter().cloned().map(Target::User).collect(), ..Audience::default() };
        let content = Content::Stored { number, event: event.clone() };
        let publication = Publication { project: project.clone(), audience, content };
        if let Err(error) = self.bus.publish_to_bridge(&publication) {
            limited!(
                DEBUG,
                error = printable_error(&error),
                "stored message not published to original servers"
            );
        }
    }

    /// Logs the first message that Redis refuses to store. A lost connection is logged as such.
    fn log_refusal(&self, error: &RequestError) {
        if matches!(error, RequestError::Redis(error) if error.code().is_some())
            && !self.is_refused.swap(true, Ordering::Relaxed)
        {
            limited!(
                ERROR,
                error = printable_error(error),
                "Redis refuses to store messages; their senders get an error"
            );
        }
    }

    async fn run(&self, call: &Cmd) -> Result<Value, RequestError> {
        Ok(script::run(&mut self.shared.connection()?, &*self.shared.scripts, call).await?)
    }

    async fn open_inbox(
        &self,
        project: &ProjectId,
        request: &OpenRequest,
    ) -> Result<InboxPage, RequestError> {
        self.wait_until_present().await?;
        self.adopt_from_original_servers(project, &request.user).await?;
        let mut reply = self.shared.opens.open(project, request).await?;
        for _ in 0..EXPIRED_ATTEMPTS_MAX {
            if request.after.is_some() || !self.has_expired(&reply) {
                break;
            }
            let mut connection = self.shared.connection()?;
            expiry::expire(&self.shared, &mut connection, project, Some(&request.user)).await?;
            reply = self.shared.opens.open(project, request).await?;
        }
        if reply.held_by.is_some() {
            let oldest = first_number(&reply.elements);
            return Ok(InboxPage { held_by: reply.held_by, oldest, ..InboxPage::default() });
        }
        let Messages { stored, sizes, undecodable } = Messages::read(reply.elements, request.max);
        if !undecodable.is_empty() {
            self.drop_undecodable(project, &request.user, &undecodable).await?;
        } else {
            let sizes = stored.iter().map(|message| message.number).zip(sizes);
            self.sizes.add(project, &request.user, request.after, sizes);
        }
        Ok(InboxPage { messages: stored, ..InboxPage::default() })
    }

    /// Reads the list in parts, because a message is found by its number only.
    async fn peek_at(
        &self,
        project: &ProjectId,
        user: &UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, RequestError> {
        timeout(REPLY_TIMEOUT, self.wait_until_written()).await.map_err(|_| RequestError::Timeout)?;
        let key = self.shared.context.names.project(project).inbox_of(user);
        let (mut found, mut from) = (Vec::new(), 0);
        while found.len() < limit {
            let mut command = cmd("LRANGE");
            command.arg(&key).arg(from).arg(from + 2 * PEEK_MESSAGES - 1);
            let elements: Vec<Vec<u8>> = self.shared.connection()?.query(&command).await?;
            let count = elements.len();
            let part = Messages::read(elements.into_iter().map(Bytes::from).collect(), PEEK_MESSAGES);
            found.extend(
                part.stored.into_iter().filter(|message| after.is_none_or(|after| message.number > after)),
            );
            if count < 2 * PEEK_MESSAGES {
                break;
            }
            from += count;
        }
        found.truncate(limit);
        Ok(found)
    }

    fn has_expired(&self, reply: &OpenReply) -> bool {
        first_stored_ms(&reply.elements)
            .is_some_and(|stored_ms| stored_ms.saturating_add(self.shared.limits.age_max_ms) < reply.now_ms)
    }

    async fn drop_undecodable(
        &self,
        project: &ProjectId,
        user: &UserId,
        elements: &[Bytes],
    ) -> Result<(), RequestError> {
        limited!(
            ERROR,
            project = printable(project),
            user = printable(user),
            count = elements.len(),
            "stored messages cannot be decoded; they are dropped"
        );
        // Number and event of a message are an element each.
        self.undecodable.increment(elements.len().div_ceil(2) as u64);
        let args: Vec<&[u8]> =
            iter::once(user.as_bytes()).chain(elements.iter().map(|element| &**element)).collect();
        let names = self.shared.context.names.project(project);
        self.run(&inbox_call(&self.shared.scripts.drop, &names, &[], &args)).await.map(drop)
    }

    /// The bridge to original servers, if they may store messages in the project.
    fn bridge(&self, project: &ProjectId) -> Option<&dyn InboxBridge> {
        self.bridge.as_deref().filter(|bridge| bridge.covers(project))
    }

    /// Moves messages that original servers have stored to the end of the user's inbox.
    async fn adopt_from_original_servers(
        &self,
        project: &ProjectId,
        user: &UserId,
    ) -> Result<(), RequestError> {
        let Some(bridge) = self.bridge(project) else { return Ok(()) };
        let mut connection = self.shared.connection()?;
        for _ in 0..ADOPT_ATTEMPTS_MAX {
            let Some(stored) = bridge.read(&mut connection, user).await? else { return Ok(()) };
            self.shared.appender.register(&mut connection, project).await?;
            let retention = retention_ms(self.shared.limits.age_max_ms);
            if let Some(adopted) = bridge.move_to_inbox(&mut connection, user, &stored, retention).await? {
                self.adopted.increment(adopted as u64);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Inbox for RedisInbox {
    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> BackplaneFuture<'a, Stored> {
        Box::pin(async move {
            let stored = self.shared.appender.append(project, users, event).await;
            let stored = stored.inspect_err(|error| self.log_refusal(error))?;
            self.is_refused.store(false, Ordering::Relaxed);
            self.publish_to_bridge(project, users, stored.number, event);
            Ok(stored)
        })
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        max: usize,
    ) -> BackplaneFuture<'a, InboxPage> {
        // A message has two elements, and their number must fit as well.
        let request = OpenRequest { user: user.clone(), socket, after, max: max.min(i32::MAX as usize) };
        Box::pin(async move { Ok(self.open_inbox(project, &request).await?) })
    }

    fn peek<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> BackplaneFuture<'a, Vec<StoredMessage>> {
        Box::pin(async move { Ok(self.peek_at(project, user, after, limit).await?) })
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        if !numbers.is_empty() {
            let bytes = self.sizes.acknowledge(project, user, &numbers);
            let receipt = Receipt { user: user.clone(), numbers, bytes, released: None };
            self.shared.receipts.push(project, receipt);
        }
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        self.sizes.forget(project, user);
        let receipt =
            Receipt { user: user.clone(), numbers: Vec::new(), bytes: None, released: Some(socket) };
        self.shared.receipts.push(project, receipt);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> BackplaneFuture<'a, ()> {
        let names = self.shared.context.names.project(project);
        let call = inbox_call(&self.shared.scripts.clear, &names, &[], &[user.as_bytes()]);
        Box::pin(async move {
            if let Some(bridge) = self.bridge(project) {
                let mut connection = self.shared.connection()?;
                bridge.clear(&mut connection, user).await.map_err(RequestError::from)?;
            }
            Ok(self.run(&call).await.map(drop)?)
        })
    }

    fn has_late_writers(&self) -> bool {
        self.bridge.is_some()
    }

    fn is_up(&self) -> bool {
        self.shared.state.borrow().connection.is_some() && self.store.is_up()
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_until_written())
    }
}
