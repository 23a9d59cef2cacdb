//! The history of rooms in Redis: the contract, the order over nodes, lost publications, and outages.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::backplane::{Backplane, History};
use switchboard::{App, HistoryLimits, HistoryRange, Socket};
use switchboard_backplane::contract;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::{Peer, RedisServer, TestServer};

use crate::support::{options, run, until};

/// A served app with history, and its connection.
struct HistoryNode {
    server: TestServer,
    redis: Redis,
}

impl HistoryNode {
    async fn start(redis: &RedisServer) -> Self {
        let options = Options { history: true, ..options(redis) };
        let redis = Redis::connect(options).await.expect("Redis answers");
        let join = async |socket: Socket| {
            socket.join("chat-1").expect("the name is valid");
        };
        let limits = HistoryLimits { messages_max: 1000, ..HistoryLimits::default() };
        let app = App::new().on("/join", join).with_backplane(&redis).with_room_history("chat-*", limits);
        HistoryNode { server: TestServer::start(app).await, redis }
    }

    /// A member of the room, which receives positions. The node is subscribed to the room.
    async fn member(&self) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/?sb=1")).await;
        peer.request("/join", json!({})).await;
        self.server.app.settled().await;
        peer
    }

    fn emit(&self, n: u64) {
        self.server.app.to("#chat-1").emit("message", &n).expect("the names are valid");
    }

    async fn top(&self) -> u64 {
        let page = self.server.app.room_history("chat-1", HistoryRange::Latest, 0).await;
        page.expect("the history replies").top
    }

    async fn history(&self) -> Arc<dyn History> {
        self.redis.history().expect("the options enable the history")
    }
}

/// The offset and the epoch of the next message.
fn position(frame: &Value) -> (u64, String) {
    let position = &frame["position"];
    let epoch = position["epoch"].as_str().unwrap_or_else(|| panic!("{frame} has no position"));
    (position["offset"].as_u64().expect("an offset is a number"), epoch.to_owned())
}

