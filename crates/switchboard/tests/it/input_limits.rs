//! Limits on what one connection sends: rates that count every frame and byte, and unfinished messages.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::backplane::InboxLimits;
use switchboard::net::AcceptOptions;
use switchboard::{App, Koji, Limits, Mesa, Socket};
use switchboard_disk::DiskInbox;
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{RawPeer, TestServer, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app;
use crate::support::{connect_as, dispatch, limits, until_inbox_is_empty, verify};

/// No test waits this long.
const LONG: Duration = Duration::from_secs(3600);

/// The beginning of a message of 400,000 bytes: the header of a frame, and `len` bytes.
fn begin_message(len: usize) -> Vec<u8> {
    let mut bytes = frame(0x82, &[b'x'; 400_000]);
    bytes.truncate(14 + len);
    bytes
}

async fn all_protocols(change: impl FnOnce(&mut Limits)) -> TestServer {
    let app = app().with_koji(Koji::new()).with_mesa(Mesa::new());
    TestServer::start(app.with_limits(limits(change))).await
}

/// A connection at an address of each protocol.
async fn open_each(server: &TestServer) -> [RawPeer; 3] {
    [open(server, "/", "").await, open(server, "/?projectId=p", "").await, open(server, "/mesa", "").await]
}

/// A connection at an address, with lines added to the handshake.
async fn open(server: &TestServer, path: &str, headers: &str) -> RawPeer {
    let mut peer = RawPeer::connect(server.address).await;
    let handshake = HANDSHAKE.replace("GET / ", &format!("GET {path} "));
    peer.send(handshake.replace("Host: test\r\n", &format!("Host: test\r\n{headers}")).as_bytes()).await;
    let head = peer.read_head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    peer
}

/// Sends as much as the server reads.
async fn send_all(peer: &mut RawPeer, bytes: &[u8]) {
    let _ = peer.stream.write_all(bytes).await;
}

#[tokio::test]
async fn every_kind_of_frame_counts_in_the_message_rate_of_every_protocol() {
    let server = all_protocols(|limits| limits.messages_per_s = Some(10)).await;
    let mut bystander = server.peer().await;
    let message = [frame(0x01, b"{"), frame(0x00, b"").repeat(100)].concat();
    for (kind, bytes) in [
        ("pings", frame(0x89, b"").repeat(100)),
        ("pings with a payload", frame(0x89, &[b'x'; 125]).repeat(100)),
        ("pongs", frame(0x8a, b"").repeat(100)),
        ("empty fragments", message.clone()),
        ("fragments", [frame(0x01, b"{"), frame(0x00, b" ").repeat(100)].concat()),
        ("pings between fragments", [frame(0x01, b"{"), frame(0x89, b"").repeat(100)].concat()),
        ("messages", frame(0x82, b"").repeat(100)),
    ] {
        for mut peer in open_each(&server).await {
            send_all(&mut peer, &bytes).await;
            assert_eq!(peer.close_code().await, 1008, "{kind}");
        }
        bystander.quiet().await;
    }
}

#[tokio::test]
async fn frames_up_to_the_burst_are_handled() {
    let server = all_protocols(|limits| limits.messages_per_s = Some(10)).await;
    for mut peer in open_each(&server).await {
        // 40 frames with the close.
        let fragments = [frame(0x01, b"{"), frame(0x00, b"").repeat(36), frame(0x80, b"}")].concat();
        peer.send(&[fragments, frame(0x89, b""), frame(0x88, &1000_u16.to_be_bytes())].concat()).await;
        assert_eq!(peer.close_code().await, 1000);
    }
}

#[tokio::test]
async fn bytes_of_unfinished_messages_count_in_the_byte_rate() {
    let server = all_protocols(|limits| limits.bytes_per_s = Some(1000)).await;
    for mut peer in open_each(&server).await {
        send_all(&mut peer, &begin_message(5000)).await;
        assert_eq!(peer.close_code().await, 1008);
    }
}

#[tokio::test]
async fn acknowledgements_of_stored_messages_do_not_count() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits::default()));
    let app = App::new().with_inbox(inbox).with_mesa(Mesa::new()).with_verifier(verify);
    // A burst of 8: the login, and pongs of other pings.
    let server = TestServer::start(app.with_limits(limits(|limits| limits.messages_per_s = Some(2)))).await;
    let mut peer = connect_as(&server, "7").await;
    for n in 1..=30 {
        dispatch(&server, "7", n).await;
        assert_eq!(peer.next().await["d"], n);
        // Reading answers the server's ping.
        tokio::select! {
            frame = peer.next_or_close() => panic!("an unexpected frame: {frame:?}"),
            () = until_inbox_is_empty(&server, "7") => {}
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_finished_in_time_closes_with_1008() {
    let server = all_protocols(|limits| limits.message_timeout = Duration::from_millis(50)).await;
    for (kind, bytes) in [
        ("half a frame", begin_message(100)),
        ("half a header", vec![0x81]),
        ("half a ping", frame(0x89, b"payload")[..8].to_vec()),
        ("a message without its last fragment", frame(0x01, b"{")),
        ("whole messages before half a one", [frame(0x81, b"{}"), begin_message(1)].concat()),
    ] {
        for mut peer in open_each(&server).await {
            peer.send(&bytes).await;
            assert_eq!(peer.close_code().await, 1008, "{kind}");
        }
    }
}

#[tokio::test]
async fn control_frames_do_not_extend_the_time_of_a_message() {
    let server = all_protocols(|limits| {
        limits.message_timeout = Duration::from_millis(50);
        limits.messages_per_s = None;
    })
    .await;
    let mut peer = server.raw().await;
    peer.send(&frame(0x01, b"{")).await;
    let (mut reading, mut writing) = peer.stream.split();
    let mut received = Vec::new();
    let pongs = async {
        loop {
            let _ = writing.write_all(&frame(0x8a, b"")).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = soon("the close frame", reading.read_to_end(&mut received)) => drop(end),
        () = pongs => unreachable!("it sends until the connection is closed"),
    }
    assert_eq!(received.get(2..4), Some(&1008_u16.to_be_bytes()[..]));
}

#[tokio::test]
async fn an_idle_connection_has_no_message_deadline() {
    let server = all_protocols(|limits| limits.message_timeout = Duration::from_millis(50)).await;
    let mut idle = server.raw().await;
    idle.send(&frame(0x81, b"{}")).await;
    let mut late = server.raw().await;
    late.send(&[0x81]).await;
    assert_eq!(late.close_code().await, 1008);
    idle.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(idle.close_code().await, 1000);
}

#[tokio::test]
async fn unfinished_messages_from_one_address_share_a_budget() {
    let options =
        AcceptOptions { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..AcceptOptions::default() };
    let limits = limits(|limits| limits.unfinished_bytes_per_address_max = 150_000);
    let server = TestServer::start(app().with_limits(limits).with_accept_options(options)).await;
    let from = async |address: &str| open(&server, "/", &format!("X-Forwarded-For: {address}\r\n")).await;
    let (mut first, mut second) = (from("192.0.2.1").await, from("192.0.2.1").await);
    let mut other = from("192.0.2.2").await;
    let message = frame(0x82, &[b'x'; 70_000]);
    let (begin, end) = message.split_at(50_000);
    first.send(begin).await;
    other.send(begin).await;
    second.send(&begin_message(140_000)).await;
    assert_eq!(second.close_code().await, 1013);
    drop(second);
    until("the connection is removed", async || server.app.hub().index().len() == 2).await;
    for mut peer in [first, other] {
        peer.send(&[end, &frame(0x88, &1000_u16.to_be_bytes())].concat()).await;
        assert_eq!(peer.close_code().await, 1000, "the other messages are finished");
    }
}

#[tokio::test]
async fn a_peer_that_floods_after_the_close_frame_is_cut_off() {
    let server = all_protocols(|limits| {
        limits.bytes_per_s = Some(1000);
        limits.close_timeout = LONG;
    })
    .await;
    let mut peer = server.raw().await;
    send_all(&mut peer, &begin_message(5000)).await;
    assert_eq!(peer.close_code().await, 1008);
    // The server waits for the end of the stream, and then no longer.
    soon("the connection is cut", async { while peer.stream.write_all(&[0; 1000]).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_close_frame_behind_unhandled_frames_completes_the_closing_handshake() {
    let app = app().on("/bye", async |socket: Socket| socket.close(4000, "bye"));
    let mut server = TestServer::start(app.with_limits(limits(|limits| limits.close_timeout = LONG))).await;
    let mut peer = server.raw().await;
    let bye = frame(0x81, br#"{"event":"/bye"}"#);
    let pings = frame(0x89, b"").repeat(100);
    peer.send(&[bye, pings, frame(0x88, &4000_u16.to_be_bytes())].concat()).await;
    assert_eq!(peer.close_code().await, 4000);
    server.begin_stop();
    server.stopped().await;
}

#[tokio::test]
async fn the_bytes_in_names_of_a_socket_are_bounded() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.membership_bytes_max = 600))).await;
    let mut peer = server.peer().await;
    let name = |letter: &str| json!(letter.repeat(199));
    for letter in ["a", "b", "c", "a"] {
        assert!(peer.request("/join", name(letter)).await.is_boolean(), "the mark of a room counts as well");
    }
    let error = "the names of the socket's rooms and tags have 600 bytes already, which is the most";
    assert_eq!(peer.request("/join", json!("d")).await, json!({ "error": error, "code": "too_many" }));
}
