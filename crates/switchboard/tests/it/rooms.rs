//! Rooms, tags and users: membership, sends, and queries.

use serde_json::{Value, json};
use switchboard::{
    App, Audience, AudienceError, EmitError, NameError, Page, ProjectId, ReplyError, Request, RoomName,
    SocketId, Target,
};
use switchboard_testkit::{Peer, TestServer, until};

use crate::app;

/// A server with an event that replies with the id of the socket.
async fn start() -> TestServer {
    TestServer::start(app().on("/id", async |request: Request| json!(request.id()))).await
}

async fn id_of(peer: &mut Peer) -> SocketId {
    peer.request("/id", json!({})).await.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_send_to_a_room_reaches_its_other_members_once_and_in_order() {
    let server = start().await;
    let [mut a, mut b, mut c] = [server.peer().await, server.peer().await, server.peer().await];
    assert_eq!(a.request("/join", json!("lobby")).await, true);
    assert_eq!(a.request("/join", json!("#lobby")).await, false, "the sigil is optional");
    assert_eq!(b.request("/join", json!("#lobby")).await, true);
    for n in 1..=50 {
        assert_eq!(a.request("/send", json!(["#lobby", n])).await, 1);
    }
    for n in 1..=50 {
        assert_eq!(b.next_event().await, ("message".into(), json!(n)));
    }
    for peer in [&mut a, &mut b, &mut c] {
        peer.quiet().await;
    }
}

#[tokio::test]
async fn an_audience_is_a_union_of_targets_minus_exceptions() {
    let server = start().await;
    let app = &server.app;
    let mut peers = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let mut peer = server.peer().await;
        ids.push(id_of(&mut peer).await);
        peers.push(peer);
    }
    let sockets: Vec<_> = ids.iter().map(|id| app.socket(*id).unwrap()).collect();
    sockets[0].join("r").unwrap();
    sockets[1].join("r").unwrap();
    sockets[1].tag("t").unwrap();
    sockets[2].tag("t").unwrap();
    sockets[3].login("7").unwrap();

    assert_eq!(
        app.to("#r").and("*t").emit("union", &1).unwrap(),
        3,
        "a socket that matches twice receives one copy"
    );
    assert_eq!(app.to("#r").except("*t").emit("minus", &1).unwrap(), 1);
    assert_eq!(app.to(Target::Everyone).except(Target::user("7").unwrap()).emit("not-7", &1).unwrap(), 3);
    assert_eq!(app.to([ids[0], ids[3], ids[3]]).emit("ids", &1).unwrap(), 2);
    assert_eq!(app.to(Audience::default()).emit("nobody", &1).unwrap(), 0);
    assert_eq!(app.emit_to_user("7", "user", &1).unwrap(), 1);
    assert_eq!(app.emit_to(SocketId::random(), "unknown", &1).unwrap(), 0);
    assert_eq!(sockets[0].to("#r").including_self().emit("self", &1).unwrap(), 2);
    assert_eq!(
        sockets[0].to("*t").including_self().emit("outside", &1).unwrap(),
        2,
        "the sender is not in the audience"
    );
    assert_eq!(sockets[0].broadcast("others", &1).unwrap(), 3);
    assert_eq!(app.broadcast("all", &1).unwrap(), 4);

    let received = [
        &["union", "minus", "not-7", "ids", "self", "all"][..],
        &["union", "not-7", "self", "outside", "others", "all"],
        &["union", "not-7", "outside", "others", "all"],
        &["ids", "user", "others", "all"],
    ];
    for (peer, names) in peers.iter_mut().zip(received) {
        for name in names {
            assert_eq!(peer.next_event().await.0, *name);
        }
        peer.quiet().await;
    }
}

#[tokio::test]
async fn an_invalid_target_or_event_name_is_an_error_and_nothing_is_sent() {
    let server = start().await;
    let mut peer = server.peer().await;
    let error = server.app.to("").emit("x", &1).unwrap_err();
    assert!(matches!(error, EmitError::Audience(AudienceError::Name(NameError::Empty))));
    assert!(server.app.to("#a").and("#").emit("x", &1).is_err());
    assert!(server.app.broadcast("", &1).is_err());
    assert!(server.app.broadcast(&"x".repeat(300), &1).is_err());
    peer.quiet().await;
}

#[tokio::test]
async fn a_name_means_the_same_room_in_every_call() {
    let server = start().await;
    let mut peer = server.peer().await;
    let socket = server.app.socket(id_of(&mut peer).await).unwrap();
    for (joined, same) in [("lobby", "#lobby"), ("#hall", "hall"), ("@all", "#@all"), (" a b", "# a b")] {
        assert!(socket.join(joined).unwrap() && !socket.join(same).unwrap(), "{joined}");
        for name in [joined, same] {
            assert!(socket.is_in(name), "{name}");
            assert_eq!(server.app.to(name).emit("here", &name).unwrap(), 1);
            assert_eq!(peer.next_event().await, ("here".into(), json!(name)));
            assert_eq!(server.app.to(Target::Everyone).except(name).emit("not here", &1).unwrap(), 0);
            assert_eq!(server.app.room_size(name).await.unwrap(), 1);
        }
        assert!(socket.leave(same).unwrap() && !socket.is_in(joined));
    }
}

