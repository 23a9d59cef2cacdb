//! Contract tests of `Bus`, `Store`, `Inbox` and `IdempotencyStore`, run on real hubs.

pub mod inbox;
pub mod inbox_model;
pub mod repeats;

use std::io;
use std::sync::{Arc, Mutex};

use crate::name;
use bytes::Bytes;
use switchboard_backplane::{Bus, Content, Page, SeatRequest, Seated, Store};
use switchboard_event::{
    Audience, DeliveryClass, Event, Parcel, Payload, ProjectId, Protocol, ShardName, SocketId, Target,
};
use switchboard_hub::{Hub, HubConfig, HubEvent, Index, NewSession, Schedule, Scope, Session, Transport};

/// Flushes immediately, so the hub needs no tasks.
struct ImmediateFlush;

impl Schedule for ImmediateFlush {
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

/// A node of a test: a hub whose frames are event names, each followed by a full stop.
pub struct Node {
    /// The hub.
    pub hub: Arc<Hub>,
}

/// A socket on a node of a test.
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
            encode: |_: Protocol, event: &Event| Bytes::from(format!("{}.", event.name)),
            schedule: Arc::new(ImmediateFlush),
            overflow_frame: Bytes::from_static(b"overflow"),
            outbox_bytes_max: 1024,
            memberships_max: 10,
        };
        Node { hub: Hub::new(config, index.clone(), bus, store(index)) }
    }

    /// Adds a socket.
    pub fn add(&self, project: &str) -> Member {
        self.add_as(project, SocketId::on(self.hub.bus().node()))
    }

    /// Adds a socket with this id.
    pub fn add_as(&self, project: &str, id: SocketId) -> Member {
        let recorder = Arc::new(Recorder::default());
        let session = self.hub.add(NewSession {
            id,
            project: name(project),
            protocol: Protocol::Emit,
            transport: recorder.clone(),
            peer: Box::new(()),
            greeting: None,
        });
        Member { session, recorder }
    }

    /// Joins a socket to a target.
    pub fn join(&self, member: &Member, target: &Target) {
        assert!(self.hub.join(&member.session, target).expect("it may join"));
    }

    /// Sends an event.
    pub fn send(&self, project: &str, audience: impl Into<Audience>, event: &str, scope: Scope) {
        let event = Event { name: name(event), data: Payload::EMPTY, sender: None, time_ms: 0 };
        let parcel = Parcel::new(event, DeliveryClass::Live);
        self.hub.send(&name(project), &audience.into(), &parcel, scope);
    }
}

/// Tests the delivery between two nodes on connected buses. `settle` waits until every publication has arrived.
pub async fn bus<S: AsyncFn()>(one: &Node, two: &Node, settle: S) {
    let room = Target::room("lobby").expect("a short name");
    let user = Target::user("7").expect("a short name");
    let (near, far, stranger) = (one.add("a"), two.add("a"), two.add("b"));
    for (node, member) in [(one, &near), (two, &far), (two, &stranger)] {
        node.join(member, &room);
    }
    two.join(&far, &user);
    settle().await;
    for n in 0..20 {
        one.send("a", room.clone(), &format!("room{n}"), Scope::AllNodes);
    }
    one.send("a", Target::Everyone, "everyone", Scope::AllNodes);
    one.send("a", user.clone(), "user", Scope::AllNodes);
    one.send("a", Target::Socket(far.session.id), "socket", Scope::AllNodes);
    one.send("a", Audience::from(room.clone()).and(user).and(Target::Everyone), "once", Scope::AllNodes);
    one.send("a", Audience::everyone().except(far.session.id), "except", Scope::AllNodes);
    one.send("a", room.clone(), "local", Scope::ThisNode);
    settle().await;
    let rooms: String = (0..20).map(|n| format!("room{n}.")).collect();
    assert_eq!(far.received(), format!("{rooms}everyone.user.socket.once."));
    assert_eq!(near.received(), format!("{rooms}everyone.once.except.local."));
    assert_eq!(stranger.received(), "", "nothing crosses projects");

    two.hub.leave(&far.session, &room);
    settle().await;
    one.send("a", room, "left", Scope::AllNodes);
    settle().await;
    assert!(!far.received().contains("left"));
    single_sockets(one, two, far.session.id, &settle).await;
}

/// A publication for a socket reaches its node if the node has any socket in the project.
async fn single_sockets<S: AsyncFn()>(one: &Node, two: &Node, far: SocketId, settle: &S) {
    let (sender, received) = std::sync::mpsc::channel();
    two.hub.listen(Box::new(move |event| {
        if let HubEvent::Publication(publication) = event {
            let _ = sender.send(publication.project.to_string());
        }
    }));
    for project in ["nobody's", "b", "a"] {
        let content = Content::Control(Bytes::from_static(b"said"));
        one.hub.publish(&name(project), &Target::Socket(far).into(), content).expect("it is up");
    }
    settle().await;
    let mut received: Vec<String> = received.try_iter().collect();
    // Projects may be on different Redis servers, so their order is undefined.
    received.sort();
    assert_eq!(received, ["a", "b"], "every project with a socket on the node");
}

