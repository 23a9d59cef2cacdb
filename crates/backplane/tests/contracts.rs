//! The in-memory implementations meet the contracts.

use std::sync::Arc;

use switchboard_backplane::{
    History, LocalBus, MemoryHistory, MemoryHistoryLimits, MemoryIdempotencyStore, MemoryRateStore,
    MemoryStore, Store, contract,
};
use switchboard_hub::Index;
use switchboard_testkit::Node;

fn node(bus: LocalBus) -> Node {
    Node::new(Arc::new(bus), |index| Arc::new(MemoryStore::new(index)))
}

#[tokio::test]
async fn connected_local_buses_meet_the_bus_contract() {
    let nodes = LocalBus::connected(2).into_iter().map(node).collect::<Vec<_>>();
    contract::bus::delivery(&nodes[0], &nodes[1], async || ()).await;
}

#[tokio::test]
async fn the_memory_rate_store_meets_its_contract() {
    let store = MemoryRateStore::default();
    contract::rates::spending(&store, &store).await;
}

#[tokio::test]
async fn the_memory_store_meets_the_store_contract() {
    contract::store::presence(&node(LocalBus::default()), async || ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_meets_the_seat_contract() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(Index::default())));
    contract::seats::placement(&[store], async || ()).await;
}

#[tokio::test]
async fn the_memory_store_places_clients_as_the_model_does() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(Index::default())));
    for seed in 1..=20 {
        contract::seats_model::random_placement(std::slice::from_ref(&store), seed, async |_| ()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_idempotency_store_meets_the_contract() {
    let store = MemoryIdempotencyStore::with_clock(|| tokio::time::Instant::now().into_std());
    contract::idempotency::requests(&store, &store, tokio::time::advance).await;
}

fn history() -> Arc<dyn History> {
    let clock = || switchboard_event::unix_ms(std::time::SystemTime::now());
    Arc::new(MemoryHistory::new(MemoryHistoryLimits::default(), clock))
}

#[tokio::test]
async fn the_memory_history_meets_the_history_contract() {
    contract::history::messages(&history()).await;
    contract::history::bounds(&history()).await;
    contract::history::age(&history()).await;
}

#[tokio::test]
async fn the_memory_history_behaves_like_the_model() {
    for seed in 0..20 {
        contract::history_model::random_operations(&history(), seed).await;
    }
}
