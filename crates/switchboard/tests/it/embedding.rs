//! An app embedded in an axum router, and connections over streams other than TCP.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use switchboard::{App, ConnectionInfo, Reply};
use switchboard_testkit::{Peer, RawPeer, soon};
use tokio::net::TcpListener;
use tokio_websockets::{ClientBuilder, Message};

use crate::app;

#[expect(clippy::disallowed_methods, reason = "a task of the test")]
async fn serve_router(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

async fn get_body(address: SocketAddr, path: &str) -> String {
    let mut peer = RawPeer::connect(address).await;
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
    String::from_utf8(peer.read_to_end().await).unwrap()
}

#[tokio::test]
async fn an_app_is_served_as_a_route_of_an_axum_router() {
    let live = app().on("/ip", async |info: ConnectionInfo| Reply(info.ip()));
    let clone = live.clone();
    let router =
        Router::new().route("/hello", get(async || "hello")).route_service("/ws", live.into_service());
    let address = serve_router(router).await;
    let mut peer = Peer::connect(&format!("ws://{address}/ws")).await;
    assert_eq!(peer.request("/ip", json!({})).await, "127.0.0.1");
    assert_eq!(clone.broadcast("news", &1).unwrap(), 1, "a clone sends to the same sockets");
    assert_eq!(peer.next_event().await, ("news".into(), json!(1)));
    assert!(get_body(address, "/hello").await.ends_with("hello"));
    assert!(get_body(address, "/ws").await.starts_with("HTTP/1.1 426"));
    clone.close().await;
    assert_eq!(peer.closed().await.0, 1012);
}

#[tokio::test]
async fn an_app_with_http_routes_becomes_a_complete_router() {
    let pages = Router::new().route("/page", get(async || "a page"));
    let address = serve_router(app().with_http(pages).into_router()).await;
    assert!(get_body(address, "/page").await.ends_with("a page"));
    assert!(get_body(address, "/other").await.starts_with("HTTP/1.1 404"));
    Peer::connect(&format!("ws://{address}/any/path?x=1")).await.quiet().await;
}

#[tokio::test]
async fn a_connection_runs_over_any_byte_stream() {
    let app: App = app();
    let (near, far) = tokio::io::duplex(100);
    app.connect_stream(far);
    let mut client = ClientBuilder::new().take_over(near);
    let text = "x".repeat(10_000);
    let request = json!({ "event": "/echo", "data": text, "ackId": 1 }).to_string();
    soon("the request is written", client.send(Message::text(request))).await.unwrap();
    let reply = soon("the reply", client.next()).await.unwrap().unwrap();
    assert!(reply.as_text().unwrap().contains(&text));
}
