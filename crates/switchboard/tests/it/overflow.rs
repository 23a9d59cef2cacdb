//! Receivers that are too slow: overflow policies, announced losses, and catching up from the history of a room.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use switchboard::{App, HistoryLimits, LatestKey, OverflowPolicy};
use switchboard_testkit::{KojiPeer, Peer, TestServer, until};

use crate::app;
use crate::support::limits;

/// Larger than the part of an outbox in which a frame of any size is accepted.
fn blob() -> String {
    "x".repeat(8 * 1024)
}

fn with_small_outboxes(app: App) -> App {
    app.with_limits(limits(|limits| limits.outbox_bytes_max = 64 * 1024))
}

/// All messages of the test fit.
fn with_history(app: App, messages_max: u64) -> App {
    app.with_room_history("chat", HistoryLimits { messages_max, age_max_ms: 3_600_000, bytes_max: 1 << 30 })
}

async fn member(server: &TestServer, path: &str, room: &str) -> Peer {
    let mut peer = Peer::connect(&server.url(path)).await;
    assert_eq!(peer.request("/join", json!(room)).await, true);
    peer
}

/// Fills the buffers of the kernel, so that frames wait in the outbox of the only socket.
async fn fill_kernel(server: &TestServer) {
    let session = server.app.hub().index().all_sessions().remove(0);
    while !session.outbox.is_blocked() {
        if session.outbox.queued_bytes() == 0 {
            server.app.broadcast("fill", &blob()).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// The next event that does not fill buffers.
async fn next(peer: &mut Peer) -> Value {
    loop {
        let frame = peer.next().await;
        if frame["event"] != "fill" {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_are_announced_once_when_the_outbox_has_room() {
    let server = TestServer::start(with_small_outboxes(app())).await;
    let mut slow = member(&server, "/?sb=1", "r").await;
    fill_kernel(&server).await;
    let mut sent = 0;
    while server.app.to("#r").volatile().emit("tick", &(sent, blob())).unwrap() == 1 {
        sent += 1;
    }
    for _ in 0..4 {
        assert_eq!(server.app.to("#r").volatile().emit("tick", &blob()).unwrap(), 0);
    }
    for n in 0..sent {
        assert_eq!(next(&mut slow).await["data"][0], n);
    }
    let gap = slow.next().await;
    assert_eq!(gap, json!({ "event": "@gap", "data": { "room": "#r", "lost": 5 } }));
    assert_eq!(server.app.hub().stats().dropped.volatile.load(Ordering::Relaxed), 5);
    slow.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_client_receives_no_announcement() {
    let server = TestServer::start(with_small_outboxes(app())).await;
    let mut slow = member(&server, "/", "r").await;
    fill_kernel(&server).await;
    let mut sent = 0;
    while server.app.to("#r").volatile().emit("tick", &(sent, blob())).unwrap() == 1 {
        sent += 1;
    }
    for n in 0..sent {
        assert_eq!(next(&mut slow).await["data"][0], n);
    }
    let session = server.app.hub().index().all_sessions().remove(0);
    until("the loss is dealt with", async || {
        session.outbox.overflow_number().is_none_or(|n| session.outbox.take_losses(n).is_empty())
    })
    .await;
    slow.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oldest_drops_the_oldest_and_the_receiver_gets_the_newest() {
    let server = TestServer::start(with_small_outboxes(app())).await;
    let mut slow = member(&server, "/?sb=1", "r").await;
    let dropped = &server.app.hub().stats().dropped.oldest;
    let mut sent: u64 = 0;
    while dropped.load(Ordering::Relaxed) < 20 {
        assert_eq!(server.app.to("#r").oldest().emit("tick", &(sent, blob())).unwrap(), 1);
        sent += 1;
        tokio::task::yield_now().await;
    }
    let (mut received, mut lost, mut last) = (0, 0, None);
    while received + lost < sent {
        let frame = slow.next().await;
        if frame["event"] == "@gap" {
            lost += frame["data"]["lost"].as_u64().unwrap();
        } else {
            let n = frame["data"][0].as_u64();
            assert!(n > last, "{n:?} after {last:?}");
            (received, last) = (received + 1, n);
        }
    }
    assert_eq!((last, lost), (Some(sent - 1), dropped.load(Ordering::Relaxed)));
    slow.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_replaces_what_a_slow_receiver_has_not_got_and_costs_no_announcement() {
    let server = TestServer::start(with_small_outboxes(app())).await;
    let mut slow = member(&server, "/?sb=1", "r").await;
    fill_kernel(&server).await;
    server.app.broadcast("before", &0).unwrap();
    for n in 0..100 {
        for key in ["a", "b"] {
            server.app.to("#r").latest(key).emit("at", &json!([key, n])).unwrap();
        }
    }
    server.app.broadcast("after", &0).unwrap();
    let mut received = Vec::new();
    for _ in 0..4 {
        let frame = next(&mut slow).await;
        received.push((frame["event"].clone(), frame["data"].clone()));
    }
    assert_eq!(json!(received), json!([["before", 0], ["at", ["a", 99]], ["at", ["b", 99]], ["after", 0]]));
    slow.quiet().await;
    assert!(server.app.to("#r").latest("").emit("at", &0).is_err(), "a key has at least one byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_sets_the_policy_of_a_room_and_keeps_other_rooms_live() {
    let latest = OverflowPolicy::Latest(LatestKey::Event);
    let app = app().with_overflow_policy("cursors-*", latest);
    let app = app.with_room_history("*", HistoryLimits::default());
    let server = TestServer::start(with_small_outboxes(app)).await;
    let mut slow = member(&server, "/?sb=1", "cursors-1").await;
    assert_eq!(slow.request("/join", json!("chat")).await, true);
    fill_kernel(&server).await;
    for n in 0..10 {
        server.app.to("#cursors-1").emit("moved", &n).unwrap();
        server.app.to("#cursors-1").emit("clicked", &n).unwrap();
        server.app.to("#chat").emit("said", &n).unwrap();
    }
    let moved = next(&mut slow).await;
    assert_eq!((&moved["data"], &moved["position"]), (&json!(9), &Value::Null), "it is not kept");
    assert_eq!(next(&mut slow).await["data"], 9);
    for n in 0..10 {
        let said = next(&mut slow).await;
        assert_eq!((&said["data"], &said["position"]["offset"]), (&json!(n), &json!(n + 1)));
    }
    slow.quiet().await;
}

/// Sends until the only member of the room lags, and some messages more. Returns how many.
async fn send_until_it_lags(server: &TestServer) -> u64 {
    fill_kernel(server).await;
    let (mut sent, mut more) = (0, 50);
    while more > 0 {
        server.app.to("#chat").emit("said", &(sent, blob())).unwrap();
        sent += 1;
        more -= u64::from(server.app.hub().stats().lagging.load(Ordering::Relaxed) > 0);
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_member_of_a_room_with_history_catches_up_and_is_not_closed() {
    for path in ["/?sb=1", "/"] {
        let server = TestServer::start(with_small_outboxes(with_history(app(), 1 << 20))).await;
        let mut slow = member(&server, path, "chat").await;
        let mut sent = 0;
        // The second time, it has caught up once.
        for _ in 0..2 {
            server.app.hub().stats().lagging.store(0, Ordering::Relaxed);
            let from = sent;
            sent += send_until_it_lags(&server).await;
            for n in from..sent {
                let frame = next(&mut slow).await;
                assert_eq!(
                    (&frame["event"], &frame["data"][0]),
                    (&json!("said"), &json!(n - from)),
                    "{path}"
                );
                assert_eq!(frame["position"]["offset"].as_u64(), (path != "/").then_some(n + 1));
            }
            slow.quiet().await;
        }
        assert_eq!(server.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
        server.app.to("#chat").emit("said", &"live").unwrap();
        assert_eq!(next(&mut slow).await["data"], "live");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_excludes_a_lagging_member_stays_excluded() {
    let server = TestServer::start(with_small_outboxes(with_history(app(), 1 << 20))).await;
    let mut slow = member(&server, "/?sb=1", "chat").await;
    let id = server.app.hub().index().all_sessions()[0].id;
    let sent = send_until_it_lags(&server).await;
    server.app.to("#chat").except(id).emit("secret", &0).unwrap();
    server.app.to("#chat").emit("said", &(sent, 0)).unwrap();
    for n in 0..=sent {
        let frame = next(&mut slow).await;
        assert_eq!((&frame["event"], &frame["data"][0]), (&json!("said"), &json!(n)));
    }
    slow.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_gone_from_the_history_are_announced_or_close_an_original_client() {
    let server = TestServer::start(with_small_outboxes(with_history(app(), 3))).await;
    let mut slow = member(&server, "/?sb=1", "chat").await;
    let sent = send_until_it_lags(&server).await;
    let mut next_offset = 1;
    while next_offset <= sent {
        let frame = next(&mut slow).await;
        if frame["event"] == "@gap" {
            let data = &frame["data"];
            assert_eq!((&data["room"], &data["from"]), (&json!("#chat"), &json!(next_offset)));
            next_offset = data["to"].as_u64().unwrap() + 1;
            assert_eq!(next_offset, sent - 2, "the history has three messages");
        } else {
            assert_eq!(frame["position"]["offset"], next_offset);
            next_offset += 1;
        }
    }
    slow.quiet().await;
    let server = TestServer::start(with_small_outboxes(with_history(app(), 3))).await;
    let mut original = member(&server, "/", "chat").await;
    send_until_it_lags(&server).await;
    assert_eq!(original.closed().await.0, 1013);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lag_ends_when_the_member_leaves_the_room() {
    let server = TestServer::start(with_small_outboxes(with_history(app(), 1 << 20))).await;
    let mut slow = member(&server, "/?sb=1", "chat").await;
    let sent = send_until_it_lags(&server).await;
    let lagging = server.app.hub().stats().lagging.load(Ordering::Relaxed);
    let socket = server.app.socket(server.app.hub().index().all_sessions()[0].id).unwrap();
    assert!(socket.leave("#chat").unwrap());
    server.app.to("#chat").emit("said", &"to nobody").unwrap();
    for n in 0..sent - lagging {
        assert_eq!(next(&mut slow).await["data"][0], n);
    }
    slow.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_koji_client_catches_up_on_its_shard() {
    let app = with_small_outboxes(app().with_koji(switchboard::Koji::new()));
    let app = app.with_room_history(
        "lobby",
        HistoryLimits { messages_max: 1 << 20, age_max_ms: 3_600_000, bytes_max: 1 << 30 },
    );
    let server = TestServer::start(app).await;
    let mut slow = KojiPeer::join(&server, "projectId=default&shardName=lobby").await;
    let shard = switchboard::Target::shard(&switchboard::ShardName::new("lobby").unwrap());
    fill_kernel(&server).await;
    let (mut sent, mut more) = (0, 20);
    while more > 0 {
        server.app.to(shard.clone()).emit("said", &(sent, blob())).unwrap();
        sent += 1;
        more -= u64::from(server.app.hub().stats().lagging.load(Ordering::Relaxed) > 0);
    }
    for n in 0..sent {
        let mut event = slow.next_event().await;
        while event.0 == "fill" {
            event = slow.next_event().await;
        }
        assert_eq!(event.1[0], n);
    }
}
