//! Koji member lists across nodes that share a store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::backplane::{
    BackplaneError, BackplaneFuture, Bus, Content, IfUnreached, LocalBus, MemoryStore, Publication, Receiver,
    SeatRequest, Seated, Shard, Store,
};
use switchboard::hub::Index;
use switchboard::{App, Koji, Page, ProjectId, RoomName, ShardName, SocketId, Target, UserId};
use switchboard_testkit::{KojiPeer, TestServer};

use crate::support::ListChanges;

type Descriptions = HashMap<(ProjectId, ShardName), BTreeMap<SocketId, Bytes>>;

/// The state of a store that several nodes share.
struct SharedState {
    seats: MemoryStore,
    descriptions: Mutex<Descriptions>,
    /// Reads of descriptions fail.
    down: AtomicBool,
    /// Changes are not published to the other nodes.
    publishes_nothing: AtomicBool,
    reads: AtomicUsize,
}

/// The handle of one node to the shared store.
struct SharedStore {
    bus: Arc<LocalBus>,
    state: Arc<SharedState>,
}

impl SharedStore {
    fn change(
        &self,
        project: &ProjectId,
        shard: &ShardName,
        change: impl FnOnce(&mut BTreeMap<SocketId, Bytes>),
    ) {
        let key = (project.clone(), shard.clone());
        change(self.state.descriptions.lock().unwrap().entry(key).or_default());
        if !self.state.publishes_nothing.load(Ordering::Relaxed) {
            let content = Content::ShardChanged(shard.clone());
            let audience = Target::shard(shard).into();
            self.bus
                .publish(&Publication { project: project.clone(), audience, content }, IfUnreached::Ignore)
                .unwrap();
        }
    }
}

impl Store for SharedStore {
    fn entered(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn left(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> BackplaneFuture<'a, usize> {
        self.state.seats.count(project, target)
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> BackplaneFuture<'a, Vec<SocketId>> {
        self.state.seats.members(project, target, page)
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, usize> {
        self.state.seats.count_users(project)
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> BackplaneFuture<'a, Vec<UserId>> {
        self.state.seats.users(project, page)
    }

    fn rooms<'a>(
        &'a self,
        project: &'a ProjectId,
        prefix: &'a str,
        page: Page<RoomName>,
    ) -> BackplaneFuture<'a, Vec<RoomName>> {
        self.state.seats.rooms(project, prefix, page)
    }

    fn take_seat<'a>(&'a self, project: &'a ProjectId, request: SeatRequest) -> BackplaneFuture<'a, Seated> {
        self.state.seats.take_seat(project, request)
    }

    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId) {
        self.state.seats.leave_seat(project, shard, socket);
        self.change(project, shard, |descriptions| {
            descriptions.remove(&socket);
        });
    }

    fn shards<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, Vec<Shard>> {
        self.state.seats.shards(project)
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
    ) -> BackplaneFuture<'a, Vec<(SocketId, Bytes)>> {
        self.state.reads.fetch_add(1, Ordering::Relaxed);
        if self.state.down.load(Ordering::Relaxed) {
            return Box::pin(async { Err(BackplaneError("the store is down".into())) });
        }
        let all = self.state.descriptions.lock().unwrap();
        let here = all.get(&(project.clone(), shard.clone())).cloned().unwrap_or_default();
        let others = here.into_iter().filter(|(id, _)| id.node() != self.bus.node()).collect();
        Box::pin(async { Ok(others) })
    }
}

/// Two nodes with the Koji protocol, and their shared store.
async fn two() -> (TestServer, TestServer, Arc<SharedState>) {
    let state = Arc::new(SharedState {
        seats: MemoryStore::new(Arc::new(Index::default())),
        descriptions: Mutex::default(),
        down: AtomicBool::new(false),
        publishes_nothing: AtomicBool::new(false),
        reads: AtomicUsize::new(0),
    });
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        let bus = Arc::new(bus);
        let store = SharedStore { bus: bus.clone(), state: state.clone() };
        let app = App::new().with_koji(Koji::new()).with_bus(bus).with_store(Arc::new(store));
        nodes.push(TestServer::start(app).await);
    }
    let [one, two] = nodes.try_into().unwrap_or_else(|_| panic!("two nodes"));
    (one, two, state)
}

