//! Clients that are sent away: before a stop, and when a node is drained without one.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Koji, Resuming, Stopping};
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon, until};

use crate::app;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A client that understands `@goaway`.
async fn moving_peer(server: &TestServer) -> Peer {
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    peer.quiet().await;
    peer
}

async fn next_goaway(peer: &mut Peer) -> Value {
    let (event, data) = peer.next_event().await;
    assert_eq!(event, "@goaway");
    data
}

async fn assert_refused(server: &TestServer, path: &str) {
    let refused =
        Peer::try_connect(&server.url(path), &[]).await.err().expect("a draining node refuses clients");
    assert!(refused.contains("503"), "{refused}");
}

#[tokio::test]
async fn a_drain_gives_each_client_that_understands_it_a_slot_of_its_own() {
    let server = TestServer::start(app()).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(moving_peer(&server).await);
    }
    let status = server.app.drain(Duration::from_secs(80));
    assert_eq!((status.is_draining, status.connections, status.moving), (true, 4, 4));
    let mut slots = Vec::new();
    for peer in &mut peers {
        let notice = next_goaway(peer).await;
        assert_eq!((&notice["grace_ms"], &notice["reason"]), (&json!(40_000), &json!("drain")));
        slots.push(notice["in_ms"].as_u64().expect("a time"));
    }
    slots.sort_unstable();
    assert_eq!(slots, [0, 10_000, 20_000, 30_000]);
}

#[tokio::test]
async fn a_drain_closes_other_clients_over_the_window_and_refuses_new_ones_until_it_is_cancelled() {
    let server = TestServer::start(app()).await;
    let (mut one, mut two) = (server.peer().await, server.peer().await);
    one.quiet().await;
    two.quiet().await;
    let status = server.app.drain(LONG);
    assert_eq!((status.connections, status.moving), (2, 0));
    // The first slot has come, the second one is in half an hour.
    let closed = tokio::select! { closed = one.closed() => closed, closed = two.closed() => closed };
    assert_eq!(closed, (1012, "the server restarts".into()));
    assert_refused(&server, "/").await;
    until("one is left", async || server.app.drain_status().connections == 1).await;
    // It changes nothing that another drain is requested.
    assert_eq!(server.app.drain(Duration::ZERO).connections, 1);

    let status = server.app.cancel_drain();
    assert_eq!((status.is_draining, status.connections), (false, 1));
    assert!(!server.app.is_stopping());
    let mut new = server.peer().await;
    new.quiet().await;
    assert_eq!(server.app.drain_status().connections, 2, "nobody else was closed");
}

#[tokio::test]
async fn clients_with_a_slot_are_notified_that_the_drain_is_cancelled_and_stay() {
    let server = TestServer::start(app()).await;
    let mut peer = moving_peer(&server).await;
    server.app.drain(LONG);
    next_goaway(&mut peer).await;
    server.app.cancel_drain();
    assert_eq!(next_goaway(&mut peer).await, json!({ "cancelled": true }));
    peer.quiet().await;
    // A second cancel has nothing to cancel.
    server.app.cancel_drain();
    peer.quiet().await;
    // And a second drain begins anew.
    server.app.drain(LONG);
    assert_eq!(next_goaway(&mut peer).await["reason"], "drain");
}

#[tokio::test]
async fn a_client_that_does_not_move_is_closed_after_its_grace_and_keeps_its_session() {
    let server = TestServer::start(app().with_resume(Resuming::default())).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    assert_eq!(peer.next_event().await.0, "@session");
    peer.quiet().await;
    server.app.drain(Duration::from_millis(40));
    assert_eq!(next_goaway(&mut peer).await["grace_ms"], 20);
    assert_eq!(peer.closed().await.0, 1012);
    until("the session is detached", async || {
        let ids = server.app.all_socket_ids().await.unwrap();
        ids.first().and_then(|id| server.app.socket(*id)).is_some_and(|socket| socket.is_detached())
    })
    .await;
    assert_eq!(server.app.drain_status().connections, 0);
}

#[tokio::test]
async fn a_draining_node_refuses_clients_of_every_kind() {
    let server = TestServer::start(app()).await;
    server.app.drain(LONG);
    for path in ["/", "/?sb=1"] {
        assert_refused(&server, path).await;
    }
    server.app.cancel_drain();
    server.peer().await.quiet().await;
}

#[tokio::test]
async fn a_stop_sends_clients_away_and_an_original_client_sees_no_additional_byte() {
    let app: App = app();
    let server = TestServer::start(app.clone()).await;
    let (mut moving, mut original) = (moving_peer(&server).await, server.peer().await);
    original.quiet().await;
    let stopping = Stopping::default().with_window(LONG);
    let peers = async {
        assert_eq!(next_goaway(&mut moving).await["reason"], "stop");
        // The next frame is the close frame.
        assert_eq!(original.closed().await.0, 1012);
        moving.close().await;
    };
    tokio::join!(soon("the stop", app.close_within(stopping)), peers);
}

#[tokio::test]
async fn a_stop_without_a_window_closes_at_once_and_sends_no_notice() {
    let app: App = app();
    let server = TestServer::start(app.clone()).await;
    let mut peer = moving_peer(&server).await;
    tokio::join!(soon("the stop", app.close()), async {
        assert_eq!(peer.closed().await.0, 1012);
    });
}

#[tokio::test]
async fn a_stop_ends_a_drain_and_gives_new_slots() {
    let app: App = app();
    let server = TestServer::start(app.clone()).await;
    let mut peer = moving_peer(&server).await;
    app.drain(LONG);
    assert_eq!(next_goaway(&mut peer).await["reason"], "drain");
    let stopping = Stopping::default().with_window(Duration::from_millis(20));
    tokio::join!(soon("the stop", app.close_within(stopping)), async {
        assert_eq!(next_goaway(&mut peer).await["reason"], "stop");
        assert_eq!(peer.closed().await.0, 1012);
    });
    assert!(!app.is_draining());
    assert!(!app.drain(LONG).is_draining, "a node that stops does not drain");
}

#[tokio::test]
async fn koji_clients_are_sent_away_by_a_platform_event() {
    let server = TestServer::start(app().with_koji(Koji::new())).await;
    let mut moving = KojiPeer::join(&server, "projectId=p&shardName=s&sb=1").await;
    server.app.drain(LONG);
    let frame = loop {
        let frame = moving.next().await;
        if frame["eventName"] == "@@SWITCHBOARD/goaway" {
            break frame;
        }
    };
    assert_eq!((&frame["payload"]["in_ms"], &frame["payload"]["reason"]), (&json!(0), &json!("drain")));
}
