//! Storage for offline users.

use serde_json::{Value, json};
use switchboard_dispatcher::{InboxLimits, Message, Target};
use switchboard_testkit::Peer;

use crate::support::{Node, frame, message, two_nodes, two_nodes_with_limits, with_sync};

fn missed(n: usize, number: usize) -> Value {
    json!({ "op": 0, "d": { "n": n }, "t": "CHAT", "s": number })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_is_delivered_to_online_users_and_stored_for_offline_users() {
    let limits = InboxLimits { messages_max: 3, ..InboxLimits::default() };
    let (redis, one, two) = two_nodes_with_limits(limits).await;
    let mut online = one.mesa("1").await;
    one.settled().await;
    let dispatcher = with_sync(&redis).await;
    for n in 1..=5 {
        let sent = dispatcher.dispatch(&message(n), &["1", "2"]).await.unwrap();
        assert_eq!(sent.inboxes, Some(2));
    }
    for n in 1..=5 {
        assert_eq!(online.next().await, frame(n));
    }
    let mut offline = two.mesa("2").await;
    for (n, number) in [(3, 1), (4, 2), (5, 3)] {
        assert_eq!(
            offline.next().await,
            missed(n, number),
            "the limit is that of the nodes, and the latest messages are stored"
        );
    }
    two.settled().await;
    dispatcher.dispatch(&message(6), &["2"]).await.unwrap();
    assert_eq!(offline.next().await, frame(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_messages_to_users_with_sync_are_stored() {
    let (redis, one, _two) = two_nodes().await;
    let dispatcher = with_sync(&redis).await;
    let sent = dispatcher.dispatch_except(&message(1), &["1", "2", "3"], &["2"]).await.unwrap();
    assert_eq!(sent.inboxes, Some(2));
    for (sent, case) in [
        (dispatcher.dispatch(&message(2).without_sync(), &["2"]).await, "without sync"),
        (dispatcher.dispatch(&message(3), &["*"]).await, "to everyone"),
        (dispatcher.send(&message(4), "#lobby").await, "to a room"),
    ] {
        assert_eq!(sent.unwrap().inboxes, None, "{case}");
    }
    let users = [Target::user("2").unwrap(), Target::room("lobby").unwrap()];
    assert_eq!(dispatcher.send(&message(5), users).await.unwrap().inboxes, None, "to a user and a room");
    dispatcher.dispatch(&Message::new(0, "last", "LAST").unwrap(), &["2"]).await.unwrap();
    let mut two: Peer = Node::mesa(&one, "2").await;
    assert_eq!(two.next().await, json!({ "op": 0, "d": "last", "t": "LAST", "s": 1 }));
}
