//! To those who will come.

use serde_json::{Value, json};
use switchboard_dispatcher::{InboxLimits, Message, Target};
use switchboard_testkit::Peer;

use crate::support::{Node, message, said, two_nodes, two_nodes_with_limits, with_sync};

fn missed(n: usize, number: usize) -> Value {
    json!({ "op": 0, "d": { "n": n }, "t": "SAID", "s": number })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dispatched_waits_for_who_is_away_and_is_heard_by_who_is_there() {
    let limits = InboxLimits { messages_max: 3, ..InboxLimits::default() };
    let (redis, one, two) = two_nodes_with_limits(limits).await;
    let mut here = one.mesa("1").await;
    one.settled().await;
    let dispatcher = with_sync(&redis).await;
    for n in 1..=5 {
        let sent = dispatcher.dispatch(&message(n), &["1", "2"]).await.unwrap();
        assert_eq!(sent.inboxes, Some(2));
    }
    for n in 1..=5 {
        assert_eq!(here.next().await, said(n));
    }
    let mut comes = two.mesa("2").await;
    for (n, number) in [(3, 1), (4, 2), (5, 3)] {
        assert_eq!(comes.next().await, missed(n, number), "the latest of as many as may wait by the nodes");
    }
    two.settled().await;
    dispatcher.dispatch(&message(6), &["2"]).await.unwrap();
    assert_eq!(comes.next().await, said(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_for_users_and_wants_to_waits() {
    let (redis, one, _two) = two_nodes().await;
    let dispatcher = with_sync(&redis).await;
    let kept = dispatcher.dispatch_except(&message(1), &["1", "2", "3"], &["2"]).await.unwrap();
    assert_eq!(kept.inboxes, Some(2));
    for (sent, what) in [
        (dispatcher.dispatch(&message(2).without_sync(), &["2"]).await, "it says so"),
        (dispatcher.dispatch(&message(3), &["*"]).await, "for everyone"),
        (dispatcher.send(&message(4), "#lobby").await, "for a room"),
    ] {
        assert_eq!(sent.unwrap().inboxes, None, "{what}");
    }
    let users = [Target::user("2").unwrap(), Target::room("lobby").unwrap()];
    assert_eq!(dispatcher.send(&message(5), users).await.unwrap().inboxes, None, "for a room as well");
    dispatcher.dispatch(&Message::new(0, "last", "LAST").unwrap(), &["2"]).await.unwrap();
    let mut two: Peer = Node::mesa(&one, "2").await;
    assert_eq!(two.next().await, json!({ "op": 0, "d": "last", "t": "LAST", "s": 1 }));
}
