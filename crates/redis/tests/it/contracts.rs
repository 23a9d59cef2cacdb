//! What every bus and store has to do, done through Redis.

use std::sync::Arc;

use switchboard_backplane::{Backplane, Inbox, InboxLimits, Store};
use switchboard_testkit::{RedisServer, contract};

use crate::support::{RedisNode, connect, connect_with_inbox, let_requests_age, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_are_one() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    contract::bus(&one.node, &two.node, async || settle(&[&one, &two]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_knows_what_hubs_did() {
    let server = RedisServer::start().await;
    let one = connect(&server).await;
    contract::store(&one.node, async || ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_seat_is_given_twice_by_several_nodes() {
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await, connect(&server).await];
    let stores: Vec<Arc<dyn Store>> = nodes.iter().map(|node| node.redis.store()).collect();
    contract::seats(&stores, async || {
        for store in &stores {
            // An answer comes when all that the node did before is written.
            store
                .shards(&switchboard_event::ProjectId::new("seats").expect("short"))
                .await
                .expect("it answers");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_done_once_by_all_nodes() {
    let server = RedisServer::start().await;
    let [one, two] = [connect(&server).await, connect(&server).await].map(|node| node.redis.repeats());
    contract::repeats::requests(&*one, &*two, async |by| let_requests_age(&[&server], by).await).await;
}

async fn with_inbox(server: &RedisServer, limits: InboxLimits) -> (RedisNode, Arc<dyn Inbox>) {
    let node = connect_with_inbox(server, limits).await;
    let inbox = node.redis.inbox().expect("it is asked for");
    (node, inbox)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_for_users() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, InboxLimits::default()).await;
    contract::inbox::messages(&node.node, &inbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_waits_than_may() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, contract::inbox::TIGHT).await;
    contract::inbox::bounds(&node.node, &inbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_what_was_put_and_has_not_arrived_whatever_was_done() {
    for seed in 1..=4 {
        let server = RedisServer::start().await;
        let (node, inbox) = with_inbox(&server, contract::inbox_model::SMALL).await;
        contract::inbox_model::at_random(&node.node, &inbox, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_longer_than_it_may() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, contract::inbox::BRIEF).await;
    contract::inbox::age(&node.node, &inbox).await;
}
