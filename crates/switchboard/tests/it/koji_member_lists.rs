//! Koji member lists over real sockets: complete lists and changes.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Koji, Limits};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{KojiPeer, RawPeer, TestServer, soon};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::koji::{join, start, two};

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
    let mut version = first["payload"]["version"].as_u64().unwrap();
    assert_eq!(first["payload"]["connectedClients"].as_object().unwrap().len(), 1);

    let mut next = async |watcher: &mut KojiPeer| {
        let frame = watcher.next().await;
        assert_eq!(frame["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES", "{frame}");
        version += 1;
        assert_eq!(frame["payload"]["version"], version, "versions have no gaps");
        frame["payload"].clone()
    };
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    let changes = next(&mut watcher).await;
    assert_eq!((&changes["joined"][&ann.id]["userInfo"], &changes["left"]), (&json!({}), &json!([])));
    ann.list_of(2).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let changes = next(&mut watcher).await;
    assert_eq!(changes["updated"][&ann.id]["userInfo"], json!({ "name": "Ann" }));
    assert_eq!((&changes["joined"], &changes["left"]), (&json!({}), &json!([])));
    let id = ann.id.clone();
    ann.peer.close().await;
    assert_eq!(next(&mut watcher).await["left"], json!([id]));

    watcher.emit("@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS", Value::Null).await;
    let list = watcher.next().await;
    assert_eq!(list["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED");
    assert_eq!(list["payload"]["connectedClients"].as_object().unwrap().len(), 1);
    assert!(list["payload"]["version"].is_u64());
}

#[tokio::test]
async fn a_slow_reader_misses_lists_but_receives_the_last_one() {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 256 * 1024;
    let app = App::new().with_koji(Koji::new().with_member_list_interval(Duration::ZERO));
    let server = TestServer::start(app.with_limits(limits)).await;
    let mut slow = join(&server, "projectId=p&shardName=s").await;
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    let id = busy.id.clone();
    let queued = async || {
        let session = server.app.hub().index().session(slow.id.parse().unwrap());
        session.expect("the connection is open").outbox.queued_bytes()
    };
    let mut round = 0;
    // Continues until the kernel's buffers are full and the outbox can take no further list.
    while queued().await + 17_000 <= 128 * 1024 {
        round += 1;
        let info = json!({ "round": round, "pad": "x".repeat(16_000) });
        busy.set_user_info(info).await;
        busy.list_where(|list| list[&id]["userInfo"]["round"] == round).await;
    }
    let last = json!({ "round": "last" });
    busy.set_user_info(last.clone()).await;
    busy.list_where(|list| list[&id]["userInfo"] == last).await;
    slow.list_where(|list| list[&id]["userInfo"] == last).await;
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
async fn lists_longer_than_half_an_outbox_close_no_connection() {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 256 * 1024;
    let app = App::new().with_koji(Koji::new().with_member_list_interval(Duration::ZERO));
    let server = TestServer::start(app.with_limits(limits)).await;
    let mut slow = Vec::new();
    for _ in 0..14 {
        let mut member = join(&server, "projectId=p&shardName=s").await;
        member.set_user_info(json!({ "pad": "x".repeat(16_000) })).await;
        slow.push(member);
    }
    let mut busy = join(&server, "projectId=p&shardName=s").await;
    let id = busy.id.clone();
    let behind = async || {
        let index = server.app.hub().index();
        let sessions = slow.iter().map(|member| index.session(member.id.parse().unwrap()));
        let outboxes = sessions.map(|session| session.expect("the connection is open").outbox.queued_bytes());
        outboxes.filter(|queued| *queued > 0).count()
    };
    let mut round = 0;
    while behind().await < slow.len() {
        round += 1;
        busy.set_user_info(json!({ "round": round })).await;
        busy.list_where(|list| list[&id]["userInfo"]["round"] == round).await;
    }
    busy.set_user_info(json!({ "round": "last" })).await;
    for member in &mut slow {
        member.list_where(|list| list[&id]["userInfo"]["round"] == "last").await;
    }
}
