//! Shards of the Koji protocol over real sockets: placement, seats, and the list of shards.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::protocols::ProjectRules;
use switchboard::{App, Koji, ProjectId, Reply, Request, Resuming, ShardName, Socket, Target};
use switchboard_testkit::{Peer, RawPeer, TestServer, raw, until};

use crate::koji::{get, join, shards, start, two, until_shards_are, with_rules, without_metadata};

#[tokio::test]
async fn automatic_placement_fills_shards_in_order_and_reuses_freed_seats() {
    let server = start().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(join(&server, "projectId=p&maxConnectionsPerShard=2").await);
    }
    let placed: Vec<_> = clients.iter().map(|client| client.shard.as_str()).collect();
    assert_eq!(placed, ["shard-1", "shard-1", "shard-2", "shard-2", "shard-3"]);
    clients.remove(1).peer.close().await;
    clients[0].list_where(|list| list.as_object().unwrap().len() == 1).await;
    let expected = json!([
        { "shardName": "shard-2", "numConnectedClients": 2 },
        { "shardName": "shard-1", "numConnectedClients": 1 },
        { "shardName": "shard-3", "numConnectedClients": 1 },
    ]);
    until_shards_are(&server, "p", expected).await;
    assert_eq!(join(&server, "projectId=p&maxConnectionsPerShard=2").await.shard, "shard-1");
}

#[tokio::test]
async fn concurrent_connects_exceed_no_capacity_and_leave_no_seat_taken() {
    let server = start().await;
    let mut connecting = tokio::task::JoinSet::new();
    for number in 0..120 {
        let url = server.url("/?projectId=p&maxConnectionsPerShard=7");
        let address = server.address;
        connecting.spawn(async move {
            if number % 4 == 0 {
                // Disconnects before the server can send anything.
                let mut raw = RawPeer::connect(address).await;
                let handshake =
                    raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&maxConnectionsPerShard=7 ");
                raw.send(handshake.as_bytes()).await;
                return None;
            }
            let mut peer = Peer::connect(&url).await;
            let shard = peer.next().await["payload"]["shardName"].as_str().unwrap().to_owned();
            Some((shard, peer))
        });
    }
    let peers: Vec<_> = connecting.join_all().await.into_iter().flatten().collect();
    let mut seated = std::collections::BTreeMap::<&str, usize>::new();
    for (shard, _) in &peers {
        *seated.entry(shard).or_default() += 1;
    }
    assert!(seated.values().all(|seated| *seated <= 7), "{seated:?}");
    for shard in shards(&server, "p").await.as_array().unwrap() {
        assert!(shard["numConnectedClients"].as_u64().unwrap() <= 7, "{shard}");
    }
    drop(peers);
    until_shards_are(&server, "p", json!([])).await;
}

#[tokio::test]
async fn shard_info_is_sorted_by_size_and_open_to_every_origin() {
    let server = start().await;
    let (head, body) = get(&server, "/info/nobody-there").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("access-control-allow-origin: *") && head.contains("application/json"), "{head}");
    assert_eq!(body, "[]");
    let mut clients = Vec::new();
    for shard in ["b", "a", "c", "c"] {
        clients.push(join(&server, &format!("projectId=my%20game&shardName={shard}")).await);
    }
    let expected = json!([
        { "shardName": "c", "numConnectedClients": 2 },
        { "shardName": "a", "numConnectedClients": 1 },
        { "shardName": "b", "numConnectedClients": 1 },
    ]);
    assert_eq!(shards(&server, "my%20game").await, expected);
    assert_eq!(shards(&server, "other").await, json!([]));
}

