//! A Koji client at the level of frames.

use serde_json::{Value, json};

use crate::{Peer, TestServer};

/// A connection that has received CONNECTED.
pub struct KojiPeer {
    /// The connection.
    pub peer: Peer,
    /// The client id.
    pub id: String,
    /// The shard.
    pub shard: String,
}

/// The prefix of platform events.
const PLATFORM: &str = "@@KOJI_DISPATCH/";

impl KojiPeer {
    /// Connects with a query such as `projectId=p`, expects CONNECTED first, and answers the ping behind it.
    pub async fn join(server: &TestServer, query: &str) -> Self {
        let mut peer = Peer::connect(&server.url(&format!("/?{query}"))).await;
        let mut first = peer.next().await;
        assert_eq!(first["eventName"], "@@KOJI_DISPATCH/CONNECTED", "the first frame: {first}");
        let text = |value: Value| value.as_str().expect("it is a string").to_owned();
        let id = text(first["payload"]["clientId"].take());
        let shard = text(first["payload"]["shardName"].take());
        peer.answer_ping().await;
        KojiPeer { peer, id, shard }
    }

    /// Emits to the whole shard.
    pub async fn emit(&mut self, event: &str, payload: Value) {
        self.peer.send(&json!({ "eventName": event, "payload": payload })).await;
    }

    /// Emits to some clients or users.
    pub async fn emit_to(&mut self, event: &str, payload: Value, recipients: Value) {
        self.peer.send(&json!({ "eventName": event, "payload": payload, "recipients": recipients })).await;
    }

    /// Sets the user info.
    pub async fn set_user_info(&mut self, info: Value) {
        self.emit("@@KOJI_DISPATCH/SET_USER_INFO", info).await;
    }

    /// Authenticates.
    pub async fn identify(&mut self, token: &str) {
        self.emit("@@KOJI_DISPATCH/IDENTIFY", json!({ "token": token })).await;
    }

    /// The next frame; checks that it has a latency.
    pub async fn next(&mut self) -> Value {
        let frame = self.peer.next().await;
        assert!(frame["latencyMs"].is_u64(), "every frame has a latency: {frame}");
        frame
    }

    /// The name and payload of the next event of a client or the app. Earlier member lists are skipped.
    pub async fn next_event(&mut self) -> (String, Value) {
        loop {
            let mut frame = self.next().await;
            let name = frame["eventName"].as_str().expect("every frame has a name").to_owned();
            if !name.starts_with(PLATFORM) {
                return (name, frame["payload"].take());
            }
        }
    }

    /// The next member list. Earlier events are skipped.
    pub async fn next_list(&mut self) -> Value {
        loop {
            let mut frame = self.next().await;
            if frame["eventName"] == "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED" {
                return frame["payload"]["connectedClients"].take();
            }
        }
    }

    /// Waits for a member list that matches; others are skipped.
    pub async fn list_where(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        loop {
            let list = self.next_list().await;
            if matches(&list) {
                return list;
            }
        }
    }

    /// Waits for a member list of this length.
    pub async fn list_of(&mut self, clients: usize) -> Value {
        self.list_where(|list| list.as_object().is_some_and(|list| list.len() == clients)).await
    }

    /// Checks that no event is pending: emits one to itself and expects it next.
    pub async fn quiet(&mut self) {
        let id = self.id.clone();
        self.emit_to("nothing-before-this", json!([]), json!([id])).await;
        assert_eq!(self.next_event().await, ("nothing-before-this".into(), json!([])));
    }
}
