//! The hub: the sockets of one node, their memberships, and delivery to them.

mod recorded;

pub use recorded::{Filled, Gap};

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use switchboard_backplane::{
    Bus, Content, IfUnreached, LocalMembers, OverflowRules, Publication, PublishError, Receiver, Store,
};
use switchboard_event::{
    Audience, Event, MessageNumber, OverflowPolicy, Parcel, Position, ProjectId, Protocol, RoomName,
    SocketId, Target, UserId,
};

use crate::delivery::{Delivered, Delivery, Encode, FlushScheduler, HubStats};
use crate::hub_event::{HubEvent, Listener, Stage};
use crate::index::Index;
use crate::member_set::{Change, MemberSet};
use crate::outbox::{CaughtUp, Placement, Slot, Transport};
use crate::resolve;
use crate::room_cursors::RoomCursors;
use crate::room_history::RoomHistory;
use crate::session::{JoinError, MemberSets, Membership, Session};

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

/// Sessions and memberships.
impl Hub {
    /// Adds a socket. It receives every send to everyone from then on.
    pub fn add(&self, new_session: NewSession) -> Arc<Session> {
        let NewSession { id, project, protocol, wants_positions, transport, connection_state, greeting } =
            new_session;
        let project = self.index.enter_project(&project);
        let session =
            Arc::new(Session::new(id, project, protocol, wants_positions, transport, connection_state));
        if let Some(frame) = greeting {
            session.outbox.mark_flush_scheduled();
            self.deliver_frame(&session, &frame, OverflowPolicy::Live);
        }
        session.membership().open = true;
        self.index.insert(&session);
        self.enter(&session, &Target::Everyone);
        session
    }

    /// A session without a socket, for hooks about the server itself. It has no memberships, and frames to it
    /// are dropped.
    pub fn placeholder_session(
        &self,
        project: &ProjectId,
        protocol: Protocol,
        connection_state: Box<dyn Any + Send + Sync>,
    ) -> Arc<Session> {
        let project = self.index.enter_project(project);
        self.index.leave_project(&project);
        let id = SocketId::on(self.bus.node());
        let session = Session::new(id, project, protocol, false, Arc::new(NoTransport), connection_state);
        session.outbox.detach();
        Arc::new(session)
    }

    /// Removes a socket and ends its memberships. Does nothing the second time.
    pub fn remove(&self, session: &Arc<Session>) {
        let sets = {
            let mut membership = session.membership();
            if !std::mem::take(&mut membership.open) {
                return;
            }
            std::mem::take(&mut membership.sets)
        };
        for set in &sets {
            self.exit(session.id, set);
            self.notify_membership(session, &sets, &set.target, false);
        }
        if let Some(everyone) = self.index.member_set(&session.project, &Target::Everyone) {
            self.exit(session.id, &everyone);
        }
        self.index.remove(session.id);
        let unsent = session.outbox.detach();
        self.delivery.stats.unsent.fetch_add(unsent as u64, Ordering::Relaxed);
        self.index.leave_project(&session.project);
    }

    /// Keeps the session of a connection that has ended, with its memberships. Frames for it are dropped until
    /// [`attach`](Self::attach).
    pub fn detach(&self, session: &Session) {
        let unsent = session.outbox.suspend();
        self.delivery.stats.unsent.fetch_add(unsent as u64, Ordering::Relaxed);
    }

    /// Gives a detached session a new connection. The caller must flush the outbox. Returns false while the last flush
    /// through the old connection is running.
    pub fn attach(&self, session: &Session, transport: &Arc<dyn Transport>) -> bool {
        session.outbox.attach(transport)
    }

