//! Hooks of who users are, and of what is sent to them.

use std::future::{Ready, ready};
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::{
    App, Data, Identity, InboxLimits, Koji, LocalBus, Mesa, Reply, Request, Socket, Target, UserId,
};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon};
use tokio::sync::mpsc;

/// Takes every token for its user.
async fn verify(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    Ok(Identity { user, expires: None, profile: None })
}

/// What hooks were told, in order.
struct Told(mpsc::Receiver<(String, Value)>);

impl Told {
    fn new() -> (Self, impl Fn(Request, Data<Value>) -> Ready<()> + Clone + Send + Sync + 'static) {
        let (sender, receiver) = mpsc::channel(100);
        let hook = move |request: Request, Data(data): Data<Value>| {
            sender.try_send((request.event().to_owned(), data)).unwrap();
            ready(())
        };
        (Told(receiver), hook)
    }

    async fn next(&mut self) -> (String, Value) {
        soon("a hook is called", self.0.recv()).await.unwrap()
    }

    async fn expect(&mut self, event: &str, data: Value) {
        assert_eq!(self.next().await, (event.to_owned(), data));
    }

    fn nothing_more(&mut self) {
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

async fn keep(server: &TestServer, user: &str, n: u32) {
    server.app.to(Target::user(user).unwrap()).dispatch("N", &n).await.unwrap();
}

#[tokio::test]
async fn an_accepted_token_is_told_of_at_every_door_and_a_refused_one_is_not() {
    let (mut told, hook) = Told::new();
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
    told.expect("@authenticated", json!({ "user": "7" })).await;
    let _koji = KojiPeer::join(&server, "projectId=default&authorization=8").await;
    told.expect("@authenticated", json!({ "user": "8" })).await;
    let mut emit = server.peer().await;
    assert_eq!(emit.request("/token", json!(" ".repeat(300))).await, false);
    assert_eq!(emit.request("/token", json!("9")).await, true);
    told.expect("@authenticated", json!({ "user": "9" })).await;
    told.nothing_more();
}

#[tokio::test]
async fn what_an_authenticated_hook_says_comes_behind_the_answer_and_what_was_missed() {
    let greet = async |socket: Socket| socket.emit("WELCOME", &socket.user()).unwrap();
    let server =
        TestServer::start(with_inbox(App::new().with_mesa(Mesa::new().on("@authenticated", greet)))).await;
    keep(&server, "7", 1).await;
    let mut peer = log_in(&server, "7").await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
    assert_eq!(peer.next().await, json!({ "op": 0, "d": "7", "t": "WELCOME" }));
}

#[tokio::test]
async fn who_is_told_what_was_missed_is_told_of_and_others_are_not() {
    let (mut told, hook) = Told::new();
    let app = App::new()
        .on("@redelivered", hook.clone())
        .on("/login", async |socket: Socket| Reply(socket.login("8").unwrap()))
        .with_mesa(Mesa::new().on("@redelivered", hook));
    let server = TestServer::start(with_inbox(app)).await;
    for (user, n) in [("7", 1), ("7", 2), ("8", 3)] {
        keep(&server, user, n).await;
    }
    let _nothing = log_in(&server, "6").await;
    let _two = log_in(&server, "7").await;
    told.expect("@redelivered", json!({ "user": "7", "count": 2 })).await;
    let mut eight = server.peer().await;
    eight.emit("/login", json!({})).await;
    told.expect("@redelivered", json!({ "user": "8", "count": 1 })).await;
    told.nothing_more();
}

#[tokio::test]
async fn a_kept_message_is_undeliverable_for_users_without_a_socket_on_any_node() {
    let (mut told, hook) = Told::new();
    // Nobody is here for that either, and no hook is called again.
    let keep_it = async |app: App, Data(lost): Data<Value>| {
        app.to(Target::user("admin").unwrap()).dispatch("LOST", &lost).await.unwrap();
    };
    let app = App::new().with_mesa(Mesa::new()).on("@undeliverable", keep_it).on("@undeliverable", hook);
    let server = TestServer::start(with_inbox(app)).await;
    let _online = log_in(&server, "7").await;
    let users = ["7", "8", "9"].map(|user| Target::user(user).unwrap());
    server.app.to(users).except(Target::user("9").unwrap()).dispatch("N", &json!({ "n": 1 })).await.unwrap();
    told.expect("@undeliverable", json!({ "user": "8", "event": "N", "data": { "n": 1 } })).await;
    keep(&server, "10", 2).await;
    told.expect("@undeliverable", json!({ "user": "10", "event": "N", "data": 2 })).await;
    told.nothing_more();
}

#[tokio::test]
async fn every_send_is_told_of_once_on_the_node_that_sends() {
    let (mut told, hook) = Told::new();
    let [bus, other]: [LocalBus; 2] = LocalBus::connected(2).try_into().unwrap_or_else(|_| panic!("two"));
    let app = || {
        App::new().with_mesa(Mesa::new()).on("/hi", async |socket: Socket| {
            socket.join("#r").unwrap();
            socket.emit("hi", &1).unwrap();
            socket.to("#r").and("*t").emit("came", &json!({})).unwrap();
        })
    };
    let server = TestServer::start(with_inbox(app().on("@sent", hook.clone()).with_bus(Arc::new(bus)))).await;
    let elsewhere = TestServer::start(app().on("@sent", hook).with_bus(Arc::new(other))).await;
    let (mut one, mut far) = (server.peer().await, elsewhere.peer().await);
    one.emit("/hi", json!({})).await;
    one.next_event().await;
    let id = format!("socket {}", server.app.all_socket_ids().await.unwrap()[0]);
    let sent = |event: &str, data: Value, to: Value, except: Value, kept: bool| json!({ "event": event, "data": data, "to": to, "except": except, "kept": kept });
    told.expect("@sent", sent("hi", json!(1), json!([id]), json!([]), false)).await;
    told.expect("@sent", sent("came", json!({}), json!(["#r", "*t"]), json!([id]), false)).await;
    server.app.broadcast("all", &2).unwrap();
    assert_eq!(far.next_event().await.0, "all");
    told.expect("@sent", sent("all", json!(2), json!(["everyone"]), json!([]), false)).await;
    keep(&server, "7", 3).await;
    told.expect("@sent", sent("N", json!(3), json!(["user 7"]), json!([]), true)).await;
    // What did not leave is not told of.
    server.app.to("lobby").emit("typo", &4).unwrap_err();
    told.nothing_more();
}

#[tokio::test]
async fn a_sent_hook_that_sends_does_not_call_itself() {
    let (mut told, hook) = Told::new();
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
    assert_eq!(told.next().await.1["event"], "news");
    told.nothing_more();
}
