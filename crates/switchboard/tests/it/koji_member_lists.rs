//! Koji member lists over real sockets: complete lists and changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::protocols::{ProjectRules, UserInfoError};
use switchboard::{App, Koji, ProjectId};
use switchboard_hub::Session;
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{KojiPeer, RawPeer, TestServer, soon};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::koji::{join, start, two};
use crate::support::{ListChanges, limits};

/// The highest possible number of lists since `began`: one per interval of 100 ms, one for the interval that
/// had begun before, and one that is sent immediately.
fn lists_max_since(began: Instant) -> u128 {
    began.elapsed().as_millis() / 100 + 2
}

#[tokio::test]
async fn user_info_is_replaced_and_sent_to_the_shard() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    ann.set_user_info(json!({ "name": "Ann", "age": 7 })).await;
    let id = ann.id.clone();
    bob.list_where(|list| list[&id]["userInfo"] == json!({ "name": "Ann", "age": 7 })).await;
    ann.set_user_info(json!({ "name": "Anna" })).await;
    bob.list_where(|list| list[&id]["userInfo"] == json!({ "name": "Anna" })).await;
    for invalid in [json!(null), json!("x"), json!([1]), json!(5), json!({ "x": "y".repeat(16 * 1024) })] {
        ann.set_user_info(invalid).await;
    }
    ann.quiet().await;
    let third = join(&server, "projectId=p&shardName=s").await;
    let list = bob.list_of(3).await;
    assert_eq!(list[&id]["userInfo"], json!({ "name": "Anna" }));
    assert_eq!(list[&third.id]["userInfo"], json!({}));
    ann.peer.close().await;
    assert_eq!(bob.list_of(2).await.get(&id), None);
}

/// The next frame of a server: its opcode and payload. For payloads of at most 65,535 bytes.
async fn next_frame(peer: &mut RawPeer) -> (u8, Vec<u8>) {
    let read = async {
        let (first, len) = (peer.stream.read_u8().await?, peer.stream.read_u8().await?);
        let len = if len == 126 { peer.stream.read_u16().await? } else { len.into() };
        let mut payload = vec![0; len.into()];
        peer.stream.read_exact(&mut payload).await?;
        std::io::Result::Ok((first & 0x0f, payload))
    };
    soon("a frame", read).await.expect("the connection is open")
}

/// Connects a client that does not answer pings by itself. Returns its id, and the payload of the ping behind
/// CONNECTED.
async fn connect_raw(server: &TestServer) -> (RawPeer, String, Vec<u8>) {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    let (opcode, connected) = next_frame(&mut peer).await;
    let connected: Value = serde_json::from_slice(&connected).unwrap();
    assert_eq!((opcode, &connected["eventName"]), (1, &json!("@@KOJI_DISPATCH/CONNECTED")));
    let (opcode, ping) = next_frame(&mut peer).await;
    assert_eq!(opcode, 9);
    (peer, connected["payload"]["clientId"].as_str().unwrap().to_owned(), ping)
}

fn is_list(frame: &(u8, Vec<u8>)) -> bool {
    frame.0 == 1 && String::from_utf8_lossy(&frame.1).contains("CONNECTED_CLIENTS_CHANGED")
}

