//! Delivery to connected sockets.

use serde_json::json;
use switchboard_dispatcher::{
    Audience, ConnectError, DispatchError, Dispatched, Dispatcher, DispatcherOptions, Message, Target,
};
use switchboard_testkit::{KojiPeer, Peer, RedisServer};

use crate::support::{Node, dispatcher, frame, message, two_nodes};

async fn expect_emit(peer: &mut Peer, n: usize) {
    assert_eq!(peer.next_event().await, ("CHAT".into(), json!({ "n": n })));
}

async fn expect_koji(peer: &mut KojiPeer, n: usize) {
    loop {
        // Member lists arrive in between.
        let (event, payload) = peer.next_event().await;
        if event == "CHAT" {
            return assert_eq!(payload["n"], n);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_to_a_user_reaches_each_socket_once_on_every_protocol_and_node() {
    let (redis, one, two) = two_nodes().await;
    let (mut emits, mut kojis, mut mesas) = (Vec::new(), Vec::new(), Vec::new());
    for node in [&one, &two] {
        emits.push(node.emit("7").await);
        kojis.push(node.koji("7").await);
        mesas.push(node.mesa("7").await);
    }
    let mut other = two.mesa("8").await;
    one.settled().await;
    two.settled().await;

    let dispatcher = dispatcher(&redis).await;
    let many: Vec<String> = (0..40).map(|n| n.to_string()).filter(|id| id != "8").collect();
    for n in 0..10 {
        // Alternates between few and many users, which take different paths. The order is kept.
        let sent = match n % 2 {
            0 => dispatcher.dispatch(&message(n), &["7", "9"]).await,
            _ => dispatcher.dispatch(&message(n), &many).await,
        };
        assert_eq!(sent.expect("Redis accepts the message"), Dispatched::default());
    }
    for n in 0..10 {
        for peer in &mut emits {
            expect_emit(peer, n).await;
        }
        for peer in &mut kojis {
            expect_koji(peer, n).await;
        }
        for peer in &mut mesas {
            assert_eq!(peer.next().await, frame(n));
        }
    }
    dispatcher.dispatch(&message(11), &["8"]).await.unwrap();
    assert_eq!(other.next().await, frame(11), "other users do not receive it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_to_everyone_skips_the_excepted_users() {
    let (redis, one, two) = two_nodes().await;
    let (mut seven, mut eight, mut guest) =
        (one.mesa("7").await, two.mesa("8").await, one.server.peer().await);
    guest.quiet().await;
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    dispatcher.dispatch_except(&message(1), &["*"], &["8"]).await.unwrap();
    let except_seven = Audience::everyone().except(Target::user("7").unwrap());
    dispatcher.send(&message(2), except_seven).await.unwrap();
    dispatcher.dispatch_except(&message(3), &["7", "8"], &["7"]).await.unwrap();
    dispatcher.dispatch(&message(4), &["7", "*"]).await.unwrap();
    for (peer, expected) in [(&mut seven, vec![1, 4]), (&mut eight, vec![2, 3, 4])] {
        for n in expected {
            assert_eq!(peer.next().await, frame(n));
        }
    }
    for n in [1, 2, 4] {
        expect_emit(&mut guest, n).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_reaches_rooms_and_sockets_and_each_socket_once() {
    let (redis, one, two) = two_nodes().await;
    let (mut a, mut b) = (one.emit("a").await, two.emit("b").await);
    for peer in [&mut a, &mut b] {
        peer.request("/join", json!("lobby")).await;
    }
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    dispatcher.send(&message(1), "#lobby").await.unwrap();
    let ids = one.server.app.all_socket_ids().await.unwrap();
    assert_eq!(ids.len(), 2);
    // A socket that matches several targets receives one copy.
    let all = Audience::from(Target::Socket(ids[0])).and(ids[1]).and(Target::room("lobby").unwrap());
    dispatcher.send(&message(2), all).await.unwrap();
    for peer in [&mut a, &mut b] {
        expect_emit(peer, 1).await;
        expect_emit(peer, 2).await;
        peer.quiet().await;
    }
    let refused = dispatcher.send(&message(3), "#").await;
    assert!(matches!(refused, Err(DispatchError::Audience(_))), "the name of a room is not empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnect_closes_a_user_on_every_node_after_the_messages_sent_before() {
    let (redis, one, two) = two_nodes().await;
    let (mut a, mut b, mut other) = (one.mesa("7").await, two.emit("7").await, two.mesa("8").await);
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    dispatcher.dispatch(&message(1), &["7", "8"]).await.unwrap();
    dispatcher.disconnect(&["7"]).await.unwrap();
    assert_eq!(a.next().await, frame(1));
    assert_eq!(a.closed().await.0, 1000);
    expect_emit(&mut b, 1).await;
    assert_eq!(b.closed().await.0, 1000);
    assert_eq!(other.next().await, frame(1));
    dispatcher.dispatch(&message(2), &["8"]).await.unwrap();
    assert_eq!(other.next().await, frame(2), "other users stay connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_sockets_closes_an_audience_with_the_given_code_and_reason() {
    let (redis, one, two) = two_nodes().await;
    let (mut a, mut b, mut spared) = (one.emit("a").await, two.emit("b").await, two.emit("c").await);
    for peer in [&mut a, &mut b, &mut spared] {
        peer.request("/join", json!("lobby")).await;
    }
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    let except_one = Audience::from(Target::room("lobby").unwrap()).except(Target::user("c").unwrap());
    dispatcher.close_sockets(except_one, 4003, "members only").await.unwrap();
    for mut peer in [a, b] {
        assert_eq!(peer.closed().await, (4003, "members only".into()));
    }
    dispatcher.send(&message(1), "#lobby").await.unwrap();
    expect_emit(&mut spared, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_a_separate_project() {
    let (redis, one, _two) = two_nodes().await;
    let mut seven = one.mesa("7").await;
    one.settled().await;
    let api = DispatcherOptions { namespace: Some("api".into()), ..DispatcherOptions::new(&redis.url()) };
    let api = Dispatcher::with_options(api).await.unwrap();
    api.dispatch(&message(1), &["*"]).await.unwrap();
    dispatcher(&redis).await.dispatch(&message(2), &["7"]).await.unwrap();
    assert_eq!(seven.next().await, frame(2));
    let long = DispatcherOptions { namespace: Some("x".repeat(257)), ..DispatcherOptions::new("redis://x") };
    assert!(matches!(Dispatcher::with_options(long).await, Err(ConnectError::Namespace(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_without_redis_fails_and_succeeds_after_redis_restarts() {
    let mut redis = RedisServer::start().await;
    let node = Node::start(&redis).await;
    let dispatcher = dispatcher(&redis).await;
    redis.kill();
    assert!(Dispatcher::connect(&redis.url()).await.is_err());
    let failed = dispatcher.dispatch(&message(1), &["7"]).await;
    assert!(matches!(failed, Err(DispatchError::Redis(_))), "{failed:?}");
    redis.run_again().await;
    let mut seven = node.mesa("7").await;
    // Waits until the node has reconnected.
    while !node.server.app.hub().bus().is_up() || !node.server.app.hub().store().is_up() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    node.settled().await;
    dispatcher.dispatch(&message(2), &["7"]).await.expect("Redis is up again");
    assert_eq!(seven.next().await, frame(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_keeps_its_operation() {
    let (redis, one, _two) = two_nodes().await;
    let mut seven = one.mesa("7").await;
    one.settled().await;
    let message = Message::parse(7, "[1]", "ODD").unwrap();
    dispatcher(&redis).await.dispatch(&message, &["7"]).await.unwrap();
    assert_eq!(seven.next().await, json!({ "op": 7, "d": [1], "t": "ODD" }));
}
