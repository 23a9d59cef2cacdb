//! Nodes, and clients of every protocol.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, Identity, Koji, Mesa, Reply, ReplyError, Socket, UserId};
use switchboard_backplane::InboxLimits;
use switchboard_dispatcher::{Dispatcher, DispatcherOptions, Message};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, TestServer};

/// A running node. It ends when it is dropped.
pub(crate) struct Node {
    pub(crate) server: TestServer,
    _redis: Redis,
}

/// Accepts any token as the user id.
async fn verify(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    Ok(Identity::new(user))
}

async fn log_in(socket: Socket, Data(user): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.login(&user)?))
}

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join(&room)?))
}

impl Node {
    pub(crate) async fn start(server: &RedisServer) -> Self {
        Node::with_limits(server, InboxLimits::default()).await
    }

    pub(crate) async fn with_limits(server: &RedisServer, limits: InboxLimits) -> Self {
        let options =
            Options { lease: Duration::from_millis(900), inbox: Some(limits), ..Options::new(&server.url()) };
        let redis = Redis::connect(options).await.expect("Redis answers");
        let app = App::new().with_backplane(&redis).with_koji(Koji::new()).with_mesa(Mesa::new());
        let app = app.with_verifier(verify).on("/login", log_in).on("/join", join);
        Node { server: TestServer::start(app).await, _redis: redis }
    }

    /// Waits until the node's subscriptions are in place.
    pub(crate) async fn settled(&self) {
        self.server.app.settled().await;
    }

    pub(crate) async fn emit(&self, user: &str) -> Peer {
        let mut peer = self.server.peer().await;
        peer.request("/login", json!(user)).await;
        peer
    }

    pub(crate) async fn mesa(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&json!({ "op": 2, "d": { "token": user } })).await;
        assert_eq!(peer.next().await, json!({ "op": 22, "d": { "id": user } }));
        peer
    }

    pub(crate) async fn koji(&self, user: &str) -> KojiPeer {
        let mut peer = KojiPeer::join(&self.server, "projectId=default").await;
        peer.identify(user).await;
        peer
    }
}

pub(crate) async fn two_nodes() -> (RedisServer, Node, Node) {
    two_nodes_with_limits(InboxLimits::default()).await
}

pub(crate) async fn two_nodes_with_limits(limits: InboxLimits) -> (RedisServer, Node, Node) {
    let redis = RedisServer::start().await;
    let (one, two) = (Node::with_limits(&redis, limits).await, Node::with_limits(&redis, limits).await);
    (redis, one, two)
}

pub(crate) async fn dispatcher(server: &RedisServer) -> Dispatcher {
    Dispatcher::connect(&server.url()).await.expect("Redis answers")
}

pub(crate) async fn with_sync(server: &RedisServer) -> Dispatcher {
    let options = DispatcherOptions { sync: true, ..DispatcherOptions::new(&server.url()) };
    Dispatcher::with_options(options).await.expect("Redis answers")
}

pub(crate) fn message(n: usize) -> Message {
    Message::new(0, &json!({ "n": n }), "CHAT").expect("a short type")
}

/// The frame that a Mesa client receives for [`message`].
pub(crate) fn frame(n: usize) -> Value {
    json!({ "op": 0, "d": { "n": n }, "t": "CHAT" })
}