#[tokio::test]
async fn the_first_list_follows_the_pong_to_the_ping_behind_connected() {
    let server = start().await;
    let began = Instant::now();
    let (mut peer, id, ping) = connect_raw(&server).await;
    let to_itself = json!({ "eventName": "x", "payload": [], "recipients": [id] });
    peer.send(&frame(0x81, to_itself.to_string().as_bytes())).await;
    let next = next_frame(&mut peer).await;
    // On a machine that is busy for so long the list may have come without a pong.
    if began.elapsed() < Duration::from_millis(500) {
        assert!(!is_list(&next), "there was no pong");
        peer.send(&frame(0x8a, &ping)).await;
        assert!(is_list(&next_frame(&mut peer).await));
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_receives_its_first_list_after_a_while() {
    let server = start().await;
    let (mut silent, _, _) = connect_raw(&server).await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    ann.list_of(2).await;
    assert!(is_list(&next_frame(&mut silent).await));
    // The pong comes late and has no effect.
    silent.send(&frame(0x8a, b"connected")).await;
    drop(silent);
    ann.list_of(1).await;
    ann.quiet().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_pong_is_not_in_the_list() {
    let server = start().await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    assert_eq!(ann.next_list().await.as_object().unwrap().len(), 1);
    let (brief, _, _) = connect_raw(&server).await;
    drop(brief);
    let mut bob = join(&server, "projectId=p&shardName=s").await;
    bob.list_of(2).await;
    ann.list_of(2).await;
}

#[tokio::test]
async fn a_hundred_connects_share_member_lists() {
    let server = start().await;
    let began = Instant::now();
    let mut first = join(&server, "projectId=p&shardName=s").await;
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(join(&server, "projectId=p&shardName=s").await);
    }
    let mut lists = 1;
    while first.next_list().await.as_object().unwrap().len() < 101 {
        lists += 1;
    }
    assert!(lists <= lists_max_since(began), "{lists} lists for 100 joins");
    for other in &mut others {
        other.list_of(101).await;
    }
}

#[tokio::test]
async fn a_client_in_changes_mode_receives_versioned_changes_and_the_list_on_request() {
    let server = start().await;
    let mut watcher = join(&server, "projectId=p&shardName=s&connectedClients=changes").await;
    let first = watcher.next().await;
    assert_eq!(first["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED");
    assert_eq!(first["payload"]["connectedClients"].as_object().unwrap().len(), 1);
    let mut list_changes = ListChanges::after(&first);
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    let changes = list_changes.next(&mut watcher).await;
    assert_eq!((&changes["joined"][&ann.id]["userInfo"], &changes["left"]), (&json!({}), &json!([])));
    ann.list_of(2).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let changes = list_changes.next(&mut watcher).await;
    assert_eq!(changes["updated"][&ann.id]["userInfo"], json!({ "name": "Ann" }));
    assert_eq!((&changes["joined"], &changes["left"]), (&json!({}), &json!([])));
    let id = ann.id.clone();
    ann.peer.close().await;
    assert_eq!(list_changes.next(&mut watcher).await["left"], json!([id]));

    watcher.emit("@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS", Value::Null).await;
    let list = watcher.next().await;
    assert_eq!(list["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED");
    assert_eq!(list["payload"]["connectedClients"].as_object().unwrap().len(), 1);
    assert!(list["payload"]["version"].is_u64());
}

/// A server whose lists do not wait for an interval, so that tests send many, and may be long.
async fn without_pauses(outbox_bytes_max: usize, change: impl FnOnce(Koji) -> Koji) -> TestServer {
    let rules = ProjectRules {
        user_info_bytes_max: 2 * LONG,
        shard_info_bytes_max: usize::MAX,
        ..ProjectRules::default()
    };
    let koji = Koji::new()
        .with_rules(rules)
        .with_member_list_interval(Duration::ZERO)
        .with_member_list_bytes_per_s(usize::MAX);
    let limits = limits(|limits| limits.outbox_bytes_max = outbox_bytes_max);
    TestServer::start(App::new().with_koji(change(koji)).with_limits(limits)).await
}

/// The length of a long user info.
const LONG: usize = 50_000;

/// The length of a list with one long user info, at most.
const LONG_LIST: usize = LONG + 10_000;

fn session(server: &TestServer, id: &str) -> Arc<Session> {
    server.app.hub().index().session(id.parse().unwrap()).expect("the connection is open")
}

/// Sets a long user info and waits for the list that contains it.
async fn set_long_info(client: &mut KojiPeer, round: usize) {
    let id = client.id.clone();
    client.set_user_info(json!({ "round": round, "pad": "x".repeat(LONG) })).await;
    client.list_where(|list| list[&id]["userInfo"]["round"] == round).await;
}

/// Sends long lists until the kernel's buffers for a client that does not read are full, and lists in its outbox are
/// replaced by newer ones.
async fn fill_outboxes(server: &TestServer, busy: &mut KojiPeer) {
    let replaced = || server.app.hub().stats().replaced.load(Ordering::Relaxed);
    for round in 0.. {
        set_long_info(busy, round).await;
        if replaced() >= 10 {
            break;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_misses_lists_but_receives_the_last_one() {
    let server = without_pauses(256 * 1024, |koji| koji).await;
    let mut slow = join(&server, "projectId=p&shardName=s").await;
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    fill_outboxes(&server, &mut busy).await;
    let queued = session(&server, &slow.id).outbox.queued_bytes();
    assert!(queued <= 2 * LONG_LIST, "one list is being sent and one waits: {queued} bytes");
    let last = json!({ "round": "last" });
    busy.set_user_info(last.clone()).await;
    let id = busy.id.clone();
    slow.list_where(|list| list[&id]["userInfo"] == last).await;
}

#[tokio::test]
async fn a_slow_reader_in_changes_mode_receives_the_list_instead_of_missed_changes() {
    let server = without_pauses(256 * 1024, |koji| koji).await;
    let mut slow = join(&server, "projectId=p&shardName=s&connectedClients=changes").await;
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    fill_outboxes(&server, &mut busy).await;
    let bounded = session(&server, &slow.id).outbox.bounded_bytes();
    assert!(bounded <= 128 * 1024, "changes fill at most half of the outbox: {bounded} bytes");
    busy.set_user_info(json!({ "round": "last" })).await;
    let (mut version, mut lists, id) = (0, 0, busy.id.clone());
    loop {
        let payload = slow.next().await["payload"].take();
        let is_list = payload["connectedClients"].is_object();
        let next = payload["version"].as_u64().expect("every update has a version");
        assert!(is_list || next == version + 1, "a gap from {version} to {next} without a list");
        (version, lists) = (next, lists + u32::from(is_list));
        let clients = if is_list { &payload["connectedClients"] } else { &payload["updated"] };
        if clients[&id]["userInfo"]["round"] == "last" {
            break;
        }
    }
    assert!(lists >= 2, "the first list, and one for the missed changes");
}

#[tokio::test]
async fn a_flood_of_user_infos_is_combined_and_the_last_one_arrives() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    let began = Instant::now();
    for n in 0..2000 {
        ann.set_user_info(json!({ "n": n })).await;
    }
    let id = ann.id.clone();
    let mut lists = 0;
    while bob.next_list().await[&id]["userInfo"]["n"] != 1999 {
        lists += 1;
    }
    assert!(lists <= lists_max_since(began), "{lists} lists for 2000 changes");
}

#[tokio::test]
async fn long_user_infos_are_sent_at_the_rate_of_the_settings() {
    const BYTES_PER_S: usize = 1024 * 1024;
    let koji = Koji::new().with_member_list_bytes_per_s(BYTES_PER_S);
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let mut honest = join(&server, "projectId=p&shardName=s").await;
    let mut heavy = Vec::new();
    for _ in 0..8 {
        heavy.push(join(&server, "projectId=p&shardName=s").await);
    }
    honest.list_of(9).await;
    let began = Instant::now();
    for round in 0..40 {
        for client in &mut heavy {
            client.set_user_info(json!({ "round": round, "pad": "x".repeat(16_000) })).await;
        }
    }
    let (mut bytes, mut longest) = (0, 0);
    loop {
        let list = honest.next_list().await;
        let len = list.to_string().len();
        (bytes, longest) = (bytes + len, longest.max(len));
        if heavy.iter().all(|client| list[&client.id]["userInfo"]["round"] == 39) {
            break;
        }
    }
    assert!(longest > 8 * 16_000, "the list has all user infos");
    let rate = began.elapsed().as_secs_f64() * BYTES_PER_S as f64;
    assert!((bytes as f64) < rate + 2.0 * longest as f64, "{bytes} bytes, where {rate} are due");
}

/// User info of that many bytes.
fn info(bytes: usize) -> Value {
    let empty = json!({ "x": "" }).to_string().len();
    json!({ "x": "x".repeat(bytes - empty) })
}

#[tokio::test]
async fn user_infos_of_a_shard_are_bounded_together_except_short_ones() {
    let rules = ProjectRules { shard_info_bytes_max: 1000, ..ProjectRules::default() };
    let server = TestServer::start(App::new().with_koji(Koji::new().with_rules(rules))).await;
    let (mut ann, mut bob) = two(&server).await;
    let (ann_id, bob_id) = (ann.id.clone(), bob.id.clone());
    ann.set_user_info(info(600)).await;
    bob.list_where(|list| list[&ann_id]["userInfo"] == info(600)).await;
    bob.set_user_info(info(401)).await;
    bob.quiet().await;
    bob.set_user_info(info(400)).await;
    bob.list_where(|list| list[&bob_id]["userInfo"] == info(400)).await;
    // Both have room only for what they have, and for any short info.
    ann.set_user_info(info(601)).await;
    ann.quiet().await;
    let mut carl = join(&server, "projectId=p&shardName=s").await;
    let list = carl.list_of(3).await;
    assert_eq!((&list[&ann_id]["userInfo"], &list[&bob_id]["userInfo"]), (&info(600), &info(400)));
    let carl_id = carl.id.clone();
    carl.set_user_info(info(257)).await;
    carl.quiet().await;
    carl.set_user_info(info(256)).await;
    carl.list_where(|list| list[&carl_id]["userInfo"] == info(256)).await;
    // Another shard has a bound of its own, and a client that leaves makes room.
    let mut other = join(&server, "projectId=p&shardName=other").await;
    other.set_user_info(info(1000)).await;
    let other_id = other.id.clone();
    other.list_where(|list| list[&other_id]["userInfo"] == info(1000)).await;
    ann.peer.close().await;
    bob.list_of(2).await;
    bob.set_user_info(info(744)).await;
    bob.list_where(|list| list[&bob_id]["userInfo"] == info(744)).await;
    let socket = server.app.project(&ProjectId::new("p").unwrap()).socket(carl_id.parse().unwrap()).unwrap();
    let refused = socket.set_user_info(&info(257)).unwrap_err();
    assert!(matches!(refused, UserInfoError::ShardFull { max: 1000 }), "{refused}");
    assert!(matches!(socket.set_user_info("x").unwrap_err(), UserInfoError::NotAnObject));
}

#[tokio::test]
async fn a_list_over_the_outbox_bound_closes_no_connection_at_the_next_ping_or_event() {
    let server = without_pauses(LONG / 2, |koji| koji.with_ping_interval(Duration::from_millis(500))).await;
    let mut slow = join(&server, "projectId=p&shardName=s").await;
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    let outbox = &session(&server, &slow.id).outbox;
    // Until a ping waits behind the lists. A message keeps the client alive meanwhile.
    for round in 0.. {
        set_long_info(&mut busy, round).await;
        slow.emit_to("alive", json!([]), json!([])).await;
        let mut has_ping = false;
        outbox.for_each_frame(|frame| has_ping |= frame[..] == [0x89, 0]);
        if has_ping {
            break;
        }
    }
    assert!(outbox.queued_bytes() > LONG / 2);
    busy.emit("news", json!("hello")).await;
    let last = json!({ "round": "last" });
    busy.set_user_info(last.clone()).await;
    let id = busy.id.clone();
    busy.list_where(|list| list[&id]["userInfo"] == last).await;
    let (mut has_news, mut has_last) = (false, false);
    while !(has_news && has_last) {
        let frame = slow.next().await;
        has_news |= frame["eventName"] == "news";
        has_last |= frame["payload"]["connectedClients"][&id]["userInfo"] == last;
    }
}

/// User infos are bounded for clients that are not in the list yet as well, and when they leave.
#[tokio::test]
async fn the_user_info_of_a_client_that_has_not_read_connected_counts() {
    let rules = ProjectRules { shard_info_bytes_max: 1000, ..ProjectRules::default() };
    let server = TestServer::start(App::new().with_koji(Koji::new().with_rules(rules))).await;
    let set_info = json!({ "eventName": "@@KOJI_DISPATCH/SET_USER_INFO", "payload": info(600) });
    let (mut first, first_id, ping) = connect_raw(&server).await;
    first.send(&frame(0x81, set_info.to_string().as_bytes())).await;
    first.send(&frame(0x8a, &ping)).await;
    while !is_list(&next_frame(&mut first).await) {}
    let (mut second, second_id, _) = connect_raw(&server).await;
    second.send(&frame(0x81, set_info.to_string().as_bytes())).await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    let list = ann.list_of(3).await;
    assert_eq!((&list[&first_id]["userInfo"], &list[&second_id]["userInfo"]), (&info(600), &json!({})));
    drop(first);
    ann.list_of(2).await;
    let ann_id = ann.id.clone();
    ann.set_user_info(info(1000)).await;
    ann.list_where(|list| list[&ann_id]["userInfo"] == info(1000)).await;
}

/// Connects a client that never reads after the handshake, with the smallest buffer.
async fn connect_without_reading(server: &TestServer) -> RawPeer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut peer = RawPeer { stream: socket.connect(server.address).await.unwrap() };
    peer.send(HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    // The pong that enters it into the list.
    peer.send(&frame(0x8a, b"connected")).await;
    peer
}

#[tokio::test]
async fn clients_that_stop_reading_hold_few_versions_of_a_list_and_then_the_slowest_is_closed() {
    const HELD_MAX: usize = 5 * LONG_LIST;
    let server = without_pauses(LONG, |koji| koji.with_member_list_held_bytes_max(HELD_MAX)).await;
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    let (hub, mut stalled) = (server.app.hub(), Vec::new());
    // They connect one after another, so each of them stops at another version.
    for round in 0.. {
        stalled.push(connect_without_reading(&server).await);
        set_long_info(&mut busy, round).await;
        if hub.stats().overflowed.load(Ordering::Relaxed) > 0 {
            break;
        }
        let held = hub.outbox_totals().held;
        assert!(held <= HELD_MAX + LONG_LIST, "{held} bytes are held in round {round}");
    }
    let connected = stalled.len();
    assert!(connected >= HELD_MAX / LONG_LIST, "each holds one version");
    set_long_info(&mut busy, usize::MAX).await;
    let overflowed = hub.stats().overflowed.load(Ordering::Relaxed);
    assert!(overflowed <= 4, "{overflowed} of {connected} clients are closed");
}
