//! The hub: sockets come, join, hear and go.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use hashbrown::HashSet;
use switchboard_backplane::{Bus, Content, LocalMembers, Publication, PublishError, Receiver, Store};
use switchboard_event::{
    Audience, DeliveryClass, Event, MessageNumber, Parcel, ProjectId, Protocol, SocketId, Target,
};

use crate::index::Index;
use crate::member_set::{Change, MemberSet};
use crate::outbox::{Appended, Order, Transport};
use crate::session::{JoinError, Session};

/// Turns an event into a complete WebSocket frame of a protocol.
pub type Encode = fn(Protocol, &Event) -> Bytes;

/// Has outboxes flushed, soon and each once.
pub trait Schedule: Send + Sync + 'static {
    /// One outbox has something to send.
    fn schedule(&self, session: Arc<Session>);

    /// Many have.
    fn schedule_all(&self, sessions: Vec<Arc<Session>>);
}

/// What a hub is made of.
pub struct HubConfig {
    /// How events become frames.
    pub encode: Encode,
    /// Who flushes the outboxes.
    pub schedule: Arc<dyn Schedule>,
    /// The close frame for a socket whose outbox is full.
    pub overflow_frame: Bytes,
    /// Most bytes that wait for one socket.
    pub outbox_bytes_max: usize,
    /// Most rooms, tags and users that one socket is in.
    pub memberships_max: usize,
}

/// How far a send goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// To sockets of all nodes.
    #[default]
    AllNodes,
    /// To sockets of this node only.
    ThisNode,
}

/// A socket that is about to be known.
pub struct NewSession {
    /// New for every connection.
    pub id: SocketId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// What it speaks.
    pub protocol: Protocol,
    /// The way out to it.
    pub transport: Arc<dyn Transport>,
    /// What the maker of the session keeps with it.
    pub peer: Box<dyn Any + Send + Sync>,
    /// A frame that it gets before anything else.
    pub greeting: Option<Bytes>,
}

/// What a send did on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Sockets that have it in their outbox.
    pub queued: usize,
    /// Sockets that missed it: it was volatile and their outbox full.
    pub dropped: usize,
    /// Sockets that are being closed because their outbox was full.
    pub overflowed: usize,
}

/// What has happened since the hub was made.
#[derive(Debug, Default)]
pub struct HubStats {
    /// Frames put into outboxes.
    pub queued: AtomicU64,
    /// Bytes put into outboxes.
    pub queued_bytes: AtomicU64,
    /// Volatile frames dropped at a full outbox.
    pub dropped: AtomicU64,
    /// Sockets closed because their outbox was full.
    pub overflowed: AtomicU64,
    /// Publications that other nodes did not get because the bus was full or away.
    pub lost: AtomicU64,
}

/// What other nodes say to this one, besides events.
#[derive(Debug)]
pub enum HubEvent {
    /// Something about the sockets of an audience: whatever is no event.
    Publication(Publication),
    /// Anything may have been said in the meantime.
    Missed,
}

/// Hears notices. Called in the order they came; must not wait.
pub type Listener = Box<dyn Fn(HubEvent) + Send + Sync>;

/// Every socket of one node, and who hears what.
pub struct Hub {
    config: HubConfig,
    index: Arc<Index>,
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    stats: HubStats,
    listener: OnceLock<Listener>,
}

impl Hub {
    /// A hub on an index that its store may share.
    pub fn new(config: HubConfig, index: Arc<Index>, bus: Arc<dyn Bus>, store: Arc<dyn Store>) -> Arc<Self> {
        let (stats, listener) = (HubStats::default(), OnceLock::new());
        let hub = Arc::new(Hub { config, index, bus, store, stats, listener });
        let receiver: Weak<dyn Receiver> = Arc::downgrade(&(hub.clone() as Arc<dyn Receiver>));
        let members: Weak<dyn LocalMembers> = Arc::downgrade(&(hub.index.clone() as Arc<dyn LocalMembers>));
        hub.store.start(members);
        hub.bus.start(receiver);
        hub
    }

    /// What is here.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What all nodes know.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What carries sends to other nodes.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// Has notices of other nodes heard; the first who asks hears all. Until then they are dropped.
    pub fn listen(&self, listener: Listener) {
        let _ = self.listener.set(listener);
    }

