//! What every bus and store has to do, done through Redis.

use std::sync::Arc;

use switchboard_hub::{Backplane, Store};
use switchboard_testkit::{RedisServer, contract};

use crate::support::{connect, settle};

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
            store.shards(&switchboard_event::Name::new("seats").expect("short")).await.expect("it answers");
        }
    })
    .await;
}
