//! The messages that a client has missed, from the histories of its rooms.

use super::*;

/// An app that keeps the messages of rooms `chat-*`, at most 5.
pub(super) fn with_history(app: App) -> App {
    let limits = HistoryLimits { messages_max: 5, ..HistoryLimits::default() };
    app.on("/join", async |socket: Socket, Data(room): Data<String>| Reply(socket.join(&room).is_ok()))
        .with_room_history("chat-*", limits)
}

/// Drops the connection, and waits until the session is detached.
async fn cut(server: &TestServer, mut peer: Peer) {
    let id = peer.request("/describe", json!({})).await["id"].as_str().unwrap().parse().unwrap();
    let socket = server.app.socket(id).unwrap();
    drop(peer);
    until("the session is detached", async || socket.is_detached()).await;
}

/// Resumes and shows positions. Returns the data of the messages up to `@recovered`, and its rooms.
async fn recover(server: &TestServer, ticket: &str, positions: Value) -> (Peer, Value, Vec<Value>, Value) {
    let (mut peer, session) = connect_with(server, "/?sb=1", ticket).await;
    assert_eq!(session["resumed"], true);
    peer.send(&json!({ "event": "@resume", "data": positions })).await;
    let mut messages = Vec::new();
    loop {
        let frame = peer.next().await;
        if frame["event"] == "@recovered" {
            return (peer, session, messages, frame["data"]["rooms"].clone());
        }
        messages.push(frame["data"].clone());
    }
}

#[tokio::test]
async fn missed_messages_of_a_room_with_history_precede_live_ones_and_others_are_declared_lost() {
    let server = TestServer::start(with_history(app())).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    for room in ["chat-1", "chat-2", "plain"] {
        assert_eq!(peer.request("/join", json!(room)).await, true);
    }
    let to = |room: &str, n: u32| server.app.to(room).emit("n", &n).unwrap();
    to("#chat-1", 1);
    let position = peer.next().await["position"].clone();
    cut(&server, peer).await;
    for n in 2..5 {
        to("#chat-1", n);
    }
    let positions = json!({ "#chat-1": position });
    let (mut peer, session, messages, rooms) = recover(&server, ticket(&session), positions).await;
    assert_eq!(messages, [2, 3, 4].map(Value::from));
    assert_eq!(rooms["#chat-1"], json!({ "recovered": true, "count": 3 }));
    assert_eq!(rooms["#chat-2"], json!({ "recovered": true, "count": 0 }), "nothing was ever sent");
    assert_eq!(rooms["#plain"], json!({ "recovered": false }));
    to("#chat-1", 5);
    let live = peer.next().await;
    assert_eq!((&live["data"], &live["position"]["offset"]), (&json!(5), &json!(5)));

    // Once more, with nothing missed.
    cut(&server, peer).await;
    let (_peer, _, messages, rooms) =
        recover(&server, ticket(&session), json!({ "#chat-1": live["position"] })).await;
    assert_eq!((messages.len(), &rooms["#chat-1"]["count"]), (0, &json!(0)));
}

