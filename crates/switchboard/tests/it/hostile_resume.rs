//! Tickets and positions of hostile clients: each costs its sender a new session or its rooms, and nobody else anything.

use serde_json::{Map, Value, json};
use switchboard::{App, Data, HistoryLimits, Reply, Socket};
use switchboard_testkit::{Peer, TestServer};

use crate::resume::{app, connect, connect_with, ticket};

fn with_history(app: App) -> App {
    app.on("/join", async |socket: Socket, Data(room): Data<String>| Reply(socket.join(&room).is_ok()))
        .with_room_history("chat-*", HistoryLimits::default())
}

/// A member of a room that none of the hostile clients is in.
async fn bystander(server: &TestServer) -> Peer {
    let (mut peer, _) = connect(server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-bystander")).await, true);
    peer
}

async fn assert_unharmed(server: &TestServer, bystander: &mut Peer) {
    server.app.to("#chat-bystander").emit("news", &1).expect("the names are valid");
    assert_eq!(bystander.next_event().await, ("news".into(), json!(1)));
    bystander.quiet().await;
}

#[tokio::test]
async fn a_ticket_of_any_form_and_size_gives_a_new_session_or_no_connection() {
    let server = TestServer::start(with_history(app())).await;
    let mut bystander = bystander(&server).await;
    let (_victim, session) = connect(&server, "/?sb=1").await;
    let valid = ticket(&session);
    let (cut, doubled, lower) = (&valid[..valid.len() - 1], format!("{valid}{valid}"), valid.to_lowercase());
    let sizes = [1, 100, 4096, 60_000].map(|len| "A".repeat(len));
    let forms = [".", "..", "-", "_", "%00", "a/b", cut, &*doubled, &*lower];
    for wrong in forms.into_iter().chain(sizes.iter().map(String::as_str)) {
        if wrong == valid {
            continue;
        }
        let protocols = format!("switchboard, ticket.{wrong}");
        // A header that is too large, or of a form that HTTP does not know, is refused before anything is read.
        let headers = [("sec-websocket-protocol", protocols.as_str())];
        if let Ok(mut peer) = Peer::try_connect(&server.url("/?sb=1"), &headers).await {
            let (event, data) = peer.next_event().await;
            assert_eq!((&*event, &data["resumed"]), ("@session", &json!(false)), "{wrong:.40}");
        }
    }
    assert_unharmed(&server, &mut bystander).await;
    assert_eq!(connect_with(&server, "/?sb=1", valid).await.1["resumed"], true, "the session is untouched");
}

#[tokio::test]
async fn positions_of_ten_thousand_rooms_recover_those_that_the_client_is_in() {
    let server = TestServer::start(with_history(app())).await;
    let mut bystander = bystander(&server).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    server.app.to("#chat-1").emit("n", &1).expect("the names are valid");
    let position = peer.next().await["position"].clone();
    drop(peer);
    let mut positions = Map::new();
    for n in 1..10_000 {
        positions.insert(format!("#chat-{n}"), position.clone());
    }
    positions.insert("#chat-bystander".into(), json!({ "epoch": position["epoch"], "offset": 0 }));
    let (mut peer, _) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    peer.send(&json!({ "event": "@resume", "data": positions })).await;
    let (event, data) = peer.next_event().await;
    let rooms: Value = json!({ "#chat-1": { "recovered": true, "count": 0 } });
    assert_eq!((&*event, &data["rooms"]), ("@recovered", &rooms), "no message of a room that it is not in");
    peer.quiet().await;
    assert_unharmed(&server, &mut bystander).await;
}

#[tokio::test]
async fn a_client_that_shows_positions_in_a_loop_recovers_once() {
    let server = TestServer::start(with_history(app())).await;
    let mut bystander = bystander(&server).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    let position = peer.next_joined().await["data"]["position"].clone();
    drop(peer);
    for n in 0..5 {
        server.app.to("#chat-1").emit("n", &n).expect("the names are valid");
    }
    let (mut peer, _) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    for _ in 0..200 {
        peer.send(&json!({ "event": "@resume", "data": { "#chat-1": position } })).await;
    }
    for n in 0..5 {
        assert_eq!(peer.next().await["data"], n);
    }
    let (event, data) = peer.next_event().await;
    assert_eq!((&*event, &data["rooms"]["#chat-1"]["count"]), ("@recovered", &json!(5)));
    peer.quiet().await;
    assert_unharmed(&server, &mut bystander).await;
}
