//! Publications between nodes: one Redis channel per target, subscribed while this node has a member.

mod bridge;
mod many_users;
mod outbound;
mod publish_queue;
mod recent_stamps;
mod subscriber;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures_util::FutureExt;
use metrics::{Counter, counter};
use redis::{PushInfo, PushKind, Value};
use switchboard_backplane::{
    BoxFuture, Bus, Content, IfUnreached, OnCounted, Publication, PublishError, Receiver,
};
use switchboard_event::{ProjectId, Target};

use crate::context::Context;
use crate::envelope::{self, Stamp};

pub(crate) use bridge::BusBridge;
#[cfg(feature = "legacy")]
pub(crate) use bridge::{BridgeCommand, BridgeError};
pub(crate) use many_users::PUBLISH_TO_USERS;
pub(crate) use outbound::Outbound;
use publish_queue::{OnUnreached, PublishQueue, PublishSession};
use recent_stamps::RecentStamps;
use subscriber::{OnMessage, SubscribeSession, Subscriber};
use switchboard_log::{limited, printable};

/// The share of a publication in the 128 units that a task may use before it yields: 8 small publications, or one of 64 KiB.
const PUBLICATION_UNITS: usize = 16;
const BYTES_PER_UNIT: usize = 512;

/// Decides by its number whether an event with a position that this node has sent is delivered to its sockets.
type OnOwnRecorded = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// Carries publications through Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisBus {
    context: Arc<Context>,
    bridge: Option<Arc<dyn BusBridge>>,
    /// Number of this node's next publication.
    next: AtomicU64,
    receiver: Arc<OnceLock<Weak<dyn Receiver>>>,
    subscriber: Arc<Subscriber>,
    publish_queue: Arc<PublishQueue>,
    recent: RecentStamps,
    /// Called with the number of each event with a position that this node has sent. Returns true if it is to be delivered.
    on_own_recorded: OnceLock<OnOwnRecorded>,
    received: Counter,
    undecodable: Counter,
}

impl RedisBus {
    pub(crate) fn start(context: &Arc<Context>, bridge: Option<Arc<dyn BusBridge>>) -> Arc<Self> {
        let subscriber = Arc::new(Subscriber::new(context.options.linger));
        let receiver: Arc<OnceLock<Weak<dyn Receiver>>> = Arc::default();
        let publish_queue = PublishQueue::new(
            context.options.publish_bytes_max,
            context.publish_verb(),
            on_unreached(receiver.clone()),
        );
        let publish_queue = Arc::new(publish_queue);
        if let Some(bridge) = &bridge {
            subscriber.subscribe(bridge.channels().into_iter());
        }
        let bus = Arc::new(RedisBus {
            context: context.clone(),
            bridge,
            next: AtomicU64::new(1),
            receiver,
            subscriber: subscriber.clone(),
            publish_queue: publish_queue.clone(),
            recent: RecentStamps::default(),
            on_own_recorded: OnceLock::new(),
            received: counter!("switchboard_bus_received_total"),
            undecodable: counter!("switchboard_bus_undecodable_total"),
        });
        context.supervise(SubscribeSession::new(context.clone(), subscriber, bus.on_message()), None);
        context.supervise(PublishSession::new(publish_queue), None);
        bus
    }

    /// Completes once the bus can both receive and publish.
    pub(crate) async fn wait_until_up(&self) {
        self.wait_until_subscribed().await;
        self.publish_queue.wait_until_up().await;
    }

    /// Completes once the bus receives publications.
    pub(crate) async fn wait_until_subscribed(&self) {
        self.subscriber.wait_until_up().await;
    }

    pub(crate) fn receiver(&self) -> Option<Arc<dyn Receiver>> {
        self.receiver.get()?.upgrade()
    }

    /// The subscriber outlives the bus by a moment, so it holds the bus weakly.
    fn on_message(self: &Arc<Self>) -> OnMessage {
        let bus = Arc::downgrade(self);
        Arc::new(move |push| {
            if let Some(bus) = bus.upgrade() {
                bus.handle_push(push);
            }
        })
    }

