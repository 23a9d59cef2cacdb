//! Failovers behind an address: new connections lead to another server, while the old ones stay open.

use switchboard_backplane::{Backplane, Page};
use switchboard_event::{Event, NodeId, Payload, Target};
use switchboard_hub::Scope;
use switchboard_redis::{ConnectError, Options, Publisher, Redis};
use switchboard_testkit::{Forwarder, Member, RedisServer, name};

use crate::support::{RedisNode, node, options, settle, until};

/// A master and its replica, and an address that leads to the master.
struct Pair {
    master: RedisServer,
    replica: RedisServer,
    address: Forwarder,
}

impl Pair {
    async fn start() -> Self {
        let diskless = ["--repl-diskless-sync-delay", "0"];
        let (master, replica) =
            (RedisServer::start_with(&diskless).await, RedisServer::start_with(&diskless).await);
        replicate(&replica, &master).await;
        let address = Forwarder::start(master.port()).await;
        Pair { master, replica, address }
    }

    /// Promotes the replica and has new connections lead to it.
    async fn promote(&self) {
        assert_eq!(self.replica.ask("REPLICAOF NO ONE").await, "+OK");
        self.address.point_to(self.replica.port());
    }

    fn options(&self) -> Options {
        Options { urls: vec![format!("redis://127.0.0.1:{}", self.address.port())], ..options(&self.master) }
    }

    async fn connect(&self) -> RedisNode {
        node(Redis::connect(self.options()).await.expect("Redis answers"))
    }
}

/// Makes a server a replica of another one, and waits until it has its data.
async fn replicate(replica: &RedisServer, master: &RedisServer) {
    assert_eq!(replica.ask(&format!("REPLICAOF 127.0.0.1 {}", master.port())).await, "+OK");
    until("the replica has the data of its master", async || {
        replica.ask_text("INFO replication").await.contains("master_link_status:up")
    })
    .await;
}

fn room() -> Target {
    Target::room("lobby").expect("short")
}

fn join_room(node: &RedisNode) -> Member {
    let member = node.node.add("p");
    node.node.join(&member, &room());
    member
}

/// Asserts that a send from each node reaches the members on all nodes, and that all are counted.
async fn assert_connected(nodes: &[(&RedisNode, &Member)]) {
    let all: Vec<&RedisNode> = nodes.iter().map(|(node, _)| *node).collect();
    for node in &all {
        until("the node is connected", async || node.redis.bus().is_up() && node.redis.store().is_up()).await;
    }
    settle(&all).await;
    for (from, _) in nodes {
        let event = format!("from-{}", NodeId::random());
        from.node.send("p", room(), &event, Scope::AllNodes);
        for (_, member) in nodes {
            until("the event arrives", async || member.received().contains(&event)).await;
        }
        until("all members are counted", async || {
            let members = from.redis.store().members(&name("p"), &room(), Page::all()).await;
            members.is_ok_and(|members| members.len() == nodes.len())
        })
        .await;
    }
}

/// The number of clients of a server, without this one and those that replicate.
async fn clients(server: &RedisServer) -> usize {
    let list = server.ask_text("CLIENT LIST").await;
    let others = ["cmd=client|list", " flags=M ", " flags=S "];
    list.lines().filter(|client| !others.iter().any(|other| client.contains(other))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_of_all_nodes_move_to_the_new_master_when_the_old_one_is_demoted() {
    let pair = Pair::start().await;
    let (one, two) = (pair.connect().await, pair.connect().await);
    let (a, b) = (join_room(&one), join_room(&two));
    assert_connected(&[(&one, &a), (&two, &b)]).await;
    pair.promote().await;
    replicate(&pair.master, &pair.replica).await;
    let new = pair.connect().await;
    let c = join_room(&new);
    until("the old master is left", async || clients(&pair.master).await == 0).await;
    assert_connected(&[(&one, &a), (&two, &b), (&new, &c)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_that_reaches_another_master_takes_the_others_with_it() {
    let pair = Pair::start().await;
    let (one, two) = (pair.connect().await, pair.connect().await);
    let (a, b) = (join_room(&one), join_room(&two));
    assert_connected(&[(&one, &a), (&two, &b)]).await;
    // The old master stays one. Without this cut the nodes notice at their next verification.
    pair.promote().await;
    let killed = pair.master.ask("CLIENT KILL TYPE pubsub").await;
    assert_eq!(killed, ":2", "the subscribers");
    let new = pair.connect().await;
    let c = join_room(&new);
    until("the old master is left", async || clients(&pair.master).await == 0).await;
    assert_connected(&[(&one, &a), (&two, &b), (&new, &c)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: waits for the verification of the address"]
async fn nodes_follow_their_address_to_another_server_without_any_failure() {
    let pair = Pair::start().await;
    let (one, two) = (pair.connect().await, pair.connect().await);
    let (a, b) = (join_room(&one), join_room(&two));
    assert_connected(&[(&one, &a), (&two, &b)]).await;
    pair.promote().await;
    let new = pair.connect().await;
    let c = join_room(&new);
    until("the old master is left", async || clients(&pair.master).await == 0).await;
    assert_connected(&[(&one, &a), (&two, &b), (&new, &c)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_refused_until_it_is_promoted() {
    let pair = Pair::start().await;
    pair.address.point_to(pair.replica.port());
    let refused = Redis::connect(pair.options()).await;
    let Err(ConnectError::Unreachable { cause, .. }) = refused else { panic!("a replica is refused") };
    assert!(cause.to_string().contains("replica"), "{cause}");
    let alone = Redis::connect(Options { required: false, ..pair.options() }).await.expect("it starts alone");
    assert!(!alone.bus().is_up() && !alone.store().is_up());
    pair.promote().await;
    until("the node is connected", async || alone.bus().is_up() && alone.store().is_up()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_leaves_a_demoted_server() {
    let pair = Pair::start().await;
    let publisher = Publisher::connect(pair.options()).await.expect("Redis answers");
    let event = Event { name: name("event"), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
    let store = async || publisher.store(&name("p"), &[name("7")], &event).await;
    store().await.expect("the message is stored");
    pair.promote().await;
    replicate(&pair.master, &pair.replica).await;
    assert!(store().await.is_err(), "the old master is a replica");
    until("a message is stored on the new master", async || store().await.is_ok()).await;
    until("the old master is left", async || clients(&pair.master).await == 0).await;
}
