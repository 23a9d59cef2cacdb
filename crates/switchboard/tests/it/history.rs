//! The history of rooms: the messages that are kept, positions, and reading by clients.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::backplane::{LocalBus, MemoryHistory, MemoryHistoryLimits};
use switchboard::{App, HistoryLimits, HistoryRange, Position, Target};
use switchboard_testkit::{KojiPeer, Peer, TestServer};

use crate::app;
use crate::support::{limits, verify};

fn with_history(app: App) -> App {
    app.with_room_history("chat-*", HistoryLimits { messages_max: 3, ..HistoryLimits::default() })
}

async fn start() -> TestServer {
    TestServer::start(with_history(app())).await
}

/// A client that receives positions, in a room.
async fn member(server: &TestServer, room: &str) -> Peer {
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    assert_eq!(peer.request("/join", json!(room)).await, true);
    peer
}

async fn history(peer: &mut Peer, request: Value) -> Value {
    peer.request("@history", request).await
}

fn offsets(reply: &Value) -> Vec<u64> {
    let messages = reply["messages"].as_array().unwrap_or_else(|| panic!("{reply}"));
    messages.iter().map(|message| message["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn messages_of_a_room_with_history_have_positions_without_holes() {
    let server = start().await;
    let mut peer = member(&server, "chat-1").await;
    let mut epochs = Vec::new();
    for n in 1..=5 {
        server.app.to("#chat-1").emit("message", &n).unwrap();
        let frame = peer.next().await;
        assert_eq!(
            (&frame["event"], &frame["data"], &frame["room"]),
            (&json!("message"), &json!(n), &json!("#chat-1"))
        );
        assert_eq!(frame["position"]["offset"], n);
        epochs.push(frame["position"]["epoch"].as_str().unwrap().to_owned());
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
    assert_eq!(epochs[0].len(), 16);
}

#[tokio::test]
async fn a_client_that_does_not_ask_for_extensions_receives_the_same_frames_as_without_history() {
    let server = start().await;
    let mut extended = member(&server, "chat-1").await;
    let mut original = server.peer().await;
    assert_eq!(original.request("/join", json!("chat-1")).await, true);
    server.app.to("#chat-1").emit("message", &1).unwrap();
    assert_eq!(original.next_text().await, r#"{"event":"message","data":1}"#);
    assert!(extended.next_text().await.contains("\"position\""));
}

#[tokio::test]
async fn only_live_messages_to_exactly_one_room_with_history_are_kept() {
    let server = start().await;
    let mut peer = member(&server, "chat-1").await;
    assert_eq!(peer.request("/join", json!("lobby")).await, true);
    let app = &server.app;
    app.to("#lobby").emit("e", &"no rule").unwrap();
    app.to("#chat-1").volatile().emit("e", &"volatile").unwrap();
    app.to("#chat-1").local().emit("e", &"this node only").unwrap();
    app.to(["#chat-1", "#lobby"]).emit("e", &"two rooms").unwrap();
    app.broadcast("e", &"everyone").unwrap();
    for _ in 0..5 {
        let frame = peer.next().await;
        assert_eq!(frame.get("position"), None, "{frame}");
    }
    app.to("#chat-1").except(Target::user("7").unwrap()).emit("e", &"kept").unwrap();
    assert_eq!(peer.next().await["position"]["offset"], 1);
    let page = app.room_history("chat-1", HistoryRange::Latest, 10).await.unwrap();
    assert_eq!((page.top, page.messages.len()), (1, 1));
    assert!(app.room_history("lobby", HistoryRange::Latest, 10).await.is_err());
}

#[tokio::test]
async fn a_client_reads_the_history_forwards_and_backwards_and_is_told_of_a_gap() {
    let server = start().await;
    let mut peer = server.peer().await;
    let empty = history(&mut peer, json!({ "room": "chat-1" })).await;
    assert_eq!((&empty["top"], &empty["first"], &empty["gap"]), (&json!(0), &json!(1), &json!(false)));
    for n in 1..=5 {
        server.app.to("#chat-1").emit("message", &n).unwrap();
    }
    let all = history(&mut peer, json!({ "room": "#chat-1" })).await;
    assert_eq!(all["epoch"], empty["epoch"]);
    assert_eq!(offsets(&all), [3, 4, 5]);
    assert_eq!(all["messages"][0]["data"], 3);
    assert_eq!(all["messages"][0]["event"], "message");
    assert_eq!(offsets(&history(&mut peer, json!({ "room": "chat-1", "limit": 1 })).await), [5]);

    let at = |offset: u64| json!({ "epoch": all["epoch"], "offset": offset });
    let before = history(&mut peer, json!({ "room": "chat-1", "before": at(5), "limit": 1 })).await;
    assert_eq!((offsets(&before), &before["gap"]), (vec![4], &json!(false)));
    let after = history(&mut peer, json!({ "room": "chat-1", "after": at(3) })).await;
    assert_eq!((offsets(&after), &after["gap"]), (vec![4, 5], &json!(false)));
    let gap = history(&mut peer, json!({ "room": "chat-1", "after": at(1) })).await;
    assert_eq!((offsets(&gap), &gap["gap"]), (vec![3, 4, 5], &json!(true)), "2 is gone");
    let future = history(&mut peer, json!({ "room": "chat-1", "after": at(u64::MAX) })).await;
    assert_eq!((offsets(&future), &future["gap"]), (vec![], &json!(true)));

    server.app.clear_room_history("chat-1").await.unwrap();
    let foreign = history(&mut peer, json!({ "room": "chat-1", "after": at(5) })).await;
    assert_eq!((offsets(&foreign), &foreign["gap"]), (vec![], &json!(true)));
}

#[tokio::test]
async fn a_wrong_request_of_history_is_refused_and_the_connection_stays() {
    let server = start().await;
    let mut peer = server.peer().await;
    for (request, code) in [
        (json!({}), "bad_data"),
        (json!("chat-1"), "bad_data"),
        (json!({ "room": "" }), "bad_data"),
        (json!({ "room": "x".repeat(300) }), "bad_data"),
        (json!({ "room": "chat-1", "after": 7 }), "bad_data"),
        (json!({ "room": "chat-1", "after": { "epoch": "7", "offset": 1 } }), "bad_data"),
        (json!({ "room": "chat-1", "limit": -1 }), "bad_data"),
        (json!({ "room": "lobby" }), "no_history"),
    ] {
        let reply = history(&mut peer, request.clone()).await;
        assert_eq!(reply["code"], code, "{request}: {reply}");
    }
    peer.emit("@history", json!({ "room": "chat-1" })).await;
    peer.quiet().await;
    let without = TestServer::start(app()).await;
    let reply = history(&mut without.peer().await, json!({ "room": "chat-1" })).await;
    assert_eq!(reply["code"], "no_history");
}

#[tokio::test]
async fn a_client_without_the_right_cannot_read_the_history() {
    let app = with_history(app().with_verifier(verify)).with_access_rule(
        |request: &switchboard::access::AccessRequest<'_>| {
            request.right() != switchboard::access::Right::History
                || request.resource() == switchboard::access::Resource::Room("chat-open")
        },
    );
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(history(&mut peer, json!({ "room": "chat-1" })).await["code"], "forbidden");
    assert_eq!(history(&mut peer, json!({ "room": "chat-open" })).await["top"], 0);
}

#[tokio::test]
async fn a_client_does_not_read_what_excluded_it_but_reads_its_own() {
    let server = start().await;
    let (mut ann, mut bob) = (member(&server, "chat-1").await, member(&server, "chat-1").await);
    assert_eq!(ann.request("/send", json!(["chat-1", "of ann"])).await, 1);
    assert_eq!(bob.next_event().await.1, "of ann");
    let id =
        server.app.room_history("chat-1", HistoryRange::Latest, 1).await.unwrap().messages[0].event.sender;
    server.app.to("#chat-1").except(id.unwrap()).emit("message", &"not for ann").unwrap();
    assert_eq!(bob.next_event().await.1, "not for ann");
    let request = json!({ "room": "chat-1" });
    assert_eq!(offsets(&history(&mut ann, request.clone()).await), [1]);
    let of_bob = history(&mut bob, request).await;
    assert_eq!(offsets(&of_bob), [1, 2]);
    assert_eq!(of_bob["messages"][0]["sender"], json!(id));
}

#[tokio::test]
async fn events_with_reserved_names_are_not_in_the_history_of_a_client() {
    let server = start().await;
    server.app.to("#chat-1").emit("@connection", &1).unwrap();
    server.app.to("#chat-1").emit("message", &2).unwrap();
    let reply = history(&mut server.peer().await, json!({ "room": "chat-1" })).await;
    assert_eq!(offsets(&reply), [2]);
}

#[tokio::test]
async fn a_reply_with_history_fits_in_half_of_an_outbox() {
    let limits = limits(|limits| limits.outbox_bytes_max = 4096);
    let server = TestServer::start(with_history(app().with_limits(limits))).await;
    for n in 0..3 {
        server.app.to("#chat-1").emit("message", &format!("{n}{}", "x".repeat(800))).unwrap();
    }
    let mut peer = server.peer().await;
    let latest = history(&mut peer, json!({ "room": "chat-1" })).await;
    assert_eq!(offsets(&latest), [2, 3]);
    let from = json!({ "epoch": latest["epoch"], "offset": 0 });
    assert_eq!(offsets(&history(&mut peer, json!({ "room": "chat-1", "after": from })).await), [1, 2]);
}

#[tokio::test]
async fn reading_history_counts_towards_the_rate_of_messages() {
    let limits = limits(|limits| limits.messages_per_s = Some(100));
    let server = TestServer::start(with_history(app().with_limits(limits))).await;
    let mut peer = server.peer().await;
    peer.emit("/echo", json!(1)).await;
    for _ in 0..2 {
        peer.try_send(
            &json!({ "event": "@history", "ackId": "1", "data": { "room": "chat-1", "limit": 1000 } }),
        )
        .await
        .ok();
    }
    assert_eq!(peer.closed().await.0, 1008);
}

#[tokio::test]
async fn members_of_all_nodes_receive_the_messages_of_all_nodes_in_the_order_of_their_numbers() {
    let log = Arc::new(MemoryHistory::new(MemoryHistoryLimits::default(), || 0));
    let mut servers = Vec::new();
    for bus in LocalBus::connected(2) {
        let app = App::new().on("/join", crate::join).with_bus(Arc::new(bus)).with_history(log.clone());
        servers.push(TestServer::start(app.with_room_history("chat-*", HistoryLimits::default())).await);
    }
    let mut peers = [member(&servers[0], "chat-1").await, member(&servers[1], "chat-1").await];
    let senders = servers.iter().map(|server| {
        let app = server.app.clone();
        std::thread::spawn(move || {
            for n in 0..200 {
                app.to("#chat-1").emit("message", &n).unwrap();
            }
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
    for peer in &mut peers {
        for offset in 1..=400 {
            assert_eq!(peer.next().await["position"]["offset"], offset);
        }
    }
    let top = servers[1].app.room_history("chat-1", HistoryRange::Latest, 0).await.unwrap().top_position();
    assert_eq!(top, Position { offset: 400, ..top });
}

#[tokio::test]
async fn a_koji_client_receives_positions_and_reads_the_history_of_its_shard() {
    let app = App::new().with_koji(switchboard::Koji::new());
    let server = TestServer::start(app.with_room_history("duel", HistoryLimits::default())).await;
    let mut ann = KojiPeer::join(&server, "projectId=p&shardName=duel&sb=1").await;
    let mut bob = KojiPeer::join(&server, "projectId=p&shardName=duel").await;
    ann.list_of(2).await;
    bob.list_of(2).await;
    bob.emit("move", json!({ "x": 1 })).await;
    let frame = ann.next().await;
    assert_eq!((&frame["eventName"], &frame["room"]), (&json!("move"), &json!("#duel")));
    assert_eq!(frame["position"]["offset"], 1);
    let of_bob = bob.next().await;
    assert_eq!((&of_bob["eventName"], of_bob.get("position")), (&json!("move"), None));

    ann.emit("@@SWITCHBOARD/history", json!({ "id": 7 })).await;
    let (event, answer) = ann.next_event().await;
    assert_eq!(
        (&*event, &answer["id"], &answer["history"]["top"]),
        ("@@SWITCHBOARD/history", &json!(7), &json!(1))
    );
    assert_eq!(answer["history"]["messages"][0]["data"], json!({ "x": 1 }));
    ann.emit("@@SWITCHBOARD/history", json!({ "id": 8, "room": "elsewhere" })).await;
    let (_, answer) = ann.next_event().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(8), &json!("no_history")));
}
