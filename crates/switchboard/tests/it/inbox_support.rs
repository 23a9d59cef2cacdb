//! Clients of the Mesa door for whom messages wait.

use serde_json::{Value, json};
use switchboard::{Identity, InboxPage, SocketId, Target, UserId};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, TestServer, soon};
use tokio::io::AsyncReadExt;

pub(crate) async fn verify(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    Ok(Identity { user, expires: None, profile: None })
}

pub(crate) async fn connect(server: &TestServer) -> Peer {
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer
}

pub(crate) async fn log_in(peer: &mut Peer, user: &str) {
    peer.send(&login(user, true)).await;
    assert_eq!(peer.next().await, json!({ "op": 22, "d": { "id": user } }));
}

pub(crate) async fn come(server: &TestServer, user: &str) -> Peer {
    let mut peer = connect(server).await;
    log_in(&mut peer, user).await;
    peer
}

pub(crate) fn login(user: &str, should_sync: bool) -> Value {
    json!({ "op": 2, "d": { "token": user, "shouldSync": should_sync } })
}

pub(crate) async fn keep(server: &TestServer, user: &str, data: impl serde::Serialize) {
    let kept = server.app.to(Target::user(user).unwrap()).dispatch("N", &data).await.unwrap();
    assert_eq!(kept.inboxes, 1);
}

pub(crate) fn missed(n: usize, number: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N", "s": number })
}

pub(crate) fn live(n: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N" })
}

/// What a socket finds that is nobody's.
pub(crate) async fn look(server: &TestServer, user: &str) -> InboxPage {
    let (inbox, project) = (server.app.inbox().unwrap().clone(), server.app.project_id().clone());
    let (user, nobody) = (UserId::new(user).unwrap(), SocketId::random());
    let opened = inbox.open(&project, &user, nobody, None, 100).await.unwrap();
    inbox.release(&project, &user, nobody);
    opened
}

pub(crate) async fn when(server: &TestServer, user: &str, what: &str, holds: impl Fn(&InboxPage) -> bool) {
    soon(what, async {
        while !holds(&look(server, user).await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn emptied(server: &TestServer, user: &str) {
    when(server, user, "the inbox is empty", |opened| opened.held_by.is_none() && opened.messages.is_empty())
        .await;
}

/// A client that answers nothing by itself.
pub(crate) async fn raw(server: &TestServer, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    peer.read_head().await;
    peer.send(&frame(0x81, login(user, true).to_string().as_bytes())).await;
    peer
}

pub(crate) async fn until(peer: &mut RawPeer, text: &str) {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        bytes.push(soon(text, peer.stream.read_u8()).await.expect("the connection is open"));
    }
}
