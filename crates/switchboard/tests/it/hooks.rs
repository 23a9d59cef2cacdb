//! Hooks for authentication, redelivery, undeliverable messages and sends.

use std::future::{Ready, ready};
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::{App, Data, Identity, Koji, Mesa, Reply, Request, Socket, Target, UserId};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon};
use tokio::sync::mpsc;

/// Accepts every token as the id of its user.
async fn verify(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    Ok(Identity::new(user))
}

/// The calls of hooks, in order.
struct HookCalls(mpsc::Receiver<(String, Value)>);

impl HookCalls {
    fn new() -> (Self, impl Fn(Request, Data<Value>) -> Ready<()> + Clone + Send + Sync + 'static) {
        let (sender, receiver) = mpsc::channel(100);
        let hook = move |request: Request, Data(data): Data<Value>| {
            sender.try_send((request.event().to_owned(), data)).unwrap();
            ready(())
        };
        (HookCalls(receiver), hook)
    }

    async fn next(&mut self) -> (String, Value) {
        soon("a hook call", self.0.recv()).await.unwrap()
    }

    async fn expect(&mut self, event: &str, data: Value) {
        assert_eq!(self.next().await, (event.to_owned(), data));
    }

    fn assert_no_more(&mut self) {
        assert!(self.0.try_recv().is_err());
    }
}

fn with_inbox(app: App) -> App {
    app.with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default()))).with_verifier(verify)
}

async fn log_in(server: &TestServer, user: &str) -> Peer {
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer.send(&json!({ "op": 2, "d": { "token": user } })).await;
    assert_eq!(peer.next().await["op"], 22);
    peer
}

async fn dispatch(server: &TestServer, user: &str, n: u32) {
    server.app.to(Target::user(user).unwrap()).dispatch("N", &n).await.unwrap();
}

#[tokio::test]
async fn the_authenticated_hook_runs_on_every_protocol_for_accepted_tokens_only() {
    let (mut calls, hook) = HookCalls::new();
    let app = App::new()
        .with_mesa(Mesa::new().on("@authenticated", hook.clone()))
        .with_koji(Koji::new().on("@authenticated", hook.clone()))
        .on("@authenticated", hook)
        .on("/token", async |socket: Socket, Data(token): Data<String>| {
            Reply(socket.identify(&token).await.is_ok())
        })
        .with_verifier(verify);
    let server = TestServer::start(app).await;
    let _mesa = log_in(&server, "7").await;
    calls.expect("@authenticated", json!({ "user": "7" })).await;
    let _koji = KojiPeer::join(&server, "projectId=default&authorization=8").await;
    calls.expect("@authenticated", json!({ "user": "8" })).await;
    let mut emit = server.peer().await;
    assert_eq!(emit.request("/token", json!(" ".repeat(300))).await, false);
    assert_eq!(emit.request("/token", json!("9")).await, true);
    calls.expect("@authenticated", json!({ "user": "9" })).await;
    calls.assert_no_more();
}

#[tokio::test]
async fn events_of_the_authenticated_hook_follow_the_login_reply_and_the_redelivered_messages() {
    let greet = async |socket: Socket| socket.emit("WELCOME", &socket.user()).unwrap();
    let server =
        TestServer::start(with_inbox(App::new().with_mesa(Mesa::new().on("@authenticated", greet)))).await;
    dispatch(&server, "7", 1).await;
    let mut peer = log_in(&server, "7").await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
    assert_eq!(peer.next().await, json!({ "op": 0, "d": "7", "t": "WELCOME" }));
}

#[tokio::test]
async fn the_redelivered_hook_runs_only_for_users_with_stored_messages() {
    let (mut calls, hook) = HookCalls::new();
    let app = App::new()
        .on("@redelivered", hook.clone())
        .on("/login", async |socket: Socket| Reply(socket.login("8").unwrap()))
        .with_mesa(Mesa::new().on("@redelivered", hook));
    let server = TestServer::start(with_inbox(app)).await;
    for (user, n) in [("7", 1), ("7", 2), ("8", 3)] {
        dispatch(&server, user, n).await;
    }
    let _without_messages = log_in(&server, "6").await;
    let _with_two_messages = log_in(&server, "7").await;
    calls.expect("@redelivered", json!({ "user": "7", "count": 2 })).await;
    let mut emit_peer = server.peer().await;
    emit_peer.emit("/login", json!({})).await;
    calls.expect("@redelivered", json!({ "user": "8", "count": 1 })).await;
    calls.assert_no_more();
}

