//! Nodes for the contract tests: hubs that record the frames of their sockets.

use std::io;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use switchboard_backplane::contract::{PublicationListener, TestNode, TestSocket, name};
use switchboard_backplane::{Bus, Content, OverflowRules, PublishError, Receiver, Store};
use switchboard_event::{
    Audience, Event, NodeId, OverflowPolicy, Parcel, Payload, ProjectId, Protocol, SocketId, Target,
};
use switchboard_hub::{
    FlushScheduler, Hub, HubConfig, HubEvent, Index, NewSession, Scope, Session, Transport,
};

/// Flushes immediately, so the hub needs no tasks.
struct ImmediateFlush;

impl FlushScheduler for ImmediateFlush {
    fn schedule(&self, session: Arc<Session>) {
        session.outbox.flush(&mut Vec::new());
    }

    fn schedule_all(&self, sessions: Vec<Arc<Session>>) {
        sessions.into_iter().for_each(|session| self.schedule(session));
    }
}

/// Records the sent bytes.
#[derive(Default)]
struct Recorder(Mutex<Vec<u8>>);

impl Transport for Recorder {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn wake_owner(&self) {}
}

/// A hub on a bus and a store. A frame is the name of its event and a full stop.
pub struct Node {
    /// The hub.
    pub hub: Arc<Hub>,
}

/// A socket of a [`Node`].
pub struct Member {
    /// Its session.
    pub session: Arc<Session>,
    recorder: Arc<Recorder>,
}

impl Member {
    /// All frames received so far.
    pub fn received(&self) -> String {
        String::from_utf8(self.recorder.0.lock().expect("no test panics here").clone())
            .expect("names are text")
    }
}

impl Node {
    /// A node on a bus, with a store on its index.
    pub fn new(bus: Arc<dyn Bus>, store: impl FnOnce(Arc<Index>) -> Arc<dyn Store>) -> Self {
        let index = Arc::new(Index::default());
        let config = HubConfig {
            encode: |_, event, _| Some(Bytes::from(format!("{}.", event.name))),
            flush_scheduler: Arc::new(ImmediateFlush),
            overflow_frame: Bytes::from_static(b"overflow"),
            outbox_bytes_max: 1024,
            memberships_max: 10,
            membership_bytes_max: 1000,
            history: None,
            overflow_rules: OverflowRules::default(),
        };
        Node { hub: Hub::new(config, index.clone(), bus, store(index)) }
    }

    /// Adds a socket.
    pub fn add(&self, project: &str) -> Member {
        self.connect(&name(project))
    }

    /// Adds a socket with this id.
    pub fn add_as(&self, project: &str, id: SocketId) -> Member {
        self.connect_as(&name(project), id)
    }

    /// Joins a socket to a target.
    ///
    /// # Panics
    ///
    /// If it is a member already.
    pub fn join(&self, member: &Member, target: &Target) {
        assert!(self.hub.join(&member.session, target).expect("it may join"));
    }

    /// Sends an event without data.
    pub fn send(&self, project: &str, audience: impl Into<Audience>, event: &str, scope: Scope) {
        let event = Event { name: name(event), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
        self.send_event(&name(project), &audience.into(), event, scope);
    }

    fn send_event(&self, project: &ProjectId, audience: &Audience, event: Event, scope: Scope) {
        self.hub.send(project, audience, &Parcel::new(event, OverflowPolicy::Live), scope);
    }
}

impl TestSocket for Member {
    fn id(&self) -> SocketId {
        self.session.id
    }

    fn received(&self) -> Vec<String> {
        self.received().split_terminator('.').map(str::to_owned).collect()
    }
}

impl TestNode for Node {
    type Socket = Member;

    fn id(&self) -> NodeId {
        self.hub.bus().node()
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.hub.store()
    }

    fn receiver(&self) -> Weak<dyn Receiver> {
        let receiver: Arc<dyn Receiver> = self.hub.clone();
        Arc::downgrade(&receiver)
    }

    fn connect_as(&self, project: &ProjectId, id: SocketId) -> Member {
        let recorder = Arc::new(Recorder::default());
        let session = self.hub.add(NewSession {
            id,
            project: project.clone(),
            protocol: Protocol::Emit,
            wants_positions: false,
            transport: recorder.clone(),
            connection_state: Box::new(()),
            greeting: None,
        });
        Member { session, recorder }
    }

    fn disconnect(&self, socket: &Member) {
        self.hub.remove(&socket.session);
    }

    fn join(&self, socket: &Member, target: &Target) {
        self.join(socket, target);
    }

    fn leave(&self, socket: &Member, target: &Target) {
        self.hub.leave(&socket.session, target);
    }

    fn send(&self, project: &ProjectId, audience: &Audience, event: Event) {
        self.send_event(project, audience, event, Scope::AllNodes);
    }

    fn send_locally(&self, project: &ProjectId, audience: &Audience, event: Event) {
        self.send_event(project, audience, event, Scope::ThisNode);
    }

    fn publish(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
    ) -> Result<(), PublishError> {
        self.hub.publish(project, audience, content)
    }

    fn listen(&self, listener: PublicationListener) {
        self.hub.listen(Box::new(move |event| {
            if let HubEvent::Publication(publication) = event {
                listener(publication);
            }
        }));
    }
}