/// Tests that a store reflects the changes of hubs. `settle` waits until it does.
pub async fn store<S: AsyncFn()>(node: &Node, settle: S) {
    let store = node.hub.store();
    let (a, b): (ProjectId, ProjectId) = (name("a"), name("b"));
    let (room, tag) = (Target::room("r").expect("short"), Target::tag("t").expect("short"));
    let (seven, eight) = (Target::user("7").expect("short"), Target::user("8").expect("short"));
    let count = async |project: &ProjectId, target: &Target| {
        store.count(project, target).await.expect("the store replies")
    };

    assert_eq!(count(&a, &Target::Everyone).await, 0, "an unknown project is empty");
    let members: Vec<Member> = (0..5).map(|_| node.add("a")).collect();
    let other = node.add("b");
    for member in &members[..3] {
        node.join(member, &room);
        node.join(member, &seven);
    }
    node.join(&members[3], &tag);
    node.join(&members[3], &eight);
    node.join(&other, &room);
    settle().await;
    assert_eq!(count(&a, &Target::Everyone).await, 5);
    assert_eq!((count(&a, &room).await, count(&b, &room).await), (3, 1));
    assert_eq!((count(&a, &tag).await, count(&a, &seven).await), (1, 3));
    let socket = Target::Socket(members[0].session.id);
    assert_eq!((count(&a, &socket).await, count(&b, &socket).await), (1, 0), "a socket is of one project");

    let mut ids: Vec<SocketId> = members.iter().map(|member| member.session.id).collect();
    ids.sort();
    let mut paged = Vec::new();
    loop {
        let page = Page { after: paged.last().copied(), limit: 2 };
        let more = store.members(&a, &Target::Everyone, page).await.expect("the store replies");
        if more.is_empty() {
            break;
        }
        paged.extend(more);
    }
    assert_eq!(paged, ids, "pages together are the whole, in order");
    assert_eq!(store.count_users(&a).await.expect("the store replies"), 2);
    assert_eq!(store.users(&a, Page::all()).await.expect("the store replies"), ["7", "8"]);

    node.hub.remove(&members[0].session);
    node.hub.leave(&members[1].session, &seven);
    settle().await;
    assert_eq!(count(&a, &seven).await, 1, "online until the last socket goes");
    node.hub.remove(&members[2].session);
    node.hub.remove(&members[2].session);
    settle().await;
    assert_eq!((count(&a, &seven).await, count(&a, &room).await), (0, 1));
    assert_eq!(store.users(&a, Page::all()).await.expect("the store replies"), ["8"]);
    for member in &members {
        node.hub.remove(&member.session);
    }
    settle().await;
    assert_eq!((count(&a, &Target::Everyone).await, count(&b, &Target::Everyone).await), (0, 1));
    arrivals(node, &settle).await;
}

/// Tests seats with a description: presence is recorded once and removed entirely, in any order of calls.
async fn arrivals<S: AsyncFn()>(node: &Node, settle: &S) {
    let (store, project, shard) = (node.hub.store(), name("arrivals"), name("s"));
    let room = Target::shard(&shard);
    let counts = async || {
        settle().await;
        let seats = store.shards(&project).await.expect("the store replies");
        let count = async |target: &Target| store.count(&project, target).await.expect("the store replies");
        let seated: usize = seats.iter().map(|shard| shard.seated).sum();
        (count(&Target::Everyone).await, count(&room).await, seated)
    };
    let ids = [0; 4].map(|_| SocketId::on(node.hub.bus().node()));
    for id in ids {
        let description = Some(Bytes::from_static(b"{}"));
        let request = SeatRequest { description, ..request(id, Some("s"), 9) };
        assert_eq!(
            store.take_seat(&project, request).await.expect("the store replies"),
            Seated::In(shard.clone())
        );
    }
    let [first, second, third, never] = ids;
    let members = [first, second, third].map(|id| node.add_as("arrivals", id));
    members[..2].iter().for_each(|member| node.join(member, &room));
    store.leave_seat(&project, &shard, never);
    // It did not get so far as its room.
    store.leave_seat(&project, &shard, third);
    assert_eq!(counts().await, (3, 2, 2));
    node.hub.remove(&members[0].session);
    assert_eq!(counts().await, (2, 1, 2));
    store.leave_seat(&project, &shard, first);
    store.leave_seat(&project, &shard, second);
    assert_eq!(counts().await, (2, 1, 0), "it may stay without a seat");
    node.hub.leave(&members[1].session, &room);
    node.join(&members[1], &room);
    assert_eq!(counts().await, (2, 1, 0));
    members[1..].iter().for_each(|member| node.hub.remove(&member.session));
    assert_eq!(counts().await, (0, 0, 0));
}