#[tokio::test]
async fn the_undeliverable_hook_runs_for_each_recipient_without_a_socket_on_any_node() {
    let (mut calls, hook) = HookCalls::new();
    // The admin has no socket either, and this must not call the hook again.
    let store_for_admin = async |app: App, Data(lost): Data<Value>| {
        app.to(Target::user("admin").unwrap()).dispatch("LOST", &lost).await.unwrap();
    };
    let app =
        App::new().with_mesa(Mesa::new()).on("@undeliverable", store_for_admin).on("@undeliverable", hook);
    let server = TestServer::start(with_inbox(app)).await;
    let _online = log_in(&server, "7").await;
    let users = ["7", "8", "9"].map(|user| Target::user(user).unwrap());
    server.app.to(users).except(Target::user("9").unwrap()).dispatch("N", &json!({ "n": 1 })).await.unwrap();
    calls.expect("@undeliverable", json!({ "user": "8", "event": "N", "data": { "n": 1 } })).await;
    dispatch(&server, "10", 2).await;
    calls.expect("@undeliverable", json!({ "user": "10", "event": "N", "data": 2 })).await;
    calls.assert_no_more();
}

#[tokio::test]
async fn the_sent_hook_runs_once_on_the_sending_node() {
    let (mut calls, hook) = HookCalls::new();
    let [bus, other_bus]: [LocalBus; 2] =
        LocalBus::connected(2).try_into().unwrap_or_else(|_| panic!("two buses"));
    let app = || {
        App::new().with_mesa(Mesa::new()).on("/hi", async |socket: Socket| {
            socket.join("#r").unwrap();
            socket.emit("hi", &1).unwrap();
            socket.to("#r").and("*t").emit("joined", &json!({})).unwrap();
        })
    };
    let server = TestServer::start(with_inbox(app().on("@sent", hook.clone()).with_bus(Arc::new(bus)))).await;
    let other_server = TestServer::start(app().on("@sent", hook).with_bus(Arc::new(other_bus))).await;
    let (mut near, mut far) = (server.peer().await, other_server.peer().await);
    near.emit("/hi", json!({})).await;
    near.next_event().await;
    let id = format!("socket {}", server.app.all_socket_ids().await.unwrap()[0]);
    let sent = |event: &str, data: Value, to: Value, except: Value, stored: bool| json!({ "event": event, "data": data, "to": to, "except": except, "stored": stored });
    calls.expect("@sent", sent("hi", json!(1), json!([id]), json!([]), false)).await;
    calls.expect("@sent", sent("joined", json!({}), json!(["#r", "*t"]), json!([id]), false)).await;
    server.app.broadcast("all", &2).unwrap();
    assert_eq!(far.next_event().await.0, "all");
    calls.expect("@sent", sent("all", json!(2), json!(["everyone"]), json!([]), false)).await;
    dispatch(&server, "7", 3).await;
    calls.expect("@sent", sent("N", json!(3), json!(["user 7"]), json!([]), true)).await;
    // A failed send does not call the hook.
    server.app.to("").emit("typo", &4).unwrap_err();
    calls.assert_no_more();
}

#[tokio::test]
async fn sends_of_the_sent_hook_do_not_call_the_hook_again() {
    let (mut calls, hook) = HookCalls::new();
    let app = App::new()
        .on("@sent", async |app: App, Data(sent): Data<Value>| {
            app.broadcast("at once", &sent["event"]).unwrap();
            tokio::task::yield_now().await;
            app.broadcast("later", &sent["event"]).unwrap();
        })
        .on("@sent", hook);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.quiet().await;
    server.app.broadcast("news", &json!({})).unwrap();
    for event in ["news", "at once", "later"] {
        assert_eq!(peer.next_event().await.0, event);
    }
    peer.quiet().await;
    assert_eq!(calls.next().await.1["event"], "news");
    calls.assert_no_more();
}
