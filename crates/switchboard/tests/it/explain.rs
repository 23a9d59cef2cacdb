//! The sentences that explain what became of a message: one scenario for each outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::trace::TraceId;
use switchboard::{
    App, Data, EmitError, HistoryLimits, Identity, OverflowPolicy, Payload, Reply, ReplyError, Resuming,
    Socket, Target, UserId,
};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{Peer, TestServer, until};

use crate::support::limits;

/// The user and the rights of a token: `ann`, or `ann {"#lobby":"js"}`.
pub(crate) async fn verify(token: String) -> Result<Identity, String> {
    let (user, can) = token.split_once(' ').unwrap_or((&token, ""));
    let identity = Identity::new(UserId::new(user).map_err(|error| error.to_string())?);
    if can.is_empty() {
        return Ok(identity);
    }
    let can: BTreeMap<String, String> = serde_json::from_str(can).map_err(|error| error.to_string())?;
    let can = can.iter().map(|(pattern, letters)| (&**pattern, &**letters));
    let rights = switchboard::access::Rights::new(can).map_err(|error| error.to_string())?;
    Ok(Identity { rights: Some(Arc::new(rights)), ..identity })
}

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join(&room)?))
}

/// The room `#kept` has a history.
fn app() -> App {
    let limits = limits(|limits| limits.outbox_bytes_max = 64 * 1024);
    App::new()
        .on("/join", join)
        .on("/id", async |socket: Socket| Reply(socket.id().to_string()))
        .with_limits(limits)
        .with_verifier(verify)
        .with_resume(Resuming::default())
        .with_room_history("kept", HistoryLimits::default())
        .with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default())))
}

/// A client that can resume its session.
async fn connect(server: &TestServer, token: &str) -> Peer {
    let token = token.replace(' ', "%20").replace('"', "%22").replace('#', "%23");
    let mut peer = Peer::connect(&server.url(&format!("/?sb=1&token={token}"))).await;
    assert_eq!(peer.next_event().await.0, "@session");
    assert_eq!(peer.next_event().await.0, "@identified");
    peer
}

async fn member(server: &TestServer, user: &str, room: &str) -> Peer {
    let mut peer = connect(server, user).await;
    assert_eq!(peer.request("/join", json!(room)).await, true);
    peer
}

async fn detach(server: &TestServer, peer: Peer) {
    drop(peer);
    until("a session is detached", async || {
        let sockets = server.app.all_socket_ids().await.unwrap();
        sockets.into_iter().filter_map(|id| server.app.socket(id)).any(|socket| socket.is_detached())
    })
    .await;
}

fn room(name: &str) -> Target {
    Target::room(name).unwrap()
}

fn user(id: &str) -> Target {
    Target::user(id).unwrap()
}

fn order() -> Payload {
    Payload::of(&json!({ "n": 1 })).unwrap()
}

fn send(app: &App, to: Target) -> TraceId {
    app.to(to).trace().send_payload("order", order()).unwrap().trace.unwrap()
}

async fn dispatch(app: &App, to: Target) -> TraceId {
    let emitter = app.to(to).trace();
    let id = emitter.trace_id().unwrap();
    emitter.dispatch_payload("order", order()).await.unwrap();
    id
}

/// A text in which every duration is `N ms` or `N s`.
pub(crate) fn timeless(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let is_unit = |word: Option<&&str>| {
        word.is_some_and(|word| ["ms", "s", "min"].contains(&word.trim_end_matches(['.', ','])))
    };
    let word = |(place, word): (usize, &&str)| match word.parse::<u64>() {
        Ok(_) if is_unit(words.get(place + 1)) => "N".to_owned(),
        _ => (*word).to_owned(),
    };
    let text: Vec<String> = words.iter().enumerate().map(word).collect();
    text.join(" ").replace("less than N ms", "N ms").replace("N s", "N ms")
}

async fn sentences(app: &App, id: TraceId) -> Vec<String> {
    app.trace(id).await.unwrap().explain().iter().map(|sentence| timeless(sentence)).collect()
}

/// Waits until the explanation of a message has a sentence.
async fn until_explained(app: &App, id: TraceId, expected: &str) {
    let mut last = Vec::new();
    let found = tokio::time::timeout(switchboard_testkit::SOON, async {
        while !last.iter().any(|sentence| sentence == expected) {
            tokio::task::yield_now().await;
            last = sentences(app, id).await;
        }
    });
    if found.await.is_err() {
        panic!("{expected}\nis not in {last:#?}");
    }
}