/// Tests that concurrent seat requests on several nodes never exceed a shard's capacity and that all seats are
/// given back. `stores` are the stores of connected nodes; `settle` waits until their changes are visible.
pub async fn seats<S: AsyncFn()>(stores: &[Arc<dyn Store>], settle: S) {
    const CAPACITY: u32 = 7;
    let project = name::<ProjectId>("seats");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24_usize {
        let (store, project) = (stores[task % stores.len()].clone(), project.clone());
        tasks.spawn(async move { take_and_leave_seats(&*store, &project, task, CAPACITY).await });
    }
    let mut kept_seats = Vec::new();
    while let Some(seats) = tasks.join_next().await {
        kept_seats.extend(seats.expect("no task panics"));
    }
    settle().await;
    let mut expected: Vec<(ShardName, usize)> = Vec::new();
    kept_seats.sort();
    for (shard, _) in &kept_seats {
        match expected.last_mut() {
            Some((last, seated)) if last == shard => *seated += 1,
            _ => expected.push((shard.clone(), 1)),
        }
    }
    for store in stores {
        let shards = store.shards(&project).await.expect("the store replies");
        let mut shards: Vec<_> = shards.into_iter().map(|shard| (shard.name, shard.seated)).collect();
        shards.sort();
        assert_eq!(shards, expected, "every seat has its socket");
    }
    let over = expected.iter().find(|(_, seated)| *seated > CAPACITY as usize);
    assert_eq!(over, None, "no shard exceeds its capacity");
    for (place, (shard, socket)) in kept_seats.iter().enumerate() {
        stores[place % stores.len()].leave_seat(&project, shard, *socket);
    }
    settle().await;
    for store in stores {
        assert_eq!(store.shards(&project).await.expect("the store replies"), [], "no seat is left behind");
    }
    named_seats(stores, &settle).await;
}

fn request(socket: SocketId, shard: Option<&str>, capacity: u32) -> SeatRequest {
    let shard = shard.map(name);
    SeatRequest { socket, shard, capacity, overflow: false, project_max: None, description: None }
}

/// Takes seats, gives most of them back, and returns the others.
async fn take_and_leave_seats(
    store: &dyn Store,
    project: &ProjectId,
    task: usize,
    capacity: u32,
) -> Vec<(ShardName, SocketId)> {
    let mut seats = Vec::new();
    for round in 0..50 {
        let socket = SocketId::random();
        let request = request(socket, None, capacity);
        match store.take_seat(project, request).await.expect("the store replies") {
            Seated::In(shard) => seats.push((shard, socket)),
            Seated::Full => panic!("the project has no bound"),
        }
        let seated = store.shards(project).await.expect("the store replies");
        let over = seated.iter().find(|shard| shard.seated > capacity as usize);
        assert_eq!(over, None, "no shard exceeds its capacity at any time");
        if !(round + task).is_multiple_of(3) {
            let (shard, socket) = seats.swap_remove(round % seats.len());
            store.leave_seat(project, &shard, socket);
        }
        tokio::task::yield_now().await;
    }
    seats
}

/// Tests the placement rules across nodes.
async fn named_seats<S: AsyncFn()>(stores: &[Arc<dyn Store>], settle: &S) {
    let project = name("named");
    let mut seats = Vec::new();
    let mut take = async |node: usize, shard: Option<&str>, project_max: Option<usize>| {
        let socket = SocketId::random();
        let request = SeatRequest { project_max, ..request(socket, shard, 2) };
        match stores[node % stores.len()].take_seat(&project, request).await.expect("the store replies") {
            Seated::In(shard) => {
                seats.push((shard.clone(), socket));
                shard.to_string()
            }
            Seated::Full => "full".into(),
        }
    };
    for node in 0..3 {
        assert_eq!(take(node, Some("shard-1"), None).await, "shard-1", "a named shard is unbounded");
    }
    assert_eq!(take(0, None, None).await, "shard-2", "automatic placement does not use a named shard");
    assert_eq!(take(1, None, None).await, "shard-2");
    assert_eq!(take(1, None, None).await, "shard-3");
    assert_eq!(take(0, None, Some(6)).await, "full");
    for (shard, socket) in &seats {
        stores[0].leave_seat(&project, shard, *socket);
    }
    settle().await;
    assert_eq!(stores[0].shards(&project).await.expect("the store replies"), []);
}
