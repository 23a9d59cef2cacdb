//! A Koji client at the level of frames.

use serde_json::{Value, json};

use crate::{Peer, TestServer};

/// One connection, after CONNECTED.
pub struct KojiPeer {
    /// The connection.
    pub peer: Peer,
    /// Its id.
    pub id: String,
    /// Its shard.
    pub shard: String,
}

/// The platform's events have this in front.
const PLATFORM: &str = "@@KOJI_DISPATCH/";

impl KojiPeer {
    /// Connects with a query such as `projectId=p`. The first frame has to be CONNECTED.
    pub async fn join(server: &TestServer, query: &str) -> Self {
        let mut peer = Peer::connect(&server.url(&format!("/?{query}"))).await;
        let mut first = peer.next().await;
        assert_eq!(first["eventName"], "@@KOJI_DISPATCH/CONNECTED", "the first frame: {first}");
        let text = |value: Value| value.as_str().expect("it is a text").to_owned();
        let id = text(first["payload"]["clientId"].take());
        let shard = text(first["payload"]["shardName"].take());
        KojiPeer { peer, id, shard }
    }

    /// Emits to the whole shard.
    pub async fn emit(&mut self, event: &str, payload: Value) {
        self.peer.send(&json!({ "eventName": event, "payload": payload })).await;
    }

    /// Emits to some.
    pub async fn emit_to(&mut self, event: &str, payload: Value, recipients: Value) {
        self.peer.send(&json!({ "eventName": event, "payload": payload, "recipients": recipients })).await;
    }

    /// Says what others shall know.
    pub async fn set_user_info(&mut self, info: Value) {
        self.emit("@@KOJI_DISPATCH/SET_USER_INFO", info).await;
    }

    /// Shows a token.
    pub async fn identify(&mut self, token: &str) {
        self.emit("@@KOJI_DISPATCH/IDENTIFY", json!({ "token": token })).await;
    }

    /// The next frame; every one has a latency.
    pub async fn next(&mut self) -> Value {
        let frame = self.peer.next().await;
        assert!(frame["latencyMs"].is_u64(), "every frame has a latency: {frame}");
        frame
    }

    /// The next event of a client or of the app: its name and payload. Lists before it are passed over.
    pub async fn next_event(&mut self) -> (String, Value) {
        loop {
            let mut frame = self.next().await;
            let name = frame["eventName"].as_str().expect("every frame has a name").to_owned();
            if !name.starts_with(PLATFORM) {
                return (name, frame["payload"].take());
            }
        }
    }

    /// The next list of clients. Events before it are passed over.
    pub async fn next_list(&mut self) -> Value {
        loop {
            let mut frame = self.next().await;
            if frame["eventName"] == "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED" {
                return frame["payload"]["connectedClients"].take();
            }
        }
    }

    /// Waits for the list that `is_it`; those before it are passed over.
    pub async fn list_where(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let list = self.next_list().await;
            if is_it(&list) {
                return list;
            }
        }
    }

    /// Waits for the list of so many.
    pub async fn list_of(&mut self, clients: usize) -> Value {
        self.list_where(|list| list.as_object().is_some_and(|list| list.len() == clients)).await
    }

    /// Shows that no event waits to be read: the next one is its own.
    pub async fn quiet(&mut self) {
        let id = self.id.clone();
        self.emit_to("nothing-before-this", json!([]), json!([id])).await;
        assert_eq!(self.next_event().await, ("nothing-before-this".into(), json!([])));
    }
}