#[tokio::test]
async fn a_room_is_not_recovered_in_part_and_wrong_positions_recover_nothing() {
    let server = TestServer::start(with_history(app())).await;
    let (mut peer, mut session) = connect(&server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    server.app.to("#chat-1").emit("n", &1).unwrap();
    let position = peer.next().await["position"].clone();
    for n in 2..=7 {
        server.app.to("#chat-1").emit("n", &n).unwrap();
        peer.next().await;
    }
    let epoch = position["epoch"].clone();
    let top = json!({ "epoch": epoch, "offset": 7 });
    for wrong in [
        json!({ "#chat-1": position }), // message 2 is gone: 5 are kept
        json!({ "#chat-1": { "epoch": epoch, "offset": 8 } }),
        json!({ "#chat-1": { "epoch": epoch, "offset": u64::MAX } }),
        json!({ "#chat-1": { "epoch": epoch, "offset": -1 } }),
        json!({ "#chat-1": { "epoch": "0000000000000000", "offset": 7 } }),
        json!({ "#chat-1": { "epoch": "x", "offset": 7 } }),
        json!({ "#chat-1": 7 }),
        json!({ "#other": top }),
        json!({}),
        json!([1]),
        json!(null),
    ] {
        cut(&server, peer).await;
        let (next, resumed, messages, rooms) = recover(&server, ticket(&session), wrong.clone()).await;
        assert_eq!(messages, Vec::<Value>::new(), "{wrong}");
        assert_eq!(rooms["#chat-1"], json!({ "recovered": false, "at": top }), "{wrong}");
        (peer, session) = (next, resumed);
    }
    peer.send(&json!({ "event": "@resume", "data": {} })).await;
    peer.quiet().await;
}

#[tokio::test]
async fn a_client_that_has_received_nothing_since_its_join_recovers_from_the_position_of_the_join() {
    let server = TestServer::start(with_history(app())).await;
    server.app.to("#chat-1").emit("n", &1).unwrap();
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    for room in ["chat-1", "chat-2", "plain"] {
        assert_eq!(peer.request("/join", json!(room)).await, true);
    }
    let (first, second) = (peer.next_joined().await, peer.next_joined().await);
    assert_eq!((&first["event"], &first["data"]["room"]), (&json!("@joined"), &json!("#chat-1")));
    assert_eq!(first["data"]["position"]["offset"], 1);
    assert_eq!(
        (&second["data"]["room"], &second["data"]["position"]["offset"]),
        (&json!("#chat-2"), &json!(0))
    );
    let positions = json!({ "#chat-1": first["data"]["position"], "#chat-2": second["data"]["position"] });
    peer.quiet().await; // No position for a room without a history.
    cut(&server, peer).await;
    for n in 2..4 {
        server.app.to("#chat-1").emit("n", &n).unwrap();
    }
    let (mut peer, _, messages, rooms) = recover(&server, ticket(&session), positions).await;
    assert_eq!(messages, [2, 3].map(Value::from));
    assert_eq!(rooms["#chat-1"], json!({ "recovered": true, "count": 2 }));
    assert_eq!(rooms["#chat-2"], json!({ "recovered": true, "count": 0 }));
    // A second join is none.
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    peer.quiet().await;
}

#[tokio::test]
async fn a_message_that_excluded_the_client_is_not_recovered_and_leaves_no_hole() {
    let server = TestServer::start(with_history(app())).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    server.app.to("#chat-1").emit("n", &1).unwrap();
    let position = peer.next().await["position"].clone();
    let id = peer.request("/describe", json!({})).await["id"].as_str().unwrap().parse().unwrap();
    let socket = server.app.socket(id).unwrap();
    cut(&server, peer).await;
    socket.to("#chat-1").emit("n", &2).unwrap();
    server.app.to("#chat-1").emit("n", &3).unwrap();
    let (_peer, _, messages, rooms) =
        recover(&server, ticket(&session), json!({ "#chat-1": position })).await;
    assert_eq!((messages, &rooms["#chat-1"]["recovered"]), (vec![json!(3)], &json!(true)));
}

#[tokio::test]
async fn live_messages_wait_for_the_positions_and_follow_at_the_first_other_frame() {
    let server = TestServer::start(with_history(app())).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    assert_eq!(peer.request("/join", json!("chat-1")).await, true);
    server.app.to("#chat-1").emit("n", &1).unwrap();
    let position = peer.next().await["position"].clone();
    cut(&server, peer).await;
    server.app.to("#chat-1").emit("n", &2).unwrap();
    let (mut peer, session) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    server.app.to("#chat-1").emit("n", &3).unwrap();
    peer.silent().await.unwrap();
    peer.send(&json!({ "event": "@resume", "data": { "#chat-1": position } })).await;
    let mut received = Vec::new();
    while received.last() != Some(&json!("@recovered")) {
        let frame = peer.next().await;
        let data = if frame["event"] == "n" { &frame["data"] } else { &frame["event"] };
        received.push(data.clone());
    }
    assert_eq!(received, [json!(2), json!(3), json!("@recovered")]);
    assert_eq!(peer.next().await["position"]["offset"], 3, "the live copy has the same position");

    cut(&server, peer).await;
    let (mut peer, _) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    server.app.to("#chat-1").emit("n", &4).unwrap();
    peer.silent().await.unwrap();
    peer.emit("/without-a-handler", json!({})).await;
    assert_eq!(peer.next().await["data"], 4);
}

#[tokio::test]
async fn a_thousand_rooms_are_recovered_in_one_resume() {
    let limits = crate::support::limits(|limits| limits.memberships_max = 2000);
    let server = TestServer::start(with_history(app().with_limits(limits))).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    let mut positions = serde_json::Map::new();
    for n in 0..1000 {
        let room = format!("#chat-{n}");
        assert_eq!(peer.request("/join", json!(room)).await, true);
        server.app.to(&*room).emit("n", &n).unwrap();
        positions.insert(room, peer.next().await["position"].clone());
    }
    cut(&server, peer).await;
    for n in 0..1000 {
        server.app.to(&*format!("#chat-{n}")).emit("n", &(1000 + n)).unwrap();
    }
    let (_peer, _, messages, rooms) = recover(&server, ticket(&session), positions.into()).await;
    assert_eq!(messages.len(), 1000);
    let rooms = rooms.as_object().unwrap();
    assert!(rooms.len() == 1000 && rooms.values().all(|room| room["recovered"] == true));
}
