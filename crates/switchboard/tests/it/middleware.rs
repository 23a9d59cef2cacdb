//! Middleware: order, early replies, and namespaces.

use serde_json::{Value, json};
use switchboard::{App, IntoResponse, Middleware, Next, NoReply, Reply, Request, Response, Router};
use switchboard_testkit::TestServer;

use crate::echo;

/// Appends a name to the list on the socket of the request, to record the order of calls.
fn note(request: &Request, name: &str) {
    let mut notes: Vec<String> = request.get("notes").unwrap_or_default();
    notes.push(name.into());
    request.set("notes", notes);
}

async fn outer(request: Request, next: Next) -> Response {
    note(&request, "outer");
    next.run(request).await
}

async fn inner(request: Request, next: Next) -> Response {
    note(&request, "inner");
    next.run(request).await
}

async fn route(request: Request, next: Next) -> Response {
    note(&request, "route");
    next.run(request).await
}

async fn second_route(request: Request, next: Next) -> Response {
    note(&request, "second");
    next.run(request).await
}

async fn notes(request: Request) -> Reply<Vec<String>> {
    Reply(request.get("notes").unwrap_or_default())
}

async fn forbid(request: Request, next: Next) -> Response {
    if request.event().ends_with("/open") {
        return next.run(request).await;
    }
    Reply(json!({ "error": "Unauthorized" })).into_response()
}

#[tokio::test]
async fn the_order_is_global_then_any_then_route_then_handler() {
    let app = App::new()
        .on("/notes", route.and(second_route).then(notes))
        .middleware(outer)
        .middleware(inner)
        .on("@any", async |request: Request| note(&request, "any"));
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    let order = json!(["outer", "inner", "any", "route", "second"]);
    assert_eq!(peer.request("/notes", json!({})).await, order);
}

#[tokio::test]
async fn a_middleware_that_does_not_call_next_ends_the_request() {
    let silent = async |_: Request, _: Next| NoReply;
    let brief = async |_: Request, _: Next| {};
    let app = App::new()
        .on("/guarded", forbid.then(echo))
        .on("/open", forbid.then(echo))
        .on("/silent", silent.then(echo))
        .on("/brief", brief.then(echo));
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/guarded", json!(1)).await, json!({ "error": "Unauthorized" }));
    assert_eq!(peer.request("/open", json!(1)).await, 1);
    assert_eq!(peer.request("/brief", json!(1)).await, Value::Null);
    peer.send(&json!({ "event": "/silent", "ackId": 1 })).await;
    peer.quiet().await;
}

#[tokio::test]
async fn middleware_of_a_router_applies_only_to_its_handlers() {
    let lobby = Router::new().on("/join", notes).middleware(inner);
    let game = Router::new().on("/move", notes).nest("/lobby", lobby).middleware(outer);
    let app = App::new().nest("/game", game).on("/notes", notes).ns("/chat", |chat| chat.on("/send", echo));
    let server = TestServer::start(app).await;
    for (event, expected) in [
        ("/game/lobby/join", json!(["outer", "inner"])),
        ("/game/move", json!(["outer"])),
        ("/notes", json!([])),
        ("/chat/send", json!({})),
        ("/join", json!({ "error": "No handler for: /join" })),
    ] {
        let mut peer = server.peer().await;
        assert_eq!(peer.request(event, json!({})).await, expected, "{event}");
    }
}