    fn notice(&self, notice: HubEvent) {
        if let Some(listener) = self.listener.get() {
            listener(notice);
        }
    }

    /// What has happened so far.
    pub fn stats(&self) -> &HubStats {
        &self.stats
    }

    /// Makes a socket known; from now on it hears what everyone hears.
    pub fn add(&self, new_session: NewSession) -> Arc<Session> {
        let NewSession { id, project, protocol, transport, peer, greeting } = new_session;
        let project = self.index.enter_project(&project);
        let session = Arc::new(Session::new(id, project, protocol, transport, peer));
        if let Some(frame) = greeting {
            self.deliver_frame(&session, &frame, DeliveryClass::Live);
        }
        session.membership().open = true;
        self.index.insert(&session);
        self.enter(&session, &Target::Everyone);
        session
    }

    /// A session that stands for nobody, to tell with it what no socket did: it is in nothing, and what
    /// is sent to it goes nowhere.
    pub fn placeholder_session(
        &self,
        project: &ProjectId,
        protocol: Protocol,
        peer: Box<dyn Any + Send + Sync>,
    ) -> Arc<Session> {
        let project = self.index.enter_project(project);
        self.index.leave_project(&project);
        let id = SocketId::on(self.bus.node());
        let session = Session::new(id, project, protocol, Arc::new(Nowhere), peer);
        session.outbox.detach();
        Arc::new(session)
    }

    /// Forgets a socket: it leaves everything it was in. Does nothing the second time.
    pub fn remove(&self, session: &Arc<Session>) {
        let groups = {
            let mut membership = session.membership();
            if !std::mem::take(&mut membership.open) {
                return;
            }
            std::mem::take(&mut membership.groups)
        };
        for group in &groups {
            self.exit(session.id, group);
        }
        if let Some(everyone) = self.index.group(&session.project, &Target::Everyone) {
            self.exit(session.id, &everyone);
        }
        self.index.remove(session.id);
        session.outbox.detach();
        self.index.leave_project(&session.project);
    }

    /// Brings a socket into a room, a tag or a user. False if it was in, so that callers announce
    /// it once. [`Target::Everyone`] and sockets are no places to join: false.
    pub fn join(&self, session: &Arc<Session>, target: &Target) -> Result<bool, JoinError> {
        if matches!(target, Target::Everyone | Target::Socket(_)) {
            return Ok(false);
        }
        let mut membership = session.membership();
        if !membership.open {
            return Err(JoinError::Gone);
        }
        if membership.groups.iter().any(|group| group.target == *target) {
            return Ok(false);
        }
        let max = self.config.memberships_max;
        if membership.groups.len() >= max {
            return Err(JoinError::TooMany { max });
        }
        let group = self.enter(session, target);
        membership.groups.push(group);
        Ok(true)
    }

    /// Takes a socket out. False if it was not in.
    pub fn leave(&self, session: &Arc<Session>, target: &Target) -> bool {
        let mut membership = session.membership();
        let Some(place) = membership.groups.iter().position(|group| group.target == *target) else {
            return false;
        };
        let group = membership.groups.remove(place);
        self.exit(session.id, &group);
        true
    }

    /// Takes all sockets out of a target, such as a user who goes offline. Returns how many.
    pub fn clear(&self, project: &ProjectId, target: &Target) -> usize {
        let members = self.members(project, &target.clone().into());
        members.iter().filter(|session| self.leave(session, target)).count()
    }

    fn enter(&self, session: &Arc<Session>, target: &Target) -> Arc<MemberSet> {
        let project = &session.project;
        loop {
            let group = self.index.member_set_or_new(project, target);
            let first = || self.bus.subscribe(&project.id, target);
            match group.insert(session, first) {
                // Whoever emptied it is about to take it out of the index; do so for them.
                Change::Dead => self.index.forget(&group),
                _ => {
                    self.store.entered(&project.id, target, session.id);
                    return group;
                }
            }
        }
    }

    fn exit(&self, id: SocketId, group: &Arc<MemberSet>) {
        let project = &group.project.id;
        match group.remove(id, || self.bus.unsubscribe(project, &group.target)) {
            Change::None | Change::Dead => return,
            Change::Done => {}
            Change::Emptied => self.index.forget(group),
        }
        self.store.left(project, &group.target, id);
    }

