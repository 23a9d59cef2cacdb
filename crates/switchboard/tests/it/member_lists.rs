//! Who is on a shard, over nodes that share a store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::{
    App, Bus, Content, Index, Koji, LocalBus, MemoryStore, Page, ProjectId, Publication, Receiver,
    SeatRequest, Seated, Shard, ShardName, SocketId, Store, StoreError, StoreFuture, Target, UserId,
};
use switchboard_testkit::{KojiPeer, TestServer};

type Descriptions = HashMap<(ProjectId, ShardName), BTreeMap<SocketId, Bytes>>;

/// What the nodes of a test share.
struct Facts {
    seats: MemoryStore,
    descriptions: Mutex<Descriptions>,
    /// The store does not answer.
    down: AtomicBool,
    /// Nodes do not hear of changes.
    mute: AtomicBool,
    asked: AtomicUsize,
}

/// The store as one node has it.
struct SharedStore {
    bus: Arc<LocalBus>,
    facts: Arc<Facts>,
}

impl SharedStore {
    fn change(
        &self,
        project: &ProjectId,
        shard: &ShardName,
        change: impl FnOnce(&mut BTreeMap<SocketId, Bytes>),
    ) {
        let key = (project.clone(), shard.clone());
        change(self.facts.descriptions.lock().unwrap().entry(key).or_default());
        if !self.facts.mute.load(Ordering::Relaxed) {
            let content = Content::ShardChanged(shard.clone());
            let audience = Target::shard(shard).into();
            self.bus.publish(&Publication { project: project.clone(), audience, content }).unwrap();
        }
    }
}

impl Store for SharedStore {
    fn entered(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn left(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> StoreFuture<'a, usize> {
        self.facts.seats.count(project, target)
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> StoreFuture<'a, Vec<SocketId>> {
        self.facts.seats.members(project, target, page)
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, usize> {
        self.facts.seats.count_users(project)
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> StoreFuture<'a, Vec<UserId>> {
        self.facts.seats.users(project, page)
    }

    fn take_seat<'a>(&'a self, project: &'a ProjectId, wish: SeatRequest) -> StoreFuture<'a, Seated> {
        self.facts.seats.take_seat(project, wish)
    }

    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId) {
        self.facts.seats.leave_seat(project, shard, socket);
        self.change(project, shard, |descriptions| {
            descriptions.remove(&socket);
        });
    }

    fn shards<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, Vec<Shard>> {
        self.facts.seats.shards(project)
    }

    fn describe(&self, project: &ProjectId, shard: &ShardName, socket: SocketId, description: Bytes) {
        self.change(project, shard, |descriptions| {
            descriptions.insert(socket, description);
        });
    }

    fn descriptions<'a>(
        &'a self,
        project: &'a ProjectId,
        shard: &'a ShardName,
    ) -> StoreFuture<'a, Vec<(SocketId, Bytes)>> {
        self.facts.asked.fetch_add(1, Ordering::Relaxed);
        if self.facts.down.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError("it is down".into())) });
        }
        let all = self.facts.descriptions.lock().unwrap();
        let here = all.get(&(project.clone(), shard.clone())).cloned().unwrap_or_default();
        let others = here.into_iter().filter(|(id, _)| id.node() != self.bus.node()).collect();
        Box::pin(async { Ok(others) })
    }
}

/// Two nodes with a Koji door, and what they share.
async fn two() -> (TestServer, TestServer, Arc<Facts>) {
    let facts = Arc::new(Facts {
        seats: MemoryStore::new(Arc::new(Index::default())),
        descriptions: Mutex::default(),
        down: AtomicBool::new(false),
        mute: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
    });
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        let bus = Arc::new(bus);
        let store = SharedStore { bus: bus.clone(), facts: facts.clone() };
        let app = App::new().with_koji(Koji::new()).with_bus(bus).with_store(Arc::new(store));
        nodes.push(TestServer::start(app).await);
    }
    let [one, two] = nodes.try_into().unwrap_or_else(|_| panic!("two were made"));
    (one, two, facts)
}

