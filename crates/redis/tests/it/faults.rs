//! Nodes that die, and a Redis that goes away.

use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Name, NodeId, ProjectId, SocketId, Target};
use switchboard_hub::store::Page;
use switchboard_hub::{Backplane, Scope, SeatWish, Seated};
use switchboard_redis::{ConnectError, Options, Redis};
use switchboard_testkit::{RedisServer, soon};

use crate::support::{RedisNode, connect, keys, node, options, query, settle, until};

fn project() -> ProjectId {
    Name::new("p").unwrap()
}

fn room() -> Target {
    Target::room("lobby").unwrap()
}

fn seven() -> Target {
    Target::user("7").unwrap()
}

/// A node with a socket in the room, of user 7, on a shard.
async fn busy(server: &RedisServer) -> (RedisNode, switchboard_testkit::contract::Member) {
    let node = connect(server).await;
    let member = node.node.add("p");
    node.node.join(&member, &room());
    node.node.join(&member, &seven());
    sit(&node, member.session.id).await;
    (node, member)
}

async fn sit(node: &RedisNode, socket: SocketId) {
    let wish = SeatWish { socket, shard: None, capacity: 4, overflow: false, project_max: None };
    let store = node.redis.store();
    let seated = store.take_seat(&project(), wish).await.unwrap();
    let Seated::In(shard) = seated else { panic!("the project has no bound") };
    store.describe(&project(), &shard, socket, Bytes::from_static(b"{}"));
}

/// Sockets, sockets in the room, sockets of user 7, users, seats; none while Redis does not answer.
async fn answered(node: &RedisNode) -> Option<[usize; 5]> {
    let (store, project) = (node.redis.store(), project());
    let shards = store.shards(&project).await.ok()?;
    Some([
        store.count(&project, &Target::Everyone).await.ok()?,
        store.count(&project, &room()).await.ok()?,
        store.count(&project, &seven()).await.ok()?,
        store.count_users(&project).await.ok()?,
        shards.iter().map(|shard| shard.seated).sum(),
    ])
}

async fn counts(node: &RedisNode) -> [usize; 5] {
    answered(node).await.expect("Redis answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_left_is_taken_out_by_the_others() {
    let server = RedisServer::start().await;
    let (one, _kept) = busy(&server).await;
    let (other, _) = busy(&server).await;
    let (dead, _lost) = busy(&server).await;
    settle(&[&one, &dead]).await;
    assert_eq!(counts(&one).await, [3, 3, 3, 1, 3]);

    let (dead_node, dead_lease) = (dead.redis.bus().node(), dead.redis.store());
    drop((dead, dead_lease));
    until("the dead is taken out", async || counts(&one).await == [2, 2, 2, 1, 2]).await;
    assert_eq!(counts(&other).await, [2, 2, 2, 1, 2]);
    let mark = dead_node.to_string();
    until("nothing of it remains", async || !keys(&server).await.iter().any(|key| key.contains(&mark))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_leaves_nothing() {
    let server = RedisServer::start().await;
    let (node, member) = busy(&server).await;
    node.redis.leave().await;
    drop((node, member));
    until("its tombstones are gone", async || keys(&server).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_remains_of_those_who_left() {
    let server = RedisServer::start().await;
    let (node, member) = busy(&server).await;
    let store = node.redis.store();
    store.leave_seat(&project(), &Name::new("shard-1").unwrap(), member.session.id);
    node.node.hub.remove(&member.session);
    assert_eq!(counts(&node).await, [0; 5]);
    until("the project is forgotten", async || !keys(&server).await.iter().any(|key| key.contains("{p}")))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_back_after_a_restart_that_lost_everything() {
    let mut server = RedisServer::start().await;
    let ((one, _a), (two, b)) = (busy(&server).await, busy(&server).await);
    settle(&[&one, &two]).await;
    server.kill();
    until("the loss is noticed", async || !one.redis.bus().is_up() && !one.redis.store().is_up()).await;
    let before = one.node.hub.tally().lost.load(std::sync::atomic::Ordering::Relaxed);
    one.node.send("p", room(), "lost", Scope::AllNodes);
    assert_eq!(one.node.hub.tally().lost.load(std::sync::atomic::Ordering::Relaxed), before + 1);
    assert!(one.redis.store().count(&project(), &room()).await.is_err());

    // What happens meanwhile is not forgotten.
    let late = one.node.add("p");
    one.node.join(&late, &room());
    two.node.hub.leave(&b.session, &seven());
    server.run_again().await;
    for node in [&one, &two] {
        until("it is back", async || node.redis.bus().is_up() && node.redis.store().is_up()).await;
        until("all is written again", async || counts(node).await == [3, 3, 1, 1, 2]).await;
    }
    settle(&[&one, &two]).await;
    one.node.send("p", room(), "heard", Scope::AllNodes);
    until("sends arrive again", async || b.heard().ends_with("heard.")).await;
    let shards = two.redis.store().shards(&project()).await.unwrap();
    assert_eq!(shards.len(), 1, "the same shard as before: {shards:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_beyond_its_lease_comes_back_whole() {
    let server = RedisServer::start().await;
    let ((one, _a), (two, _b)) = (busy(&server).await, busy(&server).await);
    settle(&[&one, &two]).await;
    // Its lease ends as if it had not renewed it, and others sweep it.
    let lease = lease_of(&server, one.redis.bus().node()).await;
    let _: i64 = query(&server, redis::cmd("ZADD").arg("switchboard:{*}:nodes").arg(1).arg(&lease)).await;
    until("it has another lease", async || {
        let now = lease_of(&server, one.redis.bus().node()).await;
        now != lease && !now.is_empty()
    })
    .await;
    until("both are whole", async || counts(&two).await == [2, 2, 2, 1, 2]).await;
    until("all is as before", async || answered(&one).await == Some([2, 2, 2, 1, 2])).await;
}
