//! The implementations that come with the hub keep the contracts.

use std::sync::Arc;

use switchboard_backplane::{LocalBus, MemoryStore, Store};
use switchboard_hub::Index;
use switchboard_testkit::contract::{self, Node};

fn node(bus: LocalBus) -> Node {
    Node::new(Arc::new(bus), |index| Arc::new(MemoryStore::new(index)))
}

#[tokio::test]
async fn connected_local_buses_make_two_nodes_one() {
    let buses = LocalBus::connected(2).into_iter().map(node).collect::<Vec<_>>();
    let [one, two] = &buses[..] else { panic!("two were asked for") };
    contract::bus(one, two, async || ()).await;
}

#[tokio::test]
async fn the_memory_store_answers_from_the_hub() {
    contract::store(&node(LocalBus::default()), async || ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_gives_every_seat_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(Index::default())));
    contract::seats(&[store], async || ()).await;
}