async fn next_message(peer: &mut Peer) -> Value {
    loop {
        let frame = peer.next().await;
        if frame["event"] == "message" {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_in_redis_meets_the_history_contract() {
    let server = RedisServer::start().await;
    let node = HistoryNode::start(&server).await;
    let history = node.history().await;
    contract::history::messages(&history).await;
    contract::history::bounds(&history).await;
    contract::history::age(&history).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_in_redis_behaves_like_the_model() {
    for seed in 0..3 {
        let server = RedisServer::start().await;
        let node = HistoryNode::start(&server).await;
        contract::history_model::random_operations(&node.history().await, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_all_nodes_receive_all_messages_in_the_order_of_their_offsets() {
    let server = RedisServer::start().await;
    let nodes = [HistoryNode::start(&server).await, HistoryNode::start(&server).await];
    let mut peers = [nodes[0].member().await, nodes[1].member().await];
    for n in 0..200 {
        nodes.iter().for_each(|node| node.emit(n));
    }
    let mut orders = Vec::new();
    for peer in &mut peers {
        let mut order = Vec::new();
        for offset in 1..=400 {
            let frame = peer.next().await;
            assert_eq!(position(&frame).0, offset, "{frame}");
            order.push(frame["data"].as_u64().expect("a number"));
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(nodes[1].top().await, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_receives_a_message_that_is_sent_right_after_its_join() {
    let server = RedisServer::start().await;
    let node = HistoryNode::start(&server).await;
    for n in 1..=20 {
        let mut peer = Peer::connect(&node.server.url("/?sb=1")).await;
        peer.request("/join", json!({})).await;
        node.emit(n);
        assert_eq!(next_message(&mut peer).await["data"], n);
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_is_told_the_position_of_its_join_also_in_a_room_without_traffic() {
    let server = RedisServer::start().await;
    let nodes = [HistoryNode::start(&server).await, HistoryNode::start(&server).await];
    for n in 1..=3 {
        nodes[0].emit(n);
    }
    nodes[0].history().await.settled().await;
    let mut members = Vec::new();
    // The first member of a node, and a later one.
    for node in [&nodes[0], &nodes[0], &nodes[1]] {
        let mut peer = node.member().await;
        let joined = peer.next_joined().await;
        assert_eq!(joined["data"]["room"], "#chat-1");
        assert_eq!(position(&joined["data"]).0, 3, "{joined}");
        members.push(peer);
    }
    nodes[1].emit(4);
    for peer in &mut members {
        assert_eq!(position(&next_message(peer).await).0, 4);
    }
    assert_eq!(position(&nodes[1].member().await.next_joined().await["data"]).0, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_a_node_missed_are_read_once_and_delivered_in_order() {
    let server = RedisServer::start().await;
    let (one, two) = (HistoryNode::start(&server).await, HistoryNode::start(&server).await);
    let mut peer = two.member().await;
    one.emit(1);
    assert_eq!(position(&peer.next().await).0, 1);
    // Nobody receives these: the first node has no member, and so no subscription.
    let _: String = run(&server, &["ACL", "SETUSER", "default", "-subscribe"]).await;
    let _: i64 = run(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    until("the subscriptions are lost", async || !two.redis.bus().is_up()).await;
    (2..=5).for_each(|n| one.emit(n));
    until("the messages have numbers", async || one.top().await == 5).await;
    let _: String = run(&server, &["ACL", "SETUSER", "default", "+subscribe"]).await;
    for n in 2..=5 {
        let frame = peer.next().await;
        assert_eq!((position(&frame).0, &frame["data"]), (n, &json!(n)), "{frame}");
    }
    one.emit(6);
    assert_eq!(position(&peer.next().await).0, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_redis_begins_an_epoch_and_members_are_notified_of_the_gap() {
    let server = RedisServer::start().await;
    let node = HistoryNode::start(&server).await;
    let mut peer = node.member().await;
    node.emit(1);
    let (_, before) = position(&peer.next().await);
    let _: String = run(&server, &["FLUSHALL"]).await;
    node.emit(2);
    let (offset, after) = position(&next_message(&mut peer).await);
    assert_eq!(offset, 1);
    assert_ne!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_down_messages_arrive_without_positions_and_afterwards_in_a_new_epoch() {
    let mut server = RedisServer::start().await;
    let node = HistoryNode::start(&server).await;
    let mut peer = node.member().await;
    node.emit(1);
    let (_, before) = position(&peer.next().await);
    server.kill();
    let history = node.history().await;
    until("the history is down", async || !history.is_up()).await;
    node.emit(2);
    let frame = next_message(&mut peer).await;
    assert_eq!((&frame["data"], frame.get("position")), (&json!(2), None));
    server.run_again().await;
    until("the history is up again", async || history.is_up() && node.redis.bus().is_up()).await;
    until("the room has another epoch", async || {
        let page = node.server.app.room_history("chat-1", HistoryRange::Latest, 0).await;
        page.is_ok_and(|page| page.epoch.to_string() != before)
    })
    .await;
    node.emit(3);
    let frame = next_message(&mut peer).await;
    assert_eq!(frame["data"], 3);
    assert_ne!(position(&frame).1, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_under_way_when_redis_stops_answering_is_delivered_once() {
    let server = RedisServer::start().await;
    let node = HistoryNode::start(&server).await;
    let mut peer = node.member().await;
    server.pause();
    (1..=3).for_each(|n| node.emit(n));
    // The time-out of the reply is 2 s.
    for n in 1..=3 {
        let frame = next_message(&mut peer).await;
        assert_eq!((&frame["data"], frame.get("position")), (&json!(n), None));
    }
    server.resume();
    let history = node.history().await;
    until("the history is up again", async || history.is_up() && node.redis.bus().is_up()).await;
    node.server.app.settled().await;
    node.emit(4);
    // Redis may have numbered the three; they are not delivered again.
    assert_eq!(next_message(&mut peer).await["data"], 4);
    node.emit(5);
    assert_eq!(next_message(&mut peer).await["data"], 5);
}