#[tokio::test]
async fn a_room_that_a_client_names_is_never_a_tag() {
    let server = start().await;
    let [mut admin, mut guest] = [server.peer().await, server.peer().await];
    server.app.socket(id_of(&mut admin).await).unwrap().tag("*admin").unwrap();
    let guest = server.app.socket(id_of(&mut guest).await).unwrap();
    let error = guest.join("*admin").unwrap_err();
    assert_eq!(error.to_string(), "`*admin` is the name of a tag, not of a room");
    assert_eq!(ReplyError::from(error).code(), "bad_data");
    assert!(!guest.is_in("*admin"));
    assert!(guest.tag("#lobby").is_err() && guest.leave("*admin").is_err() && guest.untag("#lobby").is_err());
    assert!(server.app.room_size("*admin").await.is_err() && server.app.tag_count("#lobby").await.is_err());
    admin.quiet().await;
}

#[tokio::test]
async fn rooms_tags_and_closed_sockets_are_removed() {
    let server = start().await;
    let mut peer = server.peer().await;
    let id = id_of(&mut peer).await;
    let socket = server.app.socket(id).unwrap();
    socket.join("a").unwrap();
    socket.join("b").unwrap();
    assert!(socket.leave("a").unwrap() && !socket.leave("a").unwrap());
    assert!(socket.tag("t").unwrap() && !socket.tag("t").unwrap());
    assert!(socket.untag("t").unwrap());
    assert_eq!((socket.rooms(), socket.tags()), (vec![RoomName::new("#b").unwrap()], vec![]));
    assert_eq!(server.app.to("#a").emit("x", &1).unwrap(), 0);
    peer.close().await;
    until("the socket is removed", async || !server.app.socket_exists(id).await.unwrap()).await;
    assert!(socket.join("c").is_err(), "a socket handle does not keep the connection open");
    assert_eq!(server.app.room_size("b").await.unwrap(), 0);
}

#[tokio::test]
async fn presence_queries_are_exact() {
    let server = start().await;
    let app = &server.app;
    let [mut a, mut b] = [server.peer().await, server.peer().await];
    let (one, two) = (id_of(&mut a).await, id_of(&mut b).await);
    let mut both = vec![one, two];
    both.sort();
    for id in &both {
        assert!(app.set_user_online("7", *id).await.unwrap());
    }
    app.set_user_online("8", two).await.unwrap();
    app.sync_tag(one, "vip").await.unwrap();
    app.socket(one).unwrap().join("r").unwrap();

    assert_eq!(app.total_sockets().await.unwrap(), 2);
    assert_eq!(app.all_socket_ids().await.unwrap(), both);
    assert_eq!(app.socket_ids(Page::first(1)).await.unwrap(), both[..1]);
    assert_eq!((app.room_size("#r").await.unwrap(), app.room_members("r").await.unwrap()), (1, vec![one]));
    assert_eq!(
        (app.tag_count("vip").await.unwrap(), app.tagged_sockets("*vip").await.unwrap()),
        (1, vec![one])
    );
    assert_eq!(app.online_user_count().await.unwrap(), 2);
    assert_eq!(app.online_users().await.unwrap(), ["7", "8"]);
    assert_eq!(app.user_socket_ids("7").await.unwrap(), both);
    assert_eq!(app.user_socket_id("8").await.unwrap(), Some(two));
    assert_eq!(app.user_socket_id("9").await.unwrap(), None);
    assert!(app.unsync_tag(one, "vip").await.unwrap());
    assert_eq!(app.tag_count("vip").await.unwrap(), 0);

    a.close().await;
    until("one socket is removed", async || app.total_sockets().await.unwrap() == 1).await;
    assert!(app.is_user_online("7").await.unwrap(), "online until the last socket disconnects");
    assert_eq!(app.set_user_offline("7").await.unwrap(), 1);
    assert!(!app.is_user_online("7").await.unwrap());
    assert!(app.set_user_online("7", one).await.is_err(), "the socket is gone");
    b.quiet().await;
}

#[tokio::test]
async fn nothing_crosses_projects() {
    let server = start().await;
    let mut peer = server.peer().await;
    let id = id_of(&mut peer).await;
    peer.request("/join", json!("r")).await;
    let other: App = server.app.project(&ProjectId::new("other").unwrap());
    assert_eq!(other.broadcast("x", &1).unwrap(), 0);
    assert_eq!(other.to("#r").emit("x", &1).unwrap(), 0);
    assert_eq!(other.emit_to(id, "x", &1).unwrap(), 0);
    assert!(other.socket(id).is_none());
    assert!(!other.socket_exists(id).await.unwrap());
    assert_eq!(other.total_sockets().await.unwrap(), 0);
    assert_eq!(peer.request("/echo", json!(1)).await, Value::from(1));
}