    /// Sends to the sockets of this node and, unless the scope forbids it, of all others. What was
    /// done is of this node; others get it if the bus does not lose it, which is counted.
    pub fn send(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel, scope: Scope) -> Delivered {
        let delivered = self.deliver(project, audience, parcel);
        if scope == Scope::AllNodes {
            let content = Content::Event { event: parcel.event.clone(), class: parcel.class };
            // What is lost is counted and shown there; who sends can do nothing about it.
            let _ = self.publish(project, audience, content);
        }
        delivered
    }

    /// Has other nodes hear something, if they can have a socket of the audience.
    pub fn publish(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
    ) -> Result<(), PublishError> {
        let node = self.bus.node();
        let is_here = |target: &Target| matches!(target, Target::Socket(id) if id.node() == node);
        if audience.to.iter().all(is_here) {
            return Ok(());
        }
        let publication = Publication { project: project.clone(), audience: audience.clone(), content };
        self.bus.publish(&publication).inspect_err(|_| {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Sends to the sockets of this node.
    pub fn deliver(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel) -> Delivered {
        let mut fan_out =
            FanOut { hub: self, parcel, delivered: Delivered::default(), bytes: 0, dirty: Vec::new() };
        self.visit_audience(project, audience, |session| fan_out.to(session));
        fan_out.finish()
    }

    /// The sockets of an audience on this node, each once.
    pub fn members(&self, project: &ProjectId, audience: &Audience) -> Vec<Arc<Session>> {
        let mut members = Vec::new();
        self.visit_audience(project, audience, |session| members.push(session.clone()));
        members
    }

    /// Sends one frame to one socket, whatever its protocol. False if it is closing, or missed it.
    pub fn deliver_frame(&self, session: &Arc<Session>, frame: &Bytes, class: DeliveryClass) -> bool {
        self.deliver_frame_to([session], frame, class).queued == 1
    }

    /// Sends one frame to some sockets, whatever their protocols.
    pub fn deliver_frame_to<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        class: DeliveryClass,
    ) -> Delivered {
        self.deliver_in(Order::Next, sessions, frame, class)
    }

    /// Sends a frame before everything that is [paused](Self::pause). False if the socket is closing.
    pub fn deliver_ahead(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.deliver_in(Order::Now, [session], frame, DeliveryClass::Live).queued == 1
    }

    /// The same for a frame of a few bytes of which there is one at a time: no bound holds for it.
    pub fn deliver_unbounded(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.deliver_in(Order::Beside, [session], frame, DeliveryClass::Live).queued == 1
    }

    /// Sends a message that waits for its user. False if the socket is closing.
    pub fn deliver_stored(&self, session: &Arc<Session>, frame: &Bytes, number: MessageNumber) -> bool {
        self.deliver_in(Order::Stored(number), [session], frame, DeliveryClass::Live).queued == 1
    }

    /// Holds back what a socket is to hear, but for what is [delivered now](Self::deliver_ahead); as
    /// often as this is called [`resume`](Self::resume) has to be.
    pub fn pause(&self, session: &Arc<Session>) {
        session.outbox.pause();
    }

    /// Lets what was held back go, without the kept messages that `told` says it has been told.
    pub fn resume(&self, session: &Arc<Session>, told: impl Fn(MessageNumber) -> bool) {
        if session.outbox.resume(told) {
            self.config.schedule.schedule(session.clone());
        }
    }

    fn deliver_in<'a>(
        &self,
        order: Order,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        class: DeliveryClass,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        for session in sessions {
            if self.append(session, frame, class, order, &mut delivered) {
                self.config.schedule.schedule(session.clone());
            }
        }
        self.count(&delivered, frame.len());
        delivered
    }

    /// Closes a socket behind everything that is queued for it.
    pub fn close(&self, session: &Arc<Session>, close_frame: Bytes) {
        if session.outbox.close(close_frame) {
            self.config.schedule.schedule(session.clone());
        }
    }

    /// Appends and says whether the session has to be flushed.
    fn append(
        &self,
        session: &Arc<Session>,
        frame: &Bytes,
        class: DeliveryClass,
        order: Order,
        delivered: &mut Delivered,
    ) -> bool {
        let HubConfig { outbox_bytes_max, overflow_frame, .. } = &self.config;
        match session.outbox.append(frame, class, order, *outbox_bytes_max, overflow_frame) {
            Appended::Queued(flush) => {
                delivered.queued += 1;
                return flush;
            }
            Appended::Paused => delivered.queued += 1,
            Appended::Dropped => delivered.dropped += 1,
            Appended::Overflowed => {
                delivered.overflowed += 1;
                return true;
            }
            Appended::Closed => {}
        }
        false
    }

    fn count(&self, delivered: &Delivered, frame_bytes: usize) {
        let add = |counter: &AtomicU64, by: usize| {
            if by > 0 {
                counter.fetch_add(by as u64, Ordering::Relaxed);
            }
        };
        add(&self.stats.queued, delivered.queued);
        add(&self.stats.queued_bytes, delivered.queued * frame_bytes);
        add(&self.stats.dropped, delivered.dropped);
        add(&self.stats.overflowed, delivered.overflowed);
    }

    /// Calls `visit` once for each socket of an audience on this node, under the lock of a target.
    fn visit_audience(&self, project: &ProjectId, audience: &Audience, mut visit: impl FnMut(&Arc<Session>)) {
        let excluded = self.excluded(project, audience);
        if let [target] = &*audience.to {
            self.visit(project, target, |session| {
                if !excluded.contains(session.id) {
                    visit(session);
                }
            });
        } else {
            let mut seen = HashSet::new();
            for target in &audience.to {
                self.visit(project, target, |session| {
                    if !excluded.contains(session.id) && seen.insert(session.id) {
                        visit(session);
                    }
                });
            }
        }
    }

    /// Calls `visit` for each socket of a target on this node, under the target's lock.
    fn visit(&self, project: &ProjectId, target: &Target, mut visit: impl FnMut(&Arc<Session>)) {
        if let Target::Socket(id) = target {
            let session = self.index.session(*id).filter(|session| session.project.id == *project);
            session.iter().for_each(visit);
        } else if let Some(project) = self.index.project(project)
            && let Some(group) = self.index.group(&project, target)
        {
            group.for_each(&mut visit);
        }
    }

    fn excluded(&self, project: &ProjectId, audience: &Audience) -> Excluded {
        match &*audience.except {
            [] => Excluded::Nobody,
            [Target::Socket(id)] => Excluded::One(*id),
            many => {
                let mut ids = HashSet::new();
                for target in many {
                    self.visit(project, target, |session| {
                        ids.insert(session.id);
                    });
                }
                Excluded::Many(ids)
            }
        }
    }
}

impl Receiver for Hub {
    fn receive(&self, publication: Publication) {
        match publication {
            Publication { project, audience, content: Content::Event { event, class } } => {
                self.deliver(&project, &audience, &Parcel::new(event, class));
            }
            other => self.notice(HubEvent::Publication(other)),
        }
    }

