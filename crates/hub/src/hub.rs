//! The hub: the sockets of one node, their memberships, and delivery to them.

mod memberships;
mod recorded;
mod sending;
mod traced;

pub use recorded::{Filled, Gap};

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use switchboard_backplane::{Bus, Content, LocalMembers, OverflowRules, Publication, Receiver, Store};
use switchboard_event::{Event, OverflowPolicy, ProjectId, Protocol, SocketId, Target, UserId};

use crate::delivery::{Delivery, Encode, FlushScheduler, HubStats};
use crate::hub_event::{HubEvent, Listener, Stage};
use crate::index::Index;
use crate::outbox::Transport;
use crate::room_cursors::RoomCursors;
use crate::room_history::RoomHistory;
use crate::session::{MemberSets, Session};
use crate::trace::{Tracer, Tracing};

/// The parts and bounds of a hub.
pub struct HubConfig {
    /// Encodes events as frames.
    pub encode: Encode,
    /// Schedules the flush of outboxes.
    pub flush_scheduler: Arc<dyn FlushScheduler>,
    /// The close frame for a socket with a full outbox.
    pub overflow_frame: Bytes,
    /// Maximum number of bytes in one outbox.
    pub outbox_bytes_max: usize,
    /// Most rooms, tags and users of one socket.
    pub memberships_max: usize,
    /// Maximum number of bytes in their names.
    pub membership_bytes_max: usize,
    /// The history of rooms; none if no room has one.
    pub history: Option<RoomHistory>,
    /// The overflow policies of live messages to exactly one room.
    pub overflow_rules: OverflowRules,
}

/// The bounds of a hub that can be replaced; see [`HubConfig`].
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields of `HubConfig` describe them")]
pub struct HubLimits {
    pub outbox_bytes_max: usize,
    pub memberships_max: usize,
    pub membership_bytes_max: usize,
}

/// The reach of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Sockets of all nodes.
    #[default]
    AllNodes,
    /// Sockets of this node only.
    ThisNode,
}

/// The parts of a session that the hub does not know yet.
pub struct NewSession {
    /// Unique to the connection.
    pub id: SocketId,
    /// The socket's project.
    pub project: ProjectId,
    /// The socket's protocol.
    pub protocol: Protocol,
    /// The client receives the positions of messages in the history of their room.
    pub wants_positions: bool,
    /// Sends bytes to the socket.
    pub transport: Arc<dyn Transport>,
    /// What the caller keeps for the connection; the hub does not read it.
    pub connection_state: Box<dyn Any + Send + Sync>,
    /// A frame that is delivered before any other. Nothing is sent until the caller flushes the outbox: a client that
    /// has received its greeting can rely on everything that the caller does before.
    pub greeting: Option<Bytes>,
}

/// A socket that joined or left a target.
#[derive(Debug)]
pub struct MembershipChange<'a> {
    /// The session. Its memberships are locked during the call.
    pub session: &'a Session,
    /// The user of the session.
    pub user: Option<UserId>,
    /// The room, tag or user.
    pub target: &'a Target,
    /// True if it joined.
    pub joined: bool,
}

