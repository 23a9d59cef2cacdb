//! Handlers, middleware, hooks and HTTP routes beside the Koji protocol.

use serde_json::{Value, json};
use switchboard::{App, Data, Koji, Next, ProjectId, Relay, Request, Response, Socket};
use switchboard_testkit::{Peer, TestServer, soon};

use crate::koji::{app, get, join, two};

#[tokio::test]
async fn http_routes_of_the_app_work_beside_the_koji_protocol() {
    let routes = axum::Router::new().route("/hello", axum::routing::get(async || "routes"));
    let server = TestServer::start(app().with_http(routes.clone())).await;
    assert_eq!(get(&server, "/hello").await.1, "routes");
    assert_eq!(get(&server, "/info/p").await.1, "[]");
    let without_koji = TestServer::start(App::new().with_http(routes)).await;
    assert!(get(&without_koji, "/info/p").await.0.starts_with("HTTP/1.1 404"));
    let mut emit = Peer::connect(&without_koji.url("/?projectId=p")).await;
    emit.quiet().await;
}

#[tokio::test]
async fn handlers_replace_the_relay_and_middleware_runs_before_it() {
    async fn relay_unless_spam(relay: Relay, Data(line): Data<Value>) {
        if line["body"] != "spam" {
            relay.send();
        }
    }
    async fn no_secrets(request: Request, next: Next) -> Response {
        if request.event() == "secret" { Response::none() } else { next.run(request).await }
    }
    let koji = Koji::new()
        .on("chat", relay_unless_spam)
        .on("whoami", async |socket: Socket| {
            let shard = socket.shard().map(ToString::to_string);
            let rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
            let _ = socket.emit("you", &json!([shard, rooms]));
        })
        .on("rename", async |socket: Socket| drop(socket.set_user_info(&json!({ "name": "by the app" }))))
        .middleware(no_secrets);
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let (mut ann, mut bob) = two(&server).await;
    for event in ["secret", "open"] {
        ann.emit(event, json!([1])).await;
    }
    assert_eq!(bob.next_event().await.0, "open");
    for body in ["spam", "ham"] {
        ann.emit("chat", json!({ "body": body })).await;
    }
    assert_eq!(bob.next_event().await.1["body"], "ham");
    bob.emit("whoami", json!({})).await;
    assert_eq!(bob.next_event().await, ("you".into(), json!(["s", ["#s"]])));
    bob.emit("rename", json!({})).await;
    let id = bob.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "by the app").await;
    let clients = server.app.project(&ProjectId::new("p").unwrap()).shard_clients("s").await.unwrap();
    assert_eq!(clients.len(), 2);
    assert_eq!(clients[1].user_info.to::<Value>().unwrap(), json!({ "name": "by the app" }));
}

#[tokio::test]
async fn koji_hooks_run_only_for_koji_sockets() {
    let (sender, mut calls) = tokio::sync::mpsc::channel(10);
    let record = move |hook: &'static str| {
        let sender = sender.clone();
        move |socket: Socket| {
            let sent = sender.try_send((hook, socket.shard().map(ToString::to_string)));
            async move { sent.unwrap() }
        }
    };
    let koji = Koji::new().on("@connection", record("connected")).on("@disconnect", record("disconnected"));
    let app = App::new().with_koji(koji).on("@connection", record("emit"));
    let server = TestServer::start(app).await;
    join(&server, "projectId=p&shardName=s").await.peer.close().await;
    for hook in ["connected", "disconnected"] {
        assert_eq!(soon("a hook is called", calls.recv()).await, Some((hook, Some("s".into()))));
    }
    server.peer().await;
    assert_eq!(soon("a hook is called", calls.recv()).await, Some(("emit", None)));
}

#[tokio::test]
async fn a_request_to_a_koji_client_fails_at_once() {
    let koji = Koji::new().on("request-me", async |socket: Socket| {
        let answer = socket.request::<Value>("question", &()).await;
        let _ = socket.emit("outcome", &answer.unwrap_err().to_string());
    });
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let mut ann = join(&server, "projectId=p").await;
    ann.emit("request-me", json!({})).await;
    assert_eq!(ann.next_event().await, ("outcome".into(), json!("a client of this protocol cannot reply")));
}