async fn join(server: &TestServer) -> KojiPeer {
    KojiPeer::join(server, "projectId=p&shardName=s").await
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn member_lists_contain_the_clients_of_all_nodes_in_the_same_order() {
    let (one, two, _) = two().await;
    let mut ann = join(&one).await;
    ann.list_of(1).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let mut bob = join(&two).await;
    let first = bob.next_list().await;
    assert_eq!(
        first[&ann.id]["userInfo"],
        json!({ "name": "Ann" }),
        "the first list already contains the user info: {first}"
    );
    assert_eq!(ids(&first), [&ann.id, &bob.id], "in the order of connection");
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
async fn a_client_in_changes_mode_receives_versioned_changes_of_other_nodes() {
    let (one, two, _) = two().await;
    let query = "projectId=p&shardName=s&connectedClients=changes";
    let mut watcher = KojiPeer::join(&one, query).await;
    let first = watcher.next().await;
    let mut list_changes = ListChanges::after(&first);
    let mut bob = join(&two).await;
    let changes = list_changes.next(&mut watcher).await;
    assert_eq!((ids(&changes["joined"]), &changes["left"]), (vec![&*bob.id], &json!([])));
    bob.set_user_info(json!({ "name": "Bob" })).await;
    let changes = list_changes.next(&mut watcher).await;
    assert_eq!(changes["updated"][&bob.id]["userInfo"], json!({ "name": "Bob" }));
    assert_eq!((&changes["joined"], &changes["left"]), (&json!({}), &json!([])));
    let id = bob.id.clone();
    bob.peer.close().await;
    assert_eq!(list_changes.next(&mut watcher).await["left"], json!([id]));
}

#[tokio::test]
async fn member_lists_are_local_while_the_store_is_down_and_complete_afterwards() {
    let (one, two, state) = two().await;
    let mut bob = join(&two).await;
    bob.list_of(1).await;
    state.down.store(true, Ordering::Relaxed);
    let mut ann = join(&one).await;
    assert_eq!(ids(&ann.next_list().await), [&ann.id], "the list contains only local clients");
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let project = one.app.project(&ProjectId::new("p").unwrap());
    assert!(project.shard_clients("s").await.is_err(), "an incomplete list is an error");
    state.down.store(false, Ordering::Relaxed);
    ann.list_of(2).await;
    bob.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
}

#[tokio::test]
async fn missed_changes_are_read_when_the_bus_reconnects() {
    let (one, two, state) = two().await;
    let mut ann = join(&one).await;
    ann.list_of(1).await;
    state.publishes_nothing.store(true, Ordering::Relaxed);
    let mut bob = join(&two).await;
    bob.list_of(2).await;
    ann.quiet().await;
    one.app.hub().missed();
    assert!(ann.list_of(2).await.get(&bob.id).is_some());
}

#[tokio::test]
async fn a_hundred_remote_changes_share_reads_of_the_store() {
    let (one, two, state) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    let before = state.reads.load(Ordering::Relaxed);
    for n in 1..=100 {
        bob.set_user_info(json!({ "n": n })).await;
    }
    let id = bob.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["n"] == 100).await;
    let reads = state.reads.load(Ordering::Relaxed) - before;
    assert!(reads < 20, "{reads} reads for 100 changes");
}

#[tokio::test]
async fn shard_clients_contains_the_clients_of_all_nodes() {
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
    socket.set_user_info(&json!({ "name": "by the app" })).unwrap();
    let clients = one.app.project(&ProjectId::new("p").unwrap()).shard_clients("s").await.unwrap();
    assert_eq!(clients[1].user_info.to::<Value>().unwrap(), json!({ "name": "by the app" }));
    bob.peer.close().await;
}
