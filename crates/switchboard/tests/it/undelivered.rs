//! Messages that reach no receiver are counted with the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use switchboard::Target;
use switchboard::backplane::LocalBus;
use switchboard::hub::HubStats;
use switchboard_testkit::raw::frame;
use switchboard_testkit::{TestServer, until};

use crate::app;
use crate::support::limits;

fn read(server: &TestServer, counter: impl Fn(&HubStats) -> &AtomicU64) -> u64 {
    counter(server.app.hub().stats()).load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_message_for_users_of_whom_none_is_connected_is_counted_once() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    let socket = server.app.socket(server.app.all_socket_ids().await.unwrap()[0]).unwrap();
    socket.login("ann").unwrap();
    let [ann, bob] = ["ann", "bob"].map(|user| Target::user(user).unwrap());
    let unreached = || read(&server, |stats| &stats.unreached);
    for reached in [vec![ann.clone()], vec![ann.clone(), bob.clone()], vec![Target::Everyone]] {
        server.app.to(reached).emit("news", &1).unwrap();
        peer.next_event().await;
    }
    server.app.to("#empty").emit("news", &1).unwrap();
    socket.to(ann).emit("news", &1).unwrap();
    assert_eq!(unreached(), 0, "a room may be empty, and the sender is connected");
    server.app.to([bob.clone(), Target::user("carl").unwrap()]).emit("news", &1).unwrap();
    server.app.to(bob.clone()).local().emit("news", &1).unwrap();
    let gone = socket.id();
    peer.close().await;
    until("the socket is removed", async || server.app.socket(gone).is_none()).await;
    server.app.to(gone).emit("news", &1).unwrap();
    assert_eq!(unreached(), 3);
}

#[tokio::test]
async fn a_message_for_a_user_of_another_node_is_not_undelivered() {
    let [one, two] = LocalBus::connected(2).try_into().unwrap_or_else(|_| panic!("two nodes"));
    let one = TestServer::start(app().with_bus(Arc::new(one))).await;
    let two = TestServer::start(app().with_bus(Arc::new(two))).await;
    let mut peer = two.peer().await;
    let id = two.app.hub().index().all_sessions()[0].id;
    two.app.socket(id).unwrap().login("ann").unwrap();
    for user in ["ann", "bob"] {
        one.app.to(Target::user(user).unwrap()).emit("news", &1).unwrap();
    }
    peer.next_event().await;
    assert_eq!((read(&one, |stats| &stats.unreached), read(&two, |stats| &stats.unreached)), (1, 0));
}

#[tokio::test]
async fn messages_for_a_socket_that_closes_or_is_gone_are_counted() {
    let bound = limits(|limits| limits.outbox_bytes_max = 64 * 1024 * 1024);
    let server = TestServer::start(app().with_limits(bound)).await;
    let mut peer = server.raw().await;
    peer.send(&frame(0x81, br#"{"event":"/join","data":"r"}"#)).await;
    until("the peer has joined", async || server.app.room_size("r").await.unwrap() > 0).await;
    let session = server.app.hub().index().all_sessions()[0].clone();
    // The peer does not read: the kernel's buffers fill first, and the rest stays in the outbox.
    let blob = "x".repeat(64 * 1024);
    while session.outbox.queued_bytes() < 10 * blob.len() {
        server.app.to("#r").emit("blob", &blob).unwrap();
        tokio::task::yield_now().await;
    }
    let id = session.id;
    server.app.disconnect(id, 4000, "enough").unwrap();
    assert_eq!(server.app.to("#r").emit("late", &1).unwrap(), 0);
    assert_eq!(read(&server, |stats| &stats.closed), 1);
    drop((peer, session));
    until("the session is removed", async || server.app.socket(id).is_none()).await;
    assert!(read(&server, |stats| &stats.unsent) >= 9, "what the peer never read");
    server.peer().await.request("/echo", json!(1)).await;
}