/// Fills the buffers of the kernel, so that frames wait in the outbox of the only socket.
async fn fill_kernel(server: &TestServer) {
    let session = server.app.hub().index().all_sessions().remove(0);
    while !session.outbox.is_blocked() {
        if session.outbox.queued_bytes() == 0 {
            server.app.broadcast("fill", &"x".repeat(8 * 1024)).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// Fills the outbox of the only socket, so that it has no room for a message of a few bytes.
async fn fill_outbox(server: &TestServer) {
    fill_kernel(server).await;
    for bytes in [8 * 1024, 512, 32] {
        while server.app.to(room("r")).volatile().emit("fill", &"x".repeat(bytes)).unwrap() == 1 {}
    }
}

#[tokio::test]
async fn a_socket_that_received_it_is_named_with_the_time_that_it_took() {
    let server = TestServer::start(app()).await;
    let mut peer = member(&server, "7", "r").await;
    let id = send(&server.app, user("7"));
    assert_eq!(peer.next_event().await.0, "order");
    until_explained(&server.app, id, "User 7 has one socket. It received it after N ms.").await;
    let sentences = sentences(&server.app, id).await;
    let node = server.app.hub().bus().node();
    let begins = format!("Node {node} sent `order` (seven bytes) of the application to user 7 at ");
    assert!(sentences[0].starts_with(&begins) && sentences[0].ends_with(" UTC."), "{}", sentences[0]);
    assert_eq!(sentences.len(), 2, "{sentences:#?}");
}

#[tokio::test]
async fn a_detached_session_receives_it_on_resume_if_a_history_has_it() {
    let server = TestServer::start(app()).await;
    let (mut near, gone) = (member(&server, "7", "kept").await, member(&server, "7", "kept").await);
    detach(&server, gone).await;
    let id = send(&server.app, room("kept"));
    assert_eq!(near.next().await["event"], "order");
    let [one, other] = ["received it after N ms", "is detached since N ms and will receive it on resume"];
    let in_order = [format!("One {one}. The other {other}."), format!("One {other}. The other {one}.")];
    until("both sockets are explained", async || {
        let sentences = sentences(&server.app, id).await;
        sentences.contains(&"It is number 1 in the history of #kept.".to_owned())
            && in_order.iter().any(|both| sentences.contains(&format!("User 7 has two sockets. {both}")))
    })
    .await;
}

#[tokio::test]
async fn a_detached_session_misses_a_message_that_nothing_stores() {
    let server = TestServer::start(app()).await;
    let gone = member(&server, "7", "r").await;
    detach(&server, gone).await;
    let (lost, stored) = (send(&server.app, user("7")), dispatch(&server.app, user("7")).await);
    let misses = "is detached since N ms and misses it: neither an inbox nor a history has it";
    until_explained(&server.app, lost, &format!("User 7 has one socket. It {misses}.")).await;
    let later = "User 7 has one socket. It is detached since N ms and will receive it on resume.";
    until_explained(&server.app, stored, later).await;
}

#[tokio::test]
async fn a_user_without_a_socket_gets_it_only_from_the_inbox() {
    let server = TestServer::start(app()).await;
    let lost = send(&server.app, user("8"));
    until_explained(&server.app, lost, "User 8 has no socket, so nobody received it there.").await;
    let stored = dispatch(&server.app, user("8")).await;
    until_explained(&server.app, stored, "It is stored in one inbox.").await;
    until_explained(&server.app, stored, "User 8 has no socket. The message waits in the inbox of the user.")
        .await;
    let mut peer = connect(&server, "8").await;
    assert_eq!(peer.next_event().await.0, "order");
    peer.silent().await.unwrap();
    until_explained(&server.app, stored, "User 8 has one socket. It acknowledged it after N ms.").await;
}

#[tokio::test]
async fn an_audience_without_sockets_and_an_excluded_socket_are_named() {
    let server = TestServer::start(app()).await;
    let id = send(&server.app, room("empty"));
    until_explained(&server.app, id, "No socket is in #empty, so nobody received it.").await;
    let _peer = member(&server, "7", "r").await;
    let emitter = server.app.to(room("r")).except(user("7")).trace();
    let id = emitter.trace_id().unwrap();
    emitter.emit("order", &1).unwrap();
    until_explained(&server.app, id, "User 7 has one socket. It is excluded, so it does not receive it.")
        .await;
}

#[tokio::test]
async fn a_message_that_a_protocol_reserves_is_named() {
    let server = TestServer::start(app()).await;
    let _peer = member(&server, "7", "r").await;
    let emitter = server.app.to(room("r")).trace();
    let id = emitter.trace_id().unwrap();
    emitter.emit("@session", &1).unwrap();
    let reserved = "It does not receive it: its protocol reserves the name of the event.";
    until_explained(&server.app, id, &format!("User 7 has one socket. {reserved}")).await;
}

#[tokio::test]
async fn a_client_without_the_right_to_send_is_named_with_the_right() {
    async fn publish(socket: Socket, Data(id): Data<TraceId>) -> Result<(), EmitError> {
        socket.to("#news").as_client().with_trace(id).emit("order", &1).map(drop)
    }
    let server = TestServer::start(app().on("/publish", async |socket: Socket, data: Data<TraceId>| {
        publish(socket, data).await.map_err(ReplyError::from)
    }))
    .await;
    let mut peer = connect(&server, "7 {\"#lobby\":\"js\"}").await;
    let id = TraceId::random();
    assert_eq!(peer.request("/publish", json!(id)).await["code"], "forbidden");
    let sentences = sentences(&server.app, id).await;
    let (begins, ends) = ("refused `order` (one byte) of socket ", "the client has no send right on #news.");
    assert!(sentences[0].contains(begins) && sentences[0].ends_with(ends), "{sentences:#?}");
    assert_eq!(sentences.len(), 1, "{sentences:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_is_explained_by_the_policy_of_the_message() {
    let server = TestServer::start(app()).await;
    let mut peer = member(&server, "7", "r").await;
    fill_outbox(&server).await;
    let trace = |policy: OverflowPolicy| {
        let emitter = server.app.to(room("r")).with_policy(policy).trace();
        let id = emitter.trace_id().unwrap();
        emitter.emit("order", &"x".repeat(64)).unwrap();
        id
    };
    let dropped = trace(OverflowPolicy::Volatile);
    let words = "It missed it: its outbox was full, and the overflow policy of the message drops it then.";
    until_explained(&server.app, dropped, &format!("User 7 has one socket. {words}")).await;
    let closed = trace(OverflowPolicy::Live);
    let words = "It missed it: its outbox was full, so it was closed with 1013.";
    until_explained(&server.app, closed, &format!("User 7 has one socket. {words}")).await;
    while peer.next_or_close().await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_waits_is_replaced_or_lost_with_its_connection() {
    let server = TestServer::start(app()).await;
    let peer = member(&server, "7", "r").await;
    fill_kernel(&server).await;
    server.app.broadcast("before", &0).unwrap();
    let trace = |n: usize| {
        let emitter = server.app.to(room("r")).latest("k").trace();
        let id = emitter.trace_id().unwrap();
        emitter.emit("order", &n).unwrap();
        id
    };
    let (older, newer) = (trace(1), trace(2));
    let replaced = "It received a newer message with the same key in its place.";
    until_explained(&server.app, older, &format!("User 7 has one socket. {replaced}")).await;
    let waits = "User 7 has one socket. It has it in its outbox; it is not sent yet.";
    until_explained(&server.app, newer, waits).await;
    detach(&server, peer).await;
    let lost = "User 7 has one socket. It missed it: it disconnected before the message was sent.";
    until_explained(&server.app, newer, lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_member_of_a_room_with_a_history_is_said_to_catch_up() {
    let server = TestServer::start(app()).await;
    let mut peer = member(&server, "7", "r").await;
    peer.request("/join", json!("kept")).await;
    fill_outbox(&server).await;
    let emitter = server.app.to(room("kept")).trace();
    let id = emitter.trace_id().unwrap();
    emitter.emit("order", &"x".repeat(64)).unwrap();
    let words =
        "It reads slowly: its outbox was full, and it will receive the message from the history of the room.";
    until_explained(&server.app, id, &format!("User 7 has one socket. {words}")).await;
    while peer.next().await["event"] != "order" {}
    until_explained(&server.app, id, "User 7 has one socket. It received it after N ms.").await;
}

#[tokio::test]
async fn many_receivers_are_counted() {
    let server = TestServer::start(app()).await;
    let mut peers = Vec::new();
    for n in 0..12 {
        peers.push(member(&server, &n.to_string(), "r").await);
    }
    let gone = peers.pop().unwrap();
    detach(&server, gone).await;
    let id = send(&server.app, room("r"));
    for peer in &mut peers {
        assert_eq!(peer.next_event().await.0, "order");
    }
    until_explained(&server.app, id, "11 sockets received it, the last after N ms.").await;
    let detached = "One socket: is detached since N ms and misses it: neither an inbox nor a history has it.";
    until_explained(&server.app, id, detached).await;
}

#[tokio::test]
async fn an_unknown_trace_says_why_it_may_be_unknown() {
    let server = TestServer::start(app()).await;
    let unknown = "No node knows this message: it was not traced, was forgotten, or is of another project.";
    assert_eq!(sentences(&server.app, TraceId::random()).await, [unknown]);
}

/// Three nodes; the first two have a member of `#r`.
async fn three_nodes() -> (Vec<TestServer>, Peer, Peer) {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(3) {
        nodes.push(TestServer::start(app().with_bus(Arc::new(bus))).await);
    }
    let (near, far) = (member(&nodes[0], "7", "r").await, member(&nodes[1], "8", "r").await);
    for node in &nodes {
        node.app.settled().await;
    }
    (nodes, near, far)
}

#[tokio::test]
async fn sockets_of_other_nodes_and_nodes_that_did_not_receive_it_are_named() {
    let (nodes, mut near, mut far) = three_nodes().await;
    let id = send(&nodes[0].app, room("r"));
    assert_eq!((near.next_event().await.0, far.next_event().await.0), ("order".into(), "order".into()));
    for asked in &nodes {
        for user in ["7", "8"] {
            let received = format!("User {user} has one socket. It received it after N ms.");
            until_explained(&asked.app, id, &received).await;
        }
        let third = nodes[2].app.hub().bus().node();
        until_explained(
            &asked.app,
            id,
            &format!("Node {third} recorded nothing: the message has no receivers there, or did not arrive."),
        )
        .await;
    }
    let alone = send(&nodes[2].app, room("elsewhere"));
    until_explained(&nodes[2].app, alone, "No other node has a socket in its audience.").await;
}
