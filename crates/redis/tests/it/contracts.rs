//! The contract tests of the backplane, on Redis.

use std::sync::Arc;

use switchboard_backplane::{Backplane, Inbox, InboxLimits, Store, contract};
use switchboard_testkit::RedisServer;

use crate::support::{RedisNode, age_requests, connect, connect_with_inbox, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_fulfils_its_contract() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    contract::bus::delivery(&one.node, &two.node, async || settle(&[&one, &two]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_fulfils_its_contract() {
    let server = RedisServer::start().await;
    let one = connect(&server).await;
    contract::store::presence(&one.node, async || ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_seat_requests_on_several_nodes_exceed_no_capacity() {
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await, connect(&server).await];
    let stores: Vec<Arc<dyn Store>> = nodes.iter().map(|node| node.redis.store()).collect();
    contract::seats::placement(&stores, async || {
        for store in &stores {
            // The query returns after all earlier changes of the node are written.
            store
                .shards(&switchboard_event::ProjectId::new("seats").expect("short"))
                .await
                .expect("the store replies");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_places_clients_as_the_model_does() {
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await];
    let stores: Vec<Arc<dyn Store>> = nodes.iter().map(|node| node.redis.store()).collect();
    for seed in 1..=4 {
        contract::seats_model::random_placement(&stores, seed, async |project| {
            // The query returns after all earlier changes of the node are written.
            for store in &stores {
                store.shards(project).await.expect("the store replies");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_an_idempotency_key_runs_once_across_nodes() {
    let server = RedisServer::start().await;
    let [one, two] =
        [connect(&server).await, connect(&server).await].map(|node| node.redis.idempotency_store());
    contract::idempotency::requests(&*one, &*two, async |by| age_requests(&[&server], by).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revocation_store_fulfils_its_contract() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let [first, second] =
        [&one, &two].map(|node| node.redis.revocation_store().expect("Redis stores revocations"));
    contract::revocations::revocations(&*first, &*second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_store_fulfils_its_contract() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let [first, second] = [&one, &two].map(|node| node.redis.rate_store().expect("Redis adds up budgets"));
    contract::rates::spending(&*first, &*second).await;
}

async fn with_inbox(server: &RedisServer, limits: InboxLimits) -> (RedisNode, Arc<dyn Inbox>) {
    let node = connect_with_inbox(server, limits).await;
    let inbox = node.redis.inbox().expect("the options enable the inbox");
    (node, inbox)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_fulfils_its_contract() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, InboxLimits::default()).await;
    contract::inbox::messages(&node.node, &inbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_keeps_its_limits() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, contract::inbox::TIGHT).await;
    contract::inbox::bounds(&node.node, &inbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_matches_its_model_for_random_operations() {
    for seed in 1..=4 {
        let server = RedisServer::start().await;
        let (node, inbox) = with_inbox(&server, contract::inbox_model::SMALL).await;
        contract::inbox_model::random_operations(&node.node, &inbox, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_expire_after_the_age_limit() {
    let server = RedisServer::start().await;
    let (node, inbox) = with_inbox(&server, contract::inbox::BRIEF).await;
    contract::inbox::age(&node.node, &inbox).await;
}