    /// Adds a socket to a room, a tag or a user. Returns false if it was a member already, so that callers
    /// announce a join once, and for [`Target::Everyone`] and sockets, which cannot be joined.
    pub fn join(&self, session: &Arc<Session>, target: &Target) -> Result<bool, JoinError> {
        if matches!(target, Target::Everyone | Target::Socket(_)) {
            return Ok(false);
        }
        let mut membership = session.membership();
        if !membership.open {
            return Err(JoinError::Closed);
        }
        if membership.sets.iter().any(|set| set.target == *target) {
            return Ok(false);
        }
        self.check_room_for(&membership, target)?;
        let set = self.enter(session, target);
        membership.sets.push(set);
        self.notify_membership(session, &membership.sets, target, true);
        Ok(true)
    }

    /// Checks the bounds on the memberships of one socket.
    fn check_room_for(&self, membership: &Membership, target: &Target) -> Result<(), JoinError> {
        let max = self.memberships_max.load(Ordering::Relaxed);
        if membership.sets.len() >= max {
            return Err(JoinError::TooMany { max });
        }
        let max = self.membership_bytes_max.load(Ordering::Relaxed);
        let bytes: usize = membership.sets.iter().map(|set| set.target.name_len()).sum();
        if bytes + target.name_len() > max {
            return Err(JoinError::TooManyBytes { max });
        }
        Ok(())
    }

    /// Removes a socket from a target. Returns false if it was not a member.
    pub fn leave(&self, session: &Arc<Session>, target: &Target) -> bool {
        let mut membership = session.membership();
        let Some(position) = membership.sets.iter().position(|set| set.target == *target) else {
            return false;
        };
        let set = membership.sets.remove(position);
        if let Target::Room(room) = target {
            session.outbox.forget_lag(room);
        }
        self.exit(session.id, &set);
        self.notify_membership(session, &membership.sets, target, false);
        true
    }

    /// Removes all local sockets from a target, for instance from a user that is set offline. Returns how many.
    pub fn clear(&self, project: &ProjectId, target: &Target) -> usize {
        let members = self.members(project, &target.clone().into());
        members.iter().filter(|session| self.leave(session, target)).count()
    }

    /// The local sockets of an audience, each once.
    pub fn members(&self, project: &ProjectId, audience: &Audience) -> Vec<Arc<Session>> {
        let mut members = Vec::new();
        resolve::for_each_session(&self.index, project, audience, |session| members.push(session.clone()));
        members
    }

    fn enter(&self, session: &Arc<Session>, target: &Target) -> Arc<MemberSet<Session>> {
        let project = &session.project;
        loop {
            let set = self.index.member_set_or_new(project, target);
            let mut is_first = false;
            let subscribe = || {
                is_first = true;
                self.bus.subscribe(&project.id, target);
            };
            match set.insert(session.id, session, subscribe) {
                // The thread that emptied the set has yet to remove it from the index; remove it now.
                Change::Dead => self.index.forget(&set),
                _ => {
                    if is_first {
                        self.room_begins(&project.id, target);
                    }
                    self.store.entered(&project.id, target, session.id);
                    return set;
                }
            }
        }
    }

    fn exit(&self, id: SocketId, set: &Arc<MemberSet<Session>>) {
        let project = &set.project.id;
        match set.remove(id, || self.bus.unsubscribe(project, &set.target)) {
            Change::None | Change::Dead => return,
            Change::Done => {}
            Change::Emptied => {
                self.room_ends(project, &set.target);
                self.index.forget(set);
            }
        }
        self.store.left(project, &set.target, id);
    }
}

/// Sends and delivery.
impl Hub {
    /// Delivers to the sockets of this node and, unless the scope forbids it, publishes to the other nodes. The
    /// result covers this node. A message that is lost is counted in [`HubStats`].
    pub fn send(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel, scope: Scope) -> Delivered {
        if let Some(policy) = self.policy_of_room(audience, &parcel.policy) {
            let parcel = Parcel::new(parcel.event.clone(), policy.clone());
            return self.send_with_policy(project, audience, &parcel, scope);
        }
        self.send_with_policy(project, audience, parcel, scope)
    }