async fn join(server: &TestServer) -> KojiPeer {
    KojiPeer::join(server, "projectId=p&shardName=s").await
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_list_is_of_the_clients_of_all_nodes_and_the_same_everywhere() {
    let (one, two, _) = two().await;
    let mut ann = join(&one).await;
    ann.list_of(1).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let mut bob = join(&two).await;
    let first = bob.next_list().await;
    assert_eq!(first[&ann.id]["userInfo"], json!({ "name": "Ann" }), "also in the first list: {first}");
    assert_eq!(ids(&first), [&ann.id, &bob.id], "in the order they came");
    assert!(first[&ann.id]["lastPing"].as_u64().unwrap() > 1_700_000_000_000);
    let mut carl = join(&one).await;
    let mut lists = Vec::new();
    for peer in [&mut ann, &mut bob, &mut carl] {
        lists.push(peer.list_of(3).await);
    }
    for list in &lists {
        assert_eq!(ids(list), [&ann.id, &bob.id, &carl.id]);
    }
    bob.set_user_info(json!({ "name": "Bob" })).await;
    let id = bob.id.clone();
    for peer in [&mut ann, &mut carl] {
        peer.list_where(|list| list[&id]["userInfo"] == json!({ "name": "Bob" })).await;
    }
    bob.peer.close().await;
    for peer in [&mut ann, &mut carl] {
        assert_eq!(peer.list_of(2).await.get(&id), None);
    }
}

#[tokio::test]
async fn who_asked_for_changes_gets_those_of_other_nodes_with_a_version() {
    let (one, two, _) = two().await;
    let query = "projectId=p&shardName=s&connectedClients=changes";
    let mut watcher = KojiPeer::join(&one, query).await;
    let first = watcher.next().await;
    let mut version = first["payload"]["version"].as_u64().unwrap();
    let mut next = async |watcher: &mut KojiPeer| {
        let frame = watcher.next().await;
        assert_eq!(frame["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES", "{frame}");
        version += 1;
        assert_eq!(frame["payload"]["version"], version, "no version is left out");
        frame["payload"].clone()
    };
    let mut bob = join(&two).await;
    let changes = next(&mut watcher).await;
    assert_eq!((ids(&changes["joined"]), &changes["left"]), (vec![&*bob.id], &json!([])));
    bob.set_user_info(json!({ "name": "Bob" })).await;
    let changes = next(&mut watcher).await;
    assert_eq!(changes["updated"][&bob.id]["userInfo"], json!({ "name": "Bob" }));
    assert_eq!((&changes["joined"], &changes["left"]), (&json!({}), &json!([])));
    let id = bob.id.clone();
    bob.peer.close().await;
    assert_eq!(next(&mut watcher).await["left"], json!([id]));
}

#[tokio::test]
async fn while_the_store_does_not_answer_what_is_known_is_told_and_then_the_rest() {
    let (one, two, facts) = two().await;
    let mut bob = join(&two).await;
    bob.list_of(1).await;
    facts.down.store(true, Ordering::Relaxed);
    let mut ann = join(&one).await;
    assert_eq!(ids(&ann.next_list().await), [&ann.id], "Bob is not known yet");
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let project = one.app.project(&ProjectId::new("p").unwrap());
    assert!(project.shard_clients("s").await.is_err(), "half a list is no answer");
    facts.down.store(false, Ordering::Relaxed);
    ann.list_of(2).await;
    bob.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
}

#[tokio::test]
async fn what_was_missed_is_found_when_the_bus_is_back() {
    let (one, two, facts) = two().await;
    let mut ann = join(&one).await;
    ann.list_of(1).await;
    facts.mute.store(true, Ordering::Relaxed);
    let mut bob = join(&two).await;
    bob.list_of(2).await;
    ann.quiet().await;
    one.app.hub().missed();
    assert!(ann.list_of(2).await.get(&bob.id).is_some());
}

#[tokio::test]
async fn a_hundred_changes_elsewhere_do_not_cost_a_question_each() {
    let (one, two, facts) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    let before = facts.asked.load(Ordering::Relaxed);
    for n in 1..=100 {
        bob.set_user_info(json!({ "n": n })).await;
    }
    let id = bob.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["n"] == 100).await;
    let asked = facts.asked.load(Ordering::Relaxed) - before;
    assert!(asked < 20, "{asked} questions for 100 changes");
}

#[tokio::test]
async fn the_app_sees_the_clients_of_all_nodes() {
    let (one, two, _) = two().await;
    let (ann, mut bob) = (join(&one).await, join(&two).await);
    bob.list_of(2).await;
    for server in [&one, &two] {
        let app = server.app.project(&ProjectId::new("p").unwrap());
        let clients = app.shard_clients("s").await.unwrap();
        let seen: Vec<_> = clients.iter().map(|client| client.client_id.to_string()).collect();
        assert_eq!(seen, [&*ann.id, &*bob.id]);
        let shards = app.shards().await.unwrap();
        assert_eq!((&*shards[0].name, shards[0].seated), ("s", 2));
        assert!(app.shard_clients("nowhere").await.unwrap().is_empty());
    }
    let id = bob.id.parse().unwrap();
    let socket = two.app.project(&ProjectId::new("p").unwrap()).socket(id).unwrap();
    assert!(socket.set_user_info(&json!({ "name": "by the app" })).unwrap());
    let clients = one.app.project(&ProjectId::new("p").unwrap()).shard_clients("s").await.unwrap();
    assert_eq!(clients[1].user_info.to::<Value>().unwrap(), json!({ "name": "by the app" }));
    bob.peer.close().await;
}
