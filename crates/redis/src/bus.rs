//! Publications between nodes: a Redis channel per target, subscribed while a socket of this node is
//! in it.

mod many_users;
mod outbound;
mod publish_queue;
mod subscriber;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bytes::Bytes;
use metrics::{Counter, counter};
use redis::{PushInfo, PushKind, Value};
use switchboard_backplane::{BoxFuture, Bus, Content, Publication, PublishError, Receiver};
use switchboard_event::{NodeId, ProjectId, Target};
use tokio_util::sync::CancellationToken;

use crate::connection::Source;
use crate::envelope::{self, Stamp};
use crate::legacy::{Bridges, NoMessage};
use crate::names::Names;
use crate::options::Options;

pub(crate) use many_users::TO_USERS;
pub(crate) use outbound::Outbound;
use publish_queue::Outgoing;
use subscriber::Hearing;

/// Carries publications through Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisBus {
    node: NodeId,
    names: Names,
    bridges: Arc<Bridges>,
    next: AtomicU64,
    receiver: OnceLock<Weak<dyn Receiver>>,
    hearing: Hearing,
    outgoing: Outgoing,
    copies: Mutex<VecDeque<Stamp>>,
    received: Counter,
    garbage: Counter,
}

/// Stamps that are remembered to know copies by. Copies for several channels arrive next to one
/// another; in a cluster, those of other slots may come between.
const COPIES_KNOWN: usize = 64;

impl RedisBus {
    pub(crate) fn start(
        node: NodeId,
        names: Names,
        options: &Options,
        bridges: Arc<Bridges>,
        source: Arc<Source>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let bus = Arc::new(RedisBus {
            node,
            names,
            bridges,
            next: AtomicU64::new(1),
            receiver: OnceLock::new(),
            hearing: Hearing::new(options.linger),
            outgoing: Outgoing::new(options.publish_bytes_max, source.publish_verb()),
            copies: Mutex::default(),
            received: counter!("switchboard_bus_received_total"),
            garbage: counter!("switchboard_bus_undecodable_total"),
        });
        bus.hearing.want(bus.bridges.channels());
        let (hearing, sending) = (bus.clone(), bus.clone());
        crate::spawn(stop, hearing.hear(source.clone()));
        crate::spawn(stop, async move { sending.outgoing.send_all(&source).await });
        bus
    }

    /// When it hears and can publish.
    pub(crate) async fn up(&self) {
        self.hears().await;
        self.outgoing.up().await;
    }

    /// When it hears.
    pub(crate) async fn hears(&self) {
        self.hearing.up().await;
    }

    pub(crate) fn receiver(&self) -> Option<Arc<dyn Receiver>> {
        self.receiver.get()?.upgrade()
    }

    /// Takes what Redis says unasked.
    fn pushed(&self, PushInfo { kind, data }: PushInfo) {
        let mut data = data.into_iter();
        let Some(Value::BulkString(channel)) = data.next() else { return };
        match (kind, data.next()) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(message))) => {
                let message = Bytes::from(message);
                match self.bridges.heard(&channel, &message) {
                    Some(heard) => self.receive_from_original(heard),
                    None => self.receive(message),
                }
            }
            (PushKind::Unsubscribe | PushKind::SUnsubscribe, _) => self.hearing.left(&channel),
            _ => {}
        }
    }

    fn receive_from_original(&self, heard: Result<Option<Publication>, NoMessage>) {
        match heard {
            Ok(None) => {}
            Ok(Some(publication)) => {
                self.received.increment(1);
                self.hand_in(publication);
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn hand_in(&self, publication: Publication) {
        if let Some(receiver) = self.receiver() {
            receiver.receive(publication);
        }
    }

    fn receive(&self, message: Bytes) {
        let Some(stamp) = envelope::origin(&message) else {
            return self.refuse("too short or of another version");
        };
        if stamp.node == self.node {
            return;
        }
        self.received.increment(1);
        match envelope::decode(message) {
            Ok(publication) if comes_as_copies(&publication) && self.is_copy(stamp) => {}
            Ok(publication) => self.hand_in(publication),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// What originals it is one with.
    pub(crate) fn bridges(&self) -> &Arc<Bridges> {
        &self.bridges
    }

    /// Nothing without a bridge.
    pub(crate) fn tell_originals(&self, publication: &Publication) -> Result<(), PublishError> {
        let mut tellings = self.bridges.telling(publication);
        tellings.try_for_each(|telling| self.outgoing.push(Outbound::ToOriginals(telling)))
    }

    fn refuse(&self, reason: &str) {
        self.garbage.increment(1);
        tracing::debug!(reason, "a message on our channels is none of ours");
    }

    fn is_copy(&self, stamp: Stamp) -> bool {
        let mut copies = self.copies.lock().expect("no code that holds the copies panics");
        if copies.contains(&stamp) {
            return true;
        }
        copies.push_back(stamp);
        if copies.len() > COPIES_KNOWN {
            copies.pop_front();
        }
        false
    }

    /// The channels that stand for a target while a socket of this node is in it.
    fn heard_for(&self, project: &ProjectId, target: &Target) -> impl Iterator<Item = String> {
        let names = self.names.project(project);
        let own = matches!(target, Target::Everyone).then(|| names.node_channel(self.node));
        own.into_iter().chain([names.channel(target)])
    }
}

/// What goes to several channels. What waits for users goes to each node once, by a number that another
/// project may have as well.
fn comes_as_copies(publication: &Publication) -> bool {
    publication.audience.to.len() > 1 && !matches!(publication.content, Content::Stored { .. })
}

impl Bus for RedisBus {
    fn node(&self) -> NodeId {
        self.node
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.receiver.set(receiver);
    }

    fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        let names = self.names.project(&publication.project);
        let stamp = Stamp { node: self.node, number: self.next.fetch_add(1, Ordering::Relaxed) };
        let Some(outbound) = Outbound::of(&names, publication, stamp) else { return Ok(()) };
        self.outgoing.push(outbound)?;
        self.tell_originals(publication)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.hearing.want(self.heard_for(project, target));
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.hearing.unwant(self.heard_for(project, target));
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.hearing.settled())
    }

    fn is_up(&self) -> bool {
        self.hearing.is_up() && self.outgoing.is_up()
    }
}