    /// The policy that a rule sets for a live message to exactly one room.
    fn policy_of_room(&self, audience: &Audience, policy: &OverflowPolicy) -> Option<&OverflowPolicy> {
        match &*audience.to {
            [Target::Room(room)] if *policy == OverflowPolicy::Live && !self.overflow_rules.is_empty() => {
                self.overflow_rules.of(room)
            }
            _ => None,
        }
    }

    fn send_with_policy(
        &self,
        project: &ProjectId,
        audience: &Audience,
        parcel: &Parcel,
        scope: Scope,
    ) -> Delivered {
        if let Some(history) = &self.history
            && scope == Scope::AllNodes
            && let Some(delivered) = self.send_recorded(history, project, audience, parcel)
        {
            return delivered;
        }
        let delivered = self.deliver(project, audience, parcel);
        let is_unreached = delivered.addressed_nobody() && self.expects_recipient(project, audience);
        let if_unreached = if is_unreached { IfUnreached::Notify } else { IfUnreached::Ignore };
        if scope == Scope::AllNodes && !self.is_local(audience) {
            let position = parcel.position().map(|(_, position)| position);
            let content =
                Content::Event { event: parcel.event.clone(), policy: parcel.policy.clone(), position };
            // A loss is counted; the sender cannot react to it.
            if self.publish_to_others(project, audience, content, if_unreached).is_ok() {
                self.passed(&parcel.event, &parcel.policy, Stage::Published);
            }
        } else if is_unreached {
            self.unreached();
        }
        delivered
    }

    /// Reports that an event of a socket of this node is on its way to other nodes.
    fn passed(&self, event: &Event, policy: &OverflowPolicy, stage: Stage) {
        if self.is_shared
            && *policy == OverflowPolicy::Live
            && let Some(sender) = event.sender.filter(|sender| sender.node() == self.bus.node())
        {
            let bytes = event.name.len() + event.data.as_bytes().len();
            self.notify(HubEvent::Passed { sender, bytes, stage });
        }
    }

    /// Publishes to other nodes, unless the audience consists of sockets of this node only.
    pub fn publish(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
    ) -> Result<(), PublishError> {
        match self.is_local(audience) {
            true => Ok(()),
            false => self.publish_to_others(project, audience, content, IfUnreached::Ignore),
        }
    }

    /// Returns true if an audience that reached nobody on this node should reach somebody: it names single users or
    /// sockets, and its exceptions exclude none of this node's. A room may be empty.
    fn expects_recipient(&self, project: &ProjectId, audience: &Audience) -> bool {
        let is_client = |target: &Target| matches!(target, Target::User(_) | Target::Socket(_));
        let to = &audience.to;
        !to.is_empty() && to.iter().all(is_client) && {
            let without_exceptions = Audience { to: to.clone(), except: Vec::new() };
            audience.except.is_empty() || self.members(project, &without_exceptions).is_empty()
        }
    }

    /// Returns true if the audience consists of sockets of this node.
    fn is_local(&self, audience: &Audience) -> bool {
        let node = self.bus.node();
        audience.to.iter().all(|target| matches!(target, Target::Socket(id) if id.node() == node))
    }