#[tokio::test]
async fn a_full_named_shard_overflows_if_the_project_rules_allow_it() {
    let server = with_rules(ProjectRules { named_overflow: true, ..ProjectRules::default() }).await;
    let query = "projectId=p&shardName=lobby&maxConnectionsPerShard=1";
    assert_eq!(join(&server, query).await.shard, "lobby");
    let first = join(&server, query).await;
    assert_eq!(join(&server, query).await.shard, if first.shard == "lobby" { "shard-1" } else { "shard-2" });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seat_is_free_when_the_close_handshake_has_ended() {
    let server = start().await;
    for _ in 0..500 {
        let mut raw = RawPeer::connect(server.address).await;
        raw.send(raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
        raw.read_head().await;
        raw.send(&raw::frame(0x88, &1000u16.to_be_bytes())).await;
        raw.read_to_end().await;
        // Browsers also wait for the end of the stream before a page can connect again.
        assert!(server.app.project(&ProjectId::new("p").unwrap()).shards().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_disconnected_and_removed_from_the_list() {
    let koji = Koji::new().with_ping_interval(Duration::from_secs(1));
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
    raw.read_head().await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    let list = ann.list_of(2).await;
    assert!(list[&ann.id]["lastPing"].is_u64());
    // The raw client answers no pings, so the server removes it although its connection is open.
    ann.list_of(1).await;
    assert_eq!(raw.close_code().await, 1006);
}

#[tokio::test]
async fn the_app_addresses_a_shard_as_the_room_of_its_name() {
    let server = start().await;
    let mut hash = join(&server, "projectId=p&shardName=%23s").await;
    let (mut ann, _bob) = two(&server).await;
    let app = server.app.project(&ProjectId::new("p").unwrap());
    let to = |shard: &str| app.to(Target::shard(&ShardName::new(shard).unwrap()));
    to("s").emit("for s", &json!([])).unwrap();
    to("#s").emit("for #s", &json!([])).unwrap();
    assert_eq!(ann.next_event().await.0, "for s");
    assert_eq!(hash.next_event().await.0, "for #s");
    assert_eq!(app.room_size("s").await.unwrap(), 2);
}

#[tokio::test]
async fn emit_rooms_and_koji_shards_of_the_same_name_exchange_events() {
    let app = App::new()
        .with_koji(Koji::new())
        .on("/join", async |socket: Socket| socket.join("#lobby").map(Reply))
        .on("/send", async |request: Request| {
            request.to("#lobby").emit_payload("message", request.payload().clone()).map(|_| ())
        });
    let server = TestServer::start(app).await;
    let mut page = join(&server, "projectId=default&shardName=lobby").await;
    let mut in_other_project = join(&server, "projectId=other&shardName=lobby").await;
    let mut emit = server.peer().await;
    emit.request("/join", json!({})).await;
    page.emit("chat", json!({ "body": "hi" })).await;
    assert_eq!(emit.next_event().await, ("chat".into(), json!({ "body": "hi" })));
    page.next_event().await;
    emit.emit("/send", json!({ "text": "hello" })).await;
    let (name, payload) = page.next_event().await;
    assert_eq!((name.as_str(), without_metadata(payload.clone())), ("message", json!({ "text": "hello" })));
    assert!(payload["__clientId"].is_string());
    server.app.to("#lobby").emit("from the app", &json!({ "x": 1 })).unwrap();
    assert_eq!(emit.next_event().await, ("from the app".into(), json!({ "x": 1 })));
    let (_, payload) = page.next_event().await;
    assert_eq!(payload.get("__clientId"), None, "it has no sender");
    emit.quiet().await;
    in_other_project.quiet().await;
    assert_eq!(shards(&server, "default").await, json!([{ "shardName": "lobby", "numConnectedClients": 1 }]));
}

#[tokio::test]
async fn a_project_without_resume_frees_a_seat_as_soon_as_a_connection_breaks() {
    let koji = Koji::new().with_projects(|project| {
        Some(Arc::new(ProjectRules { resume: project.as_str() != "race", ..ProjectRules::default() }))
    });
    let app = App::new().with_koji(koji).with_resume(Resuming::default());
    let server = TestServer::start(app).await;
    for (project, is_kept) in [("race", false), ("story", true)] {
        let query = format!("projectId={project}&maxConnectionsPerShard=2");
        let mut stays = join(&server, &query).await;
        let mut breaks = Peer::connect(&server.url(&format!("/koji?{query}&sb=1"))).await;
        let connected = breaks.next().await;
        let has_ticket = breaks.next().await["payload"]["ticket"].is_string();
        assert_eq!(has_ticket, is_kept, "{project}: the client has a ticket only if its session may be kept");
        let list = stays.list_where(|list| list.as_object().unwrap().len() == 2).await;
        let id = connected["payload"]["clientId"].as_str().unwrap();
        assert!(list.get(id).is_some());
        // Without a close frame, as when a phone loses its network.
        drop(breaks);
        if is_kept {
            let socket =
                server.app.project(&ProjectId::new(project).unwrap()).socket(id.parse().unwrap()).unwrap();
            until("the session is detached", async || socket.is_detached()).await;
            assert_eq!(join(&server, &query).await.shard, "shard-2", "its seat is taken");
        } else {
            stays.list_where(|list| list.as_object().unwrap().len() == 1).await;
            assert_eq!(join(&server, &query).await.shard, "shard-1", "its seat is free");
        }
    }
}
