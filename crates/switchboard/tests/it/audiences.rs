//! Requests and changes of memberships that the app makes for all sockets of an audience, on all nodes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::backplane::LocalBus;
use switchboard::{App, Audience, Payload, RequestAllError, RequestError, SocketId, Target};
use switchboard_testkit::{Peer, TestServer, until};

use crate::app;

/// Time-outs that a test does not wait for.
const LONG: Duration = Duration::from_secs(60);

async fn two_nodes() -> [TestServer; 2] {
    let [one, two] = LocalBus::connected(2).map_nodes();
    [TestServer::start(app().with_bus(one)).await, TestServer::start(app().with_bus(two)).await]
}

trait MapNodes {
    fn map_nodes(self) -> [Arc<LocalBus>; 2];
}

impl<I: IntoIterator<Item = LocalBus>> MapNodes for I {
    fn map_nodes(self) -> [Arc<LocalBus>; 2] {
        let nodes: Vec<Arc<LocalBus>> = self.into_iter().map(Arc::new).collect();
        nodes.try_into().unwrap_or_else(|_| panic!("two nodes"))
    }
}

/// A new peer in a room, and its id.
async fn peer_in(server: &TestServer, room: &str) -> (Peer, SocketId) {
    let before = server.app.all_socket_ids().await.unwrap();
    let mut peer = server.peer().await;
    peer.request("/join", json!(room)).await;
    let now = server.app.all_socket_ids().await.unwrap();
    (peer, now.into_iter().find(|id| !before.contains(id)).expect("the new socket is known"))
}

/// Replies to the next request of the server with its data.
async fn echo_next(peer: &mut Peer) {
    let question = peer.next().await;
    peer.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": question["data"] })).await;
}

#[tokio::test]
async fn each_socket_of_an_audience_replies_to_a_request_once() {
    let server = TestServer::start(app()).await;
    let (mut ann, ann_id) = peer_in(&server, "r").await;
    let (mut bob, bob_id) = peer_in(&server, "r").await;
    let (mut eve, eve_id) = peer_in(&server, "r").await;
    let audience =
        Audience { to: vec![Target::room("r").unwrap(), ann_id.into()], except: vec![eve_id.into()] };
    let (replies, (), ()) = tokio::join!(
        server.app.request_all(audience, LONG, "/q", &7),
        echo_next(&mut ann),
        echo_next(&mut bob)
    );
    let mut replies: Vec<(SocketId, Value)> = replies
        .unwrap()
        .into_iter()
        .map(|reply| (reply.socket, reply.reply.unwrap().to().unwrap()))
        .collect();
    replies.sort_unstable_by_key(|(socket, _)| *socket);
    let mut expected = vec![(ann_id, json!(7)), (bob_id, json!(7))];
    expected.sort_unstable_by_key(|(socket, _)| *socket);
    assert_eq!(replies, expected);
    for peer in [&mut ann, &mut bob, &mut eve] {
        peer.quiet().await;
    }
}

#[tokio::test]
async fn a_socket_that_does_not_reply_has_an_error_and_the_others_their_replies() {
    let [one, two] = two_nodes().await;
    let (mut silent, silent_id) = peer_in(&one, "r").await;
    let (mut far, far_id) = peer_in(&two, "r").await;
    let unknown = SocketId::on(silent_id.node());
    let sockets = [silent_id, far_id, unknown].map(Target::Socket);
    let timeout = Duration::from_millis(500);
    let (replies, ()) = tokio::join!(one.app.request_all(sockets, timeout, "/q", &7), echo_next(&mut far));
    let replies = replies.unwrap();
    let of = |id| &replies.iter().find(|reply| reply.socket == id).expect("each socket has a reply").reply;
    assert!(matches!(of(silent_id), Err(RequestError::Timeout(found)) if *found == timeout), "{replies:?}");
    assert!(matches!(of(unknown), Err(RequestError::Closed)), "{replies:?}");
    // On a busy machine the reply may be late as well.
    assert!(matches!(of(far_id), Ok(_) | Err(RequestError::Timeout(_))), "{replies:?}");
    assert_eq!(silent.next().await["event"], "/q");
}

#[tokio::test]
async fn a_request_to_an_empty_or_invalid_audience_sends_nothing() {
    let server = TestServer::start(app()).await;
    let (mut peer, _) = peer_in(&server, "r").await;
    assert!(server.app.request_all("#nobody", LONG, "/q", &()).await.unwrap().is_empty());
    let invalid = server.app.request_all("", LONG, "/q", &()).await;
    assert!(matches!(invalid, Err(RequestAllError::Audience(_))), "{invalid:?}");
    let unnamed = server.app.request_all("#r", LONG, "", &()).await;
    assert!(matches!(unnamed, Err(RequestAllError::Emit(_))), "{unnamed:?}");
    peer.quiet().await;
}

#[tokio::test]
async fn an_audience_joins_and_leaves_rooms_and_tags_on_all_nodes() {
    let [one, two] = two_nodes().await;
    let ((_near, near), (_far, far)) = (peer_in(&one, "start").await, peer_in(&two, "start").await);
    let (_other, other) = peer_in(&two, "elsewhere").await;
    let app: &App = &one.app;
    assert_eq!(app.join("#start", "hall").unwrap(), 1, "those of this node are counted");
    assert_eq!(app.join("#start", "hall").unwrap(), 0, "it is a member already");
    assert_eq!(app.tag("#start", "vip").unwrap(), 1);
    let names = |server: &TestServer, id| {
        let socket = server.app.socket(id).expect("it is connected");
        (socket.is_in("hall"), !socket.tags().is_empty())
    };
    until("the other node has joined", async || names(&two, far) == (true, true)).await;
    assert_eq!((names(&one, near), names(&two, other)), ((true, true), (false, false)));
    let all_but_near = Audience { to: vec![Target::Everyone], except: vec![near.into()] };
    assert_eq!(app.leave(all_but_near, "hall").unwrap(), 0);
    assert_eq!(app.untag("*vip", "vip").unwrap(), 1);
    until("the other node has left", async || names(&two, far) == (false, false)).await;
    assert_eq!(names(&one, near), (true, false));
    for invalid in [
        app.join("", "hall"),
        app.join("#start", ""),
        app.tag("#start", "#room"),
        app.leave("#start", "*tag"),
    ] {
        assert!(invalid.is_err());
    }
}

#[tokio::test]
async fn a_send_returns_how_many_receivers_are_behind() {
    let server = TestServer::start(app()).await;
    let (_peer, _) = peer_in(&server, "r").await;
    let sent = server.app.to("#r").send_payload("said", Payload::of("hi").unwrap()).unwrap();
    assert_eq!((sent.queued, sent.behind, sent.dropped, sent.is_degraded), (1, 0, 0, false));
}