    fn publish_to_others(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
        if_unreached: IfUnreached,
    ) -> Result<(), PublishError> {
        let publication = Publication { project: project.clone(), audience: audience.clone(), content };
        self.bus.publish(&publication, if_unreached).inspect_err(|error| {
            let stats = &self.delivery.stats;
            let lost = if *error == PublishError::Full { &stats.bus_full } else { &stats.bus_disconnected };
            lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Delivers to the sockets of this node.
    pub fn deliver(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel) -> Delivered {
        let mut fan_out = self.delivery.fan_out(parcel, audience);
        resolve::for_each_session(&self.index, project, audience, |session| fan_out.deliver_to(session));
        let (delivered, receivers) = fan_out.finish();
        if let (Some(sender), false) = (parcel.event.sender, receivers.is_empty()) {
            self.notify(HubEvent::Behind { sender, receivers });
        }
        delivered
    }

    /// Delivers one frame to one socket, whatever its protocol. Returns false if the socket is closing or
    /// missed the frame.
    pub fn deliver_frame(&self, session: &Arc<Session>, frame: &Bytes, policy: OverflowPolicy) -> bool {
        self.deliver_frame_to([session], frame, policy).queued == 1
    }

    /// Delivers one frame to some sockets, whatever their protocols.
    pub fn deliver_frame_to<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        policy: OverflowPolicy,
    ) -> Delivered {
        self.delivery.deliver(Placement::Next, sessions, frame, &policy)
    }

    /// Delivers a frame ahead of everything that is held back while the outbox is [paused](Self::pause).
    /// Returns false if the socket is closing.
    pub fn deliver_ahead(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.delivery.deliver(Placement::Ahead, [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Like [`deliver_ahead`](Self::deliver_ahead), without the bound: for a frame of a few bytes of which at
    /// most one is queued.
    pub fn deliver_unbounded(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.delivery.deliver(Placement::Unbounded, [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Delivers one frame to some sockets, in the place of the frame of the same slot that waits in their outboxes. It
    /// does not count towards the bound, and passes a [pause](Self::pause).
    pub fn deliver_latest<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        slot: Slot,
    ) -> Delivered {
        self.delivery.deliver(Placement::Slot(slot), sessions, frame, &OverflowPolicy::Live)
    }

    /// Delivers a message that is stored in the inbox of the socket's user. Returns false if the socket is
    /// closing.
    pub fn deliver_stored(&self, session: &Arc<Session>, frame: &Bytes, number: MessageNumber) -> bool {
        self.delivery.deliver(Placement::Stored(number), [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Queues a message of the history of a room in which the socket lags, or passes over it if `frame` is `None`. Such
    /// messages fill half of the outbox at most. Returns `None` if the lag has ended, and false if the outbox has no room.
    pub fn catch_up(
        &self,
        session: &Arc<Session>,
        number: u64,
        room: &RoomName,
        position: Position,
        frame: Option<&Bytes>,
    ) -> Option<bool> {
        let bytes_max = self.delivery.outbox_bytes_max.load(Ordering::Relaxed) / 2;
        match session.outbox.catch_up(number, room, position, frame, bytes_max) {
            CaughtUp::Queued(flush) => {
                if flush {
                    self.delivery.flush_scheduler.schedule(session.clone());
                }
                Some(true)
            }
            CaughtUp::Full => Some(false),
            CaughtUp::Ended => None,
        }
    }

    /// Pauses an outbox: frames are held back, except those [delivered ahead](Self::deliver_ahead). Every call
    /// needs one [`resume`](Self::resume).
    pub fn pause(&self, session: &Arc<Session>) {
        session.outbox.pause();
    }

    /// Ends one pause and drops held-back copies of stored messages that `is_redelivered` reports as delivered
    /// meanwhile. The last call releases the rest.
    pub fn resume(&self, session: &Arc<Session>, is_redelivered: impl Fn(MessageNumber) -> bool) {
        if session.outbox.resume(is_redelivered) {
            self.delivery.flush_scheduler.schedule(session.clone());
        }
    }

    /// Closes a socket that keeps too much in memory, as if its outbox were full.
    pub fn close_overflowed(&self, session: &Arc<Session>) {
        if session.outbox.overflow(self.delivery.overflow_frame.clone()) {
            self.delivery.stats.overflowed.fetch_add(1, Ordering::Relaxed);
            self.delivery.flush_scheduler.schedule(session.clone());
        }
    }

    /// Closes a socket after the frames that are queued for it.
    pub fn close(&self, session: &Arc<Session>, close_frame: Bytes) {
        if session.outbox.close(close_frame) {
            self.delivery.flush_scheduler.schedule(session.clone());
        }
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

/// The transport of a session without a socket.
struct NoTransport;

impl Transport for NoTransport {
    fn send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn wake_owner(&self) {}
}
