//! Helpers shared by tests: limits, Mesa clients, stored messages, and member lists.

use serde_json::{Value, json};
use switchboard::backplane::InboxPage;
use switchboard::{Identity, Limits, SocketId, Target, UserId};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{KojiPeer, Peer, RawPeer, TestServer, soon, until};
use tokio::io::AsyncReadExt;

/// The default limits with one change.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Accepts every token as the id of its user.
pub(crate) async fn verify(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    Ok(Identity::new(user))
}

/// A Mesa client that has received the hello message.
pub(crate) async fn connect(server: &TestServer) -> Peer {
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer
}

/// Logs in and reads the reply.
pub(crate) async fn log_in(peer: &mut Peer, user: &str) {
    peer.send(&login_message(user, true)).await;
    assert_eq!(peer.next().await, json!({ "op": 22, "d": { "id": user } }));
}

pub(crate) async fn connect_as(server: &TestServer, user: &str) -> Peer {
    let mut peer = connect(server).await;
    log_in(&mut peer, user).await;
    peer
}

/// A login message. With `should_sync`, the server redelivers stored messages; otherwise it deletes them.
pub(crate) fn login_message(user: &str, should_sync: bool) -> Value {
    json!({ "op": 2, "d": { "token": user, "shouldSync": should_sync } })
}

/// Dispatches an event `N`, which is stored for the user.
pub(crate) async fn dispatch(server: &TestServer, user: &str, data: impl serde::Serialize) {
    let stored = server.app.to(Target::user(user).unwrap()).dispatch("N", &data).await.unwrap();
    assert_eq!(stored.inboxes, 1);
}

/// The frame of a redelivered message with its sequence number.
pub(crate) fn redelivered(n: usize, sequence: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N", "s": sequence })
}

/// The frame of a message that was not stored before.
pub(crate) fn live(n: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N" })
}

/// Opens the inbox of a user as a socket that does not exist, and releases it.
pub(crate) async fn inbox_page(server: &TestServer, user: &str) -> InboxPage {
    let (inbox, project) = (server.app.inbox().unwrap().clone(), server.app.project_id().clone());
    let (user, socket) = (UserId::new(user).unwrap(), SocketId::random());
    let page = inbox.open(&project, &user, socket, None, 100).await.unwrap();
    inbox.release(&project, &user, socket);
    page
}

pub(crate) async fn until_inbox(
    server: &TestServer,
    user: &str,
    what: &str,
    condition: impl Fn(&InboxPage) -> bool,
) {
    until(what, async || condition(&inbox_page(server, user).await)).await;
}

pub(crate) async fn until_inbox_is_empty(server: &TestServer, user: &str) {
    until_inbox(server, user, "the inbox is empty", |page| {
        page.held_by.is_none() && page.messages.is_empty()
    })
    .await;
}

/// A Mesa client that does not answer pings or heartbeats.
pub(crate) async fn connect_raw(server: &TestServer) -> RawPeer {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    peer
}

/// A logged-in Mesa client that does not answer pings, so it acknowledges no messages.
pub(crate) async fn connect_raw_as(server: &TestServer, user: &str) -> RawPeer {
    let mut peer = connect_raw(server).await;
    peer.send(&frame(0x81, login_message(user, true).to_string().as_bytes())).await;
    peer
}

/// Reads until the received bytes contain `text`.
pub(crate) async fn read_until(peer: &mut RawPeer, text: &str) {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        bytes.push(soon(text, peer.stream.read_u8()).await.expect("the connection is open"));
    }
}

/// The changes of a member list for a client in changes mode. Their versions have no gaps.
pub(crate) struct ListChanges {
    version: u64,
}

impl ListChanges {
    /// The changes after a list.
    pub(crate) fn after(list: &Value) -> Self {
        ListChanges { version: list["payload"]["version"].as_u64().expect("every list has a version") }
    }

    /// The next change, which is the next frame of the client.
    pub(crate) async fn next(&mut self, client: &mut KojiPeer) -> Value {
        let frame = client.next().await;
        assert_eq!(frame["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES", "{frame}");
        self.version += 1;
        assert_eq!(frame["payload"]["version"], self.version, "versions have no gaps");
        frame["payload"].clone()
    }
}