    fn handle_push(&self, PushInfo { kind, data }: PushInfo) {
        let mut data = data.into_iter();
        let Some(Value::BulkString(channel)) = data.next() else { return };
        match (kind, data.next()) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(message))) => {
                self.receive(&channel, message.into());
            }
            (PushKind::Unsubscribe | PushKind::SUnsubscribe, _) => self.subscriber.on_unsubscribed(&channel),
            _ => {}
        }
    }

    fn receive(&self, channel: &[u8], message: Bytes) {
        yield_after(message.len());
        match self.bridge.as_ref().and_then(|bridge| bridge.decode(channel, &message)) {
            None => self.receive_from_node(message),
            Some(Ok(None)) => {}
            Some(Ok(Some(publication))) => {
                self.received.increment(1);
                self.deliver(publication);
            }
            Some(Err(error)) => self.drop_undecodable(&error.to_string()),
        }
    }

    fn receive_from_node(&self, message: Bytes) {
        let Some(stamp) = envelope::origin(&message) else {
            return self.drop_undecodable("too short or of another version");
        };
        if stamp.node == self.context.node && !self.is_own_wanted(&message, stamp) {
            return;
        }
        self.received.increment(1);
        match envelope::decode(message) {
            Ok(publication) if has_copies(&publication) && !self.recent.insert(stamp) => {}
            Ok(publication) => self.deliver(publication),
            Err(error) => self.drop_undecodable(&error.to_string()),
        }
    }

    /// Sets the function that decides about events with a position that this node has sent. Without it they are dropped.
    pub(crate) fn on_own_recorded(&self, decide: OnOwnRecorded) {
        let _ = self.on_own_recorded.set(decide);
    }

    fn is_own_wanted(&self, message: &[u8], stamp: Stamp) -> bool {
        envelope::is_recorded(message)
            && self.on_own_recorded.get().is_some_and(|is_wanted| is_wanted(stamp.number))
    }

    fn deliver(&self, publication: Publication) {
        if let Some(receiver) = self.receiver() {
            receiver.receive(publication);
        }
    }

    fn drop_undecodable(&self, reason: &str) {
        self.undecodable.increment(1);
        limited!(
            DEBUG,
            reason = printable(reason),
            "message on a Switchboard channel cannot be decoded; it is dropped"
        );
    }

    /// Whether original servers receive publications of the project.
    pub(crate) fn is_bridged(&self, project: &ProjectId) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.covers(project))
    }

    /// Publishes to original servers, if there is a bridge to any.
    pub(crate) fn publish_to_bridge(&self, publication: &Publication) -> Result<(), PublishError> {
        let commands = self.bridge.iter().flat_map(|bridge| bridge.encode(publication));
        commands
            .into_iter()
            .try_for_each(|command| self.publish_queue.push(Outbound::Bridge(command), IfUnreached::Ignore))
    }

    /// The channels for a target. A subscription to everyone includes the channel for single sockets of this node.
    fn channels_for(&self, project: &ProjectId, target: &Target) -> impl Iterator<Item = String> {
        let names = self.context.names.project(project);
        let own = matches!(target, Target::Everyone).then(|| names.node_channel(self.context.node));
        own.into_iter().chain([names.channel(target)])
    }
}

/// Makes the current task yield after a few publications, so that their frames are sent before more are queued: it is a
/// task of the Redis client, which otherwise reads until its socket is empty. Each publication takes its share of what
/// the runtime lets a task do at once.
fn yield_after(bytes: usize) {
    let units = PUBLICATION_UNITS + bytes / BYTES_PER_UNIT;
    for _ in 0..units {
        if tokio::task::consume_budget().now_or_never().is_none() {
            break;
        }
    }
}

/// Notifies the receiver of a publication that reached no node.
fn on_unreached(receiver: Arc<OnceLock<Weak<dyn Receiver>>>) -> OnUnreached {
    Box::new(move || {
        if let Some(receiver) = receiver.get().and_then(Weak::upgrade) {
            receiver.unreached();
        }
    })
}

/// Whether a publication is sent to several channels with one stamp. A stored message is not: each node
/// receives it once, and its number is unique only within its project.
fn has_copies(publication: &Publication) -> bool {
    publication.audience.to.len() > 1 && !matches!(publication.content, Content::Stored { .. })
}

impl Bus for RedisBus {
    fn node(&self) -> switchboard_event::NodeId {
        self.context.node
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.receiver.set(receiver);
    }

    fn publish(&self, publication: &Publication, if_unreached: IfUnreached) -> Result<(), PublishError> {
        let names = self.context.names.project(&publication.project);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp { node: self.context.node, number };
        let Some(outbound) = Outbound::of(&names, publication, stamp) else { return Ok(()) };
        // Original servers may have receivers.
        let if_unreached =
            if self.is_bridged(&publication.project) { IfUnreached::Ignore } else { if_unreached };
        self.publish_queue.push(outbound, if_unreached)?;
        self.publish_to_bridge(publication)
    }

    fn publish_counted(&self, publication: &Publication, on_counted: OnCounted) -> Result<(), PublishError> {
        let names = self.context.names.project(&publication.project);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp { node: self.context.node, number };
        let Some(outbound) = Outbound::of(&names, publication, stamp) else {
            on_counted(Some(0));
            return Ok(());
        };
        // Redis counts this node as well, if it is subscribed.
        let own = outbound.channels().iter().filter(|channel| self.subscriber.is_wanted(channel)).count();
        let on_counted: OnCounted =
            Box::new(move |count| on_counted(count.map(|count| count.saturating_sub(own))));
        self.publish_queue.push_counted(outbound, on_counted)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.subscriber.subscribe(self.channels_for(project, target));
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.subscriber.unsubscribe(self.channels_for(project, target));
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.subscriber.wait_until_settled())
    }

    fn caught_up<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> BoxFuture<'a, bool> {
        let channel = self.context.names.project(project).channel(target);
        Box::pin(self.subscriber.wait_until_caught_up(channel))
    }

    fn is_up(&self) -> bool {
        self.subscriber.is_up() && self.publish_queue.is_up()
    }

    fn is_degraded(&self) -> bool {
        !self.is_up() || self.publish_queue.is_stalled() || self.context.connector.losses.is_recent()
    }
}
