//! To those who are there.

use serde_json::json;
use switchboard_dispatcher::{
    Audience, ConnectError, DispatchError, Dispatched, Dispatcher, DispatcherOptions, Message, Target,
};
use switchboard_testkit::{KojiPeer, Peer, RedisServer};

use crate::support::{Node, dispatcher, message, said, two_nodes};

async fn emit_hears(peer: &mut Peer, n: usize) {
    assert_eq!(peer.next_event().await, ("SAID".into(), json!({ "n": n })));
}

async fn koji_hears(peer: &mut KojiPeer, n: usize) {
    loop {
        // Lists of who is there come between.
        let (event, payload) = peer.next_event().await;
        if event == "SAID" {
            return assert_eq!(payload["n"], n);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_every_dialect_on_every_node_hear_what_is_for_their_user_once() {
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
        // To few and to many users in turn: the order holds.
        let sent = match n % 2 {
            0 => dispatcher.dispatch(&message(n), &["7", "9"]).await,
            _ => dispatcher.dispatch(&message(n), &many).await,
        };
        assert_eq!(sent.expect("it is sent"), Dispatched::default());
    }
    for n in 0..10 {
        for peer in &mut emits {
            emit_hears(peer, n).await;
        }
        for peer in &mut kojis {
            koji_hears(peer, n).await;
        }
        for peer in &mut mesas {
            assert_eq!(peer.next().await, said(n));
        }
    }
    dispatcher.dispatch(&message(11), &["8"]).await.unwrap();
    assert_eq!(other.next().await, said(11), "and nobody else does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_hears_what_is_for_everyone_except_who_is_excepted() {
    let (redis, one, two) = two_nodes().await;
    let (mut seven, mut eight, mut guest) =
        (one.mesa("7").await, two.mesa("8").await, one.server.peer().await);
    guest.quiet().await;
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    dispatcher.dispatch_except(&message(1), &["*"], &["8"]).await.unwrap();
    let but_seven = Audience::everyone().except(Target::user("7").unwrap());
    dispatcher.send(&message(2), but_seven).await.unwrap();
    dispatcher.dispatch_except(&message(3), &["7", "8"], &["7"]).await.unwrap();
    dispatcher.dispatch(&message(4), &["7", "*"]).await.unwrap();
    for (peer, heard) in [(&mut seven, vec![1, 4]), (&mut eight, vec![2, 3, 4])] {
        for n in heard {
            assert_eq!(peer.next().await, said(n));
        }
    }
    for n in [1, 2, 4] {
        emit_hears(&mut guest, n).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_tags_and_sockets_hear_what_is_for_them() {
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
    // Whoever is several of these is told once.
    let all = Audience::from(Target::Socket(ids[0])).and(ids[1]).and(Target::room("lobby").unwrap());
    dispatcher.send(&message(2), all).await.unwrap();
    for peer in [&mut a, &mut b] {
        emit_hears(peer, 1).await;
        emit_hears(peer, 2).await;
        peer.quiet().await;
    }
    let nobody = dispatcher.send(&message(3), "lobby").await;
    assert!(matches!(nobody, Err(DispatchError::Audience(_))), "what has no sigil is nobody's name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_disconnected_on_every_node_behind_what_was_sent() {
    let (redis, one, two) = two_nodes().await;
    let (mut a, mut b, mut other) = (one.mesa("7").await, two.emit("7").await, two.mesa("8").await);
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    dispatcher.dispatch(&message(1), &["7", "8"]).await.unwrap();
    dispatcher.disconnect(&["7"]).await.unwrap();
    assert_eq!(a.next().await, said(1));
    assert_eq!(a.closed().await.0, 1000);
    emit_hears(&mut b, 1).await;
    assert_eq!(b.closed().await.0, 1000);
    assert_eq!(other.next().await, said(1));
    dispatcher.dispatch(&message(2), &["8"]).await.unwrap();
    assert_eq!(other.next().await, said(2), "others stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_audience_is_closed_with_the_code_and_the_reason_that_are_asked_for() {
    let (redis, one, two) = two_nodes().await;
    let (mut a, mut b, mut spared) = (one.emit("a").await, two.emit("b").await, two.emit("c").await);
    for peer in [&mut a, &mut b, &mut spared] {
        peer.request("/join", json!("lobby")).await;
    }
    one.settled().await;
    two.settled().await;
    let dispatcher = dispatcher(&redis).await;
    let but_one = Audience::from(Target::room("lobby").unwrap()).except(Target::user("c").unwrap());
    dispatcher.close_sockets(but_one, 4003, "members only").await.unwrap();
    for mut peer in [a, b] {
        assert_eq!(peer.closed().await, (4003, "members only".into()));
    }
    dispatcher.send(&message(1), "#lobby").await.unwrap();
    emit_hears(&mut spared, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_a_project_that_hears_nothing_of_others() {
    let (redis, one, _two) = two_nodes().await;
    let mut seven = one.mesa("7").await;
    one.settled().await;
    let api = DispatcherOptions { namespace: Some("api".into()), ..DispatcherOptions::new(&redis.url()) };
    let api = Dispatcher::with_options(api).await.unwrap();
    api.dispatch(&message(1), &["*"]).await.unwrap();
    dispatcher(&redis).await.dispatch(&message(2), &["7"]).await.unwrap();
    assert_eq!(seven.next().await, said(2));
    let long = DispatcherOptions { namespace: Some("x".repeat(257)), ..DispatcherOptions::new("redis://x") };
    assert!(matches!(Dispatcher::with_options(long).await, Err(ConnectError::Namespace(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_outlives_its_redis_and_says_what_was_not_sent() {
    let mut redis = RedisServer::start().await;
    let node = Node::start(&redis).await;
    let dispatcher = dispatcher(&redis).await;
    redis.kill();
    assert!(Dispatcher::connect(&redis.url()).await.is_err());
    let lost = dispatcher.dispatch(&message(1), &["7"]).await;
    assert!(matches!(lost, Err(DispatchError::Redis(_))), "{lost:?}");
    redis.run_again().await;
    let mut seven = node.mesa("7").await;
    // The node hears again when it has noticed.
    while !node.server.app.hub().bus().is_up() || !node.server.app.hub().store().is_up() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    node.settled().await;
    dispatcher.dispatch(&message(2), &["7"]).await.expect("it is there again");
    assert_eq!(seven.next().await, said(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_with_an_operation_of_their_own_arrive_with_it() {
    let (redis, one, _two) = two_nodes().await;
    let mut seven = one.mesa("7").await;
    one.settled().await;
    let message = Message::parse(7, "[1]", "ODD").unwrap();
    dispatcher(&redis).await.dispatch(&message, &["7"]).await.unwrap();
    let frame = seven.next().await;
    assert_eq!(frame, json!({ "op": 7, "d": [1], "t": "ODD" }));
}