/// Receives the changes of a session's memberships in their order. Must not block, nor call the hub or the session.
pub type MembershipListener = Box<dyn Fn(MembershipChange<'_>) + Send + Sync>;

/// All sockets of one node and their memberships.
pub struct Hub {
    index: Arc<Index>,
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    /// There may be other nodes.
    is_shared: bool,
    delivery: Delivery,
    memberships_max: AtomicUsize,
    membership_bytes_max: AtomicUsize,
    history: Option<RoomHistory>,
    overflow_rules: OverflowRules,
    cursors: RoomCursors,
    membership_listener: OnceLock<MembershipListener>,
    tracing: Tracing,
}

impl Hub {
    /// Creates a hub on an index, which its store may share, and starts the store and the bus.
    pub fn new(config: HubConfig, index: Arc<Index>, bus: Arc<dyn Bus>, store: Arc<dyn Store>) -> Arc<Self> {
        let HubConfig {
            encode,
            flush_scheduler,
            overflow_frame,
            outbox_bytes_max,
            memberships_max,
            membership_bytes_max,
            history,
            overflow_rules,
        } = config;
        let stats = HubStats::default();
        let outbox_bytes_max = AtomicUsize::new(outbox_bytes_max);
        let listener = OnceLock::new();
        let delivery =
            Delivery { encode, flush_scheduler, overflow_frame, outbox_bytes_max, stats, listener };
        let memberships_max = AtomicUsize::new(memberships_max);
        let membership_bytes_max = AtomicUsize::new(membership_bytes_max);
        let hub = Arc::new(Hub {
            index,
            is_shared: bus.is_shared(),
            bus,
            store,
            delivery,
            memberships_max,
            membership_bytes_max,
            history,
            overflow_rules,
            cursors: RoomCursors::default(),
            membership_listener: OnceLock::new(),
            tracing: Tracing::default(),
        });
        let receiver: Weak<dyn Receiver> = Arc::downgrade(&(hub.clone() as Arc<dyn Receiver>));
        let members: Weak<dyn LocalMembers> = Arc::downgrade(&(hub.index.clone() as Arc<dyn LocalMembers>));
        hub.store.start(members);
        if let Some(history) = &hub.history {
            history.log.start(receiver.clone());
        }
        hub.bus.start(receiver);
        hub
    }

    /// Replaces the bounds of [`HubConfig`]. They apply to what is sent and joined from now on.
    pub fn set_limits(&self, limits: HubLimits) {
        let HubLimits { outbox_bytes_max, memberships_max, membership_bytes_max } = limits;
        self.delivery.outbox_bytes_max.store(outbox_bytes_max, Ordering::Relaxed);
        self.memberships_max.store(memberships_max, Ordering::Relaxed);
        self.membership_bytes_max.store(membership_bytes_max, Ordering::Relaxed);
    }

    /// The sessions and member sets of this node.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Presence and seats of all nodes.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The history of rooms; none if no room has one.
    pub fn history(&self) -> Option<&RoomHistory> {
        self.history.as_ref()
    }

    /// The bus to other nodes.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// Totals since the hub was created.
    pub fn stats(&self) -> &HubStats {
        &self.delivery.stats
    }

    /// Sets the listener for hub events. Later calls do nothing; events before the first are dropped.
    pub fn listen(&self, listener: Listener) {
        let _ = self.delivery.listener.set(listener);
    }

    /// Sets the listener for changes of memberships. Later calls do nothing; changes before the first are not reported.
    pub fn listen_to_memberships(&self, listener: MembershipListener) {
        let _ = self.membership_listener.set(listener);
    }

    /// Sets the tracer. Later calls do nothing; without one no message is traced.
    pub fn trace_with(&self, tracer: Arc<dyn Tracer>) {
        self.tracing.set_tracer(tracer);
    }

    /// Sets whether each message of this node is offered to the tracer.
    pub fn set_sampling(&self, is_sampling: bool) {
        self.tracing.set_sampling(is_sampling);
    }

    fn notify_membership(&self, session: &Session, sets: &MemberSets, target: &Target, joined: bool) {
        if let Some(listener) = self.membership_listener.get() {
            let user = sets.iter().find_map(|set| match &set.target {
                Target::User(user) => Some(user.clone()),
                _ => None,
            });
            listener(MembershipChange { session, user, target, joined });
        }
    }

    fn notify(&self, event: HubEvent) {
        self.delivery.notify(event);
    }
}

impl Receiver for Hub {
    fn receive(&self, publication: Publication) {
        match publication {
            event @ Publication { content: Content::Event { .. }, .. } => self.receive_event(event),
            other => self.notify(HubEvent::Publication(other)),
        }
    }

    fn recorded(&self, event: &Event) {
        self.passed(event, &OverflowPolicy::Live, Stage::Recorded);
    }

    fn missed(&self) {
        self.notify(HubEvent::Missed);
    }

    fn unreached(&self) {
        self.delivery.stats.unreached.fetch_add(1, Ordering::Relaxed);
    }

    fn has(&self, socket: SocketId) -> bool {
        self.index.session(socket).is_some()
    }
}
