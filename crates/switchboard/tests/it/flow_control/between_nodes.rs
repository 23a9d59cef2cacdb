//! A sender waits for receivers of other nodes.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use switchboard::backplane::{
    Bus, Content, IfUnreached, LocalBus, NodeId, OnCounted, Publication, PublishError, Receiver,
};
use switchboard::{App, ProjectId, Target};

use super::*;

fn buses() -> [LocalBus; 2] {
    LocalBus::connected(2).try_into().unwrap_or_else(|_| panic!("two buses"))
}

async fn two_of(app: impl Fn() -> App) -> (TestServer, TestServer) {
    let [one, two] = buses();
    (
        TestServer::start(app().with_bus(Arc::new(one))).await,
        TestServer::start(app().with_bus(Arc::new(two))).await,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_for_a_slow_receiver_of_another_node_and_closes_nobody() {
    let (one, two) = two_of(|| app().with_limits(small_outbox(|_| {}))).await;
    let (mut slow, mut fast) = (reader(&two).await, reader(&two).await);
    let sending = burst(one.peer().await);
    let fast = spawn(async move {
        read_burst(&mut fast).await;
        fast
    });
    until_stalled(&two).await;
    assert!(!sending.is_finished(), "the sender waits");
    read_burst(&mut slow).await;
    fast.await.unwrap();
    sending.await.unwrap();
    assert_eq!(two.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_of_different_nodes_share_a_slow_receiver_and_close_nobody() {
    let (one, two) = two_of(|| app().with_limits(small_outbox(|_| {}))).await;
    let mut slow = reader(&two).await;
    let near = burst(two.peer().await);
    let far = burst(one.peer().await);
    until_stalled(&two).await;
    read_burst(&mut slow).await;
    read_burst(&mut slow).await;
    near.await.unwrap();
    far.await.unwrap();
    assert_eq!(two.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_clients_of_both_nodes_are_not_delayed_while_a_sender_waits() {
    let (one, two) = two_of(|| app().with_limits(small_outbox(|_| {}))).await;
    let mut slow = reader(&two).await;
    let (mut near, mut far) = (one.peer().await, two.peer().await);
    near.request("/join", json!("s")).await;
    far.request("/join", json!("s")).await;
    let sending = burst(one.peer().await);
    until_stalled(&two).await;
    for number in 0..100 {
        near.request("/send", json!(["#s", number])).await;
        assert_eq!(far.next_event().await.1, number);
        far.request("/send", json!(["#s", number])).await;
        assert_eq!(near.next_event().await.1, number);
    }
    assert!(!sending.is_finished(), "the sender still waits");
    read_burst(&mut slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_another_node_that_stops_reading_is_closed_and_the_others_receive_everything() {
    let limits = || small_outbox(|limits| limits.stall_budget = Duration::from_secs(2));
    let (one, two) = two_of(|| app().with_limits(limits())).await;
    let (_stopped, mut good) = (reader(&two).await, reader(&two).await);
    let sending = burst(one.peer().await);
    read_burst(&mut good).await;
    sending.await.unwrap();
    until("the receiver is closed", async || two.app.hub().stats().overflowed.load(Ordering::Relaxed) == 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_sends_to_another_node_need_no_answer() {
    let [one, two] = buses();
    let two = Arc::new(MuteBus { bus: two, muted: AtomicUsize::new(0) });
    let one = TestServer::start(app().with_bus(Arc::new(one))).await;
    let far = TestServer::start(app().with_bus(two.clone())).await;
    let mut member = far.peer().await;
    member.request("/join", json!("r")).await;
    let mut sender = one.peer().await;
    for number in 0..100 {
        sender.request("/send", json!(["#r", number])).await;
        assert_eq!(member.next_event().await.1, number);
    }
    assert_eq!(two.muted.load(Ordering::Relaxed), 0);
}

/// The bus of a node that receives everything and answers nothing.
struct MuteBus {
    bus: LocalBus,
    /// Answers that were not sent.
    muted: AtomicUsize,
}

impl Bus for MuteBus {
    fn node(&self) -> NodeId {
        self.bus.node()
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.bus.start(receiver);
    }

    fn publish(&self, publication: &Publication, if_unreached: IfUnreached) -> Result<(), PublishError> {
        if let Content::Control(_) = publication.content {
            self.muted.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.bus.publish(publication, if_unreached)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.bus.subscribe(project, target);
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.bus.unsubscribe(project, target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_delays_a_sender_once() {
    let stall_max = Duration::from_millis(500);
    let limits = || small_outbox(|limits| limits.stall_max = stall_max);
    let [one, two] = buses();
    let two = Arc::new(MuteBus { bus: two, muted: AtomicUsize::new(0) });
    let one = TestServer::start(app().with_limits(limits()).with_bus(Arc::new(one))).await;
    let far = TestServer::start(app().with_limits(limits()).with_bus(two.clone())).await;
    let _member = far.peer().await;
    let started = tokio::time::Instant::now();
    burst(one.peer().await).await.unwrap().quiet().await;
    assert!(started.elapsed() >= stall_max, "the node is waited for");
    let marks = two.muted.load(Ordering::Relaxed) as u32;
    assert!(marks > 100, "{marks} marks");
    assert!(started.elapsed() < stall_max * marks / 4, "{:?} for {marks} marks", started.elapsed());
}

/// A bus that is down.
struct NoBus(LocalBus);

impl Bus for NoBus {
    fn node(&self) -> NodeId {
        self.0.node()
    }

    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.0.start(receiver);
    }

    fn publish(&self, _: &Publication, _: IfUnreached) -> Result<(), PublishError> {
        Err(PublishError::Disconnected)
    }

    fn publish_counted(&self, _: &Publication, _: OnCounted) -> Result<(), PublishError> {
        Err(PublishError::Disconnected)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.0.subscribe(project, target);
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.0.unsubscribe(project, target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bus_a_burst_waits_for_receivers_of_its_own_node_only() {
    let [bus, _] = buses();
    let app = app().with_limits(small_outbox(|limits| limits.stall_max = Duration::from_secs(3600)));
    let server = TestServer::start(app.with_bus(Arc::new(NoBus(bus)))).await;
    let mut good = reader(&server).await;
    let sending = burst(server.peer().await);
    read_burst(&mut good).await;
    sending.await.unwrap();
}