    fn missed(&self) {
        self.notice(HubEvent::Missed);
    }

    fn has(&self, socket: SocketId) -> bool {
        self.index.session(socket).is_some()
    }
}

/// Where nothing can be sent.
struct Nowhere;

impl Transport for Nowhere {
    fn send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn wake_owner(&self) {}
}

enum Excluded {
    Nobody,
    One(SocketId),
    Many(HashSet<SocketId>),
}

impl Excluded {
    fn contains(&self, id: SocketId) -> bool {
        match self {
            Excluded::Nobody => false,
            Excluded::One(one) => *one == id,
            Excluded::Many(ids) => ids.contains(&id),
        }
    }
}

/// One parcel on its way into many outboxes.
struct FanOut<'a> {
    hub: &'a Hub,
    parcel: &'a Parcel,
    delivered: Delivered,
    bytes: usize,
    dirty: Vec<Arc<Session>>,
}

impl FanOut<'_> {
    fn to(&mut self, session: &Arc<Session>) {
        let protocol = session.protocol;
        let frame = self.parcel.frame(protocol, |event| (self.hub.config.encode)(protocol, event));
        self.bytes = frame.len();
        if self.hub.append(session, frame, self.parcel.class, Order::Next, &mut self.delivered) {
            self.dirty.push(session.clone());
        }
    }

    fn finish(self) -> Delivered {
        if !self.dirty.is_empty() {
            self.hub.config.schedule.schedule_all(self.dirty);
        }
        self.hub.count(&self.delivered, self.bytes);
        self.delivered
    }
}
