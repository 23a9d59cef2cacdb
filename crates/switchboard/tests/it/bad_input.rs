//! Invalid input costs the peer that frame or that connection and does not affect other connections.

use serde_json::json;
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::app;

/// A member of a room and a peer that sends to the room, to check that other connections still work.
struct Bystanders {
    receiver: Peer,
    sender: Peer,
}

impl Bystanders {
    async fn new(server: &TestServer) -> Self {
        let (mut receiver, sender) = (server.peer().await, server.peer().await);
        receiver.request("/join", json!("bystanders")).await;
        Bystanders { receiver, sender }
    }

    async fn assert_unaffected(&mut self) {
        assert_eq!(self.sender.request("/send", json!(["#bystanders", "all well"])).await, 1);
        assert_eq!(self.receiver.next_event().await, ("message".into(), json!("all well")));
    }
}

#[tokio::test]
async fn invalid_frames_are_ignored_and_the_connection_stays_open() {
    let server = TestServer::start(app()).await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut peer = server.peer().await;
    let deep =
        format!(r#"{{"event":"/echo","ackId":1,"data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for invalid in ["", "{", "null", "[]", "7", "\"x\"", "{}", "{bad", r#"{"data":1,"ackId":1}"#, "\0", &deep]
    {
        peer.send_text(invalid).await;
    }
    peer.send_binary(b"\xff\xfe\x00").await;
    peer.quiet().await;
    bystanders.assert_unaffected().await;
}

#[tokio::test]
async fn a_type_other_than_ack_is_ignored_and_the_frame_is_an_event() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    for other in [json!("event"), json!("foo"), json!("ACK"), json!(7), json!(["ack"]), json!(null)] {
        peer.send(&json!({ "event": "/echo", "data": other, "ackId": "b", "type": other })).await;
        let data = if other.is_null() { json!({}) } else { other };
        assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "b", "data": data }));
    }
}

#[tokio::test]
async fn a_frame_with_strings_that_rust_cannot_represent_is_handled() {
    let app = app().on("/forward", async |data: switchboard::Payload| data);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send_text(r#"{"event":"/echo","x\ud83d":1,"ackId":1,"data":2}"#).await;
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": 1, "data": 2 }));
    peer.send_text(r#"{"\udfff":{},"event":"/forward","data":{"\ud800":"\ud83d"},"ackId":"\ud800"}"#).await;
    assert_eq!(peer.next_text().await, r#"{"type":"ack","ackId":"\ud800","data":{"\ud800":"\ud83d"}}"#);
    peer.send_text(r#"{"event":"/\ud800","ackId":1}"#).await;
    let error = r#"No handler for: "/\ud800""#;
    assert_eq!(peer.next().await["data"], json!({ "error": error }));
}

#[tokio::test]
async fn a_reserved_or_invalid_event_name_is_answered_as_an_unknown_event() {
    let must_not_run = async || -> () { panic!("a peer must not run a system handler") };
    let app = app().on("@connection", async || ()).on("@ping", must_not_run).on("@any", async || ());
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for (event, shown) in [
        (json!("@disconnect"), "@disconnect"),
        (json!("@ping"), "@ping"),
        (json!(5), "5"),
        (json!(""), ""),
        (json!("x".repeat(1000)), &"x".repeat(64)),
    ] {
        peer.send(&json!({ "event": event, "ackId": 1 })).await;
        let error = format!("No handler for: {shown}");
        assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": 1, "data": { "error": error } }));
        peer.send(&json!({ "event": event })).await;
    }
    peer.quiet().await;
}

#[tokio::test]
async fn numbers_and_duplicate_keys_are_parsed_as_in_javascript() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    peer.send_text(r#"{"event":"/nope","event":"/echo","data":1,"data":2,"ackId":1}"#).await;
    assert_eq!(peer.next().await["data"], 2);
    peer.send_text(r#"{"event":"/echo","data":1e400,"ackId":1}"#).await;
    assert_eq!(peer.next().await["data"]["code"], "bad_data");
    for falsy in ["0", "\"\"", "false", "null", "-0.0"] {
        peer.send_text(format!(r#"{{"event":"/echo","data":{falsy},"ackId":1}}"#)).await;
        assert_eq!(peer.next().await["data"], json!({}));
    }
    peer.send_binary(br#"{"event":"/echo","data":[1],"ackId":{"a":1}}"#).await;
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": { "a": 1 }, "data": [1] }));
}

#[tokio::test]
async fn a_protocol_violation_closes_the_connection_with_its_code() {
    let server = TestServer::start(app()).await;
    let mut bystanders = Bystanders::new(&server).await;
    let big = vec![b'x'; 1024 * 1024 + 1];
    for (violation, bytes, code) in [
        ("an unmasked frame", b"\x81\x01x".to_vec(), 1002),
        ("a reserved opcode", frame(0x83, b""), 1002),
        ("a reserved bit", frame(0xc1, b""), 1002),
        ("a lone continuation", frame(0x80, b""), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("text that is not UTF-8", frame(0x81, b"\xff"), 1007),
        ("a message over the limit", frame(0x82, &big), 1009),
        ("a reserved close code", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("a close", frame(0x88, &1000_u16.to_be_bytes()), 1000),
    ] {
        let mut peer = server.raw().await;
        // The server may close before it has read all bytes, so an error is expected.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &bytes).await;
        assert_eq!(peer.close_code().await, code, "{violation}");
        bystanders.assert_unaffected().await;
    }
}

#[tokio::test]
async fn a_close_is_answered_after_the_replies_to_earlier_frames() {
    let server = TestServer::start(app()).await;
    let mut peer = server.raw().await;
    let echo = frame(0x81, br#"{"event":"/echo","data":1,"ackId":1}"#);
    peer.send(&[echo, frame(0x88, b"\x0f\xa0bye")].concat()).await;
    let answer = peer.read_to_end().await;
    let reply = br#"{"type":"ack","ackId":1,"data":1}"#;
    assert_eq!(answer[2..2 + reply.len()], reply[..]);
    assert_eq!(answer[2 + reply.len()..], b"\x88\x02\x0f\xa0"[..]);
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let server = TestServer::start(app()).await;
    let mut peer = server.raw().await;
    peer.send(&frame(0x89, b"test payload!")).await;
    let mut pong = [0; 15];
    soon("the pong", peer.stream.read_exact(&mut pong)).await.unwrap();
    assert_eq!(&pong, b"\x8a\x0dtest payload!");
}

#[tokio::test]
async fn a_message_received_one_byte_at_a_time_is_handled() {
    let server = TestServer::start(app()).await;
    let mut peer = server.raw().await;
    let bytes = frame(0x81, br#"{"event":"/echo","data":"in pieces","ackId":1}"#);
    for byte in bytes {
        peer.send(&[byte]).await;
    }
    let mut reply = vec![0; 2 + r#"{"type":"ack","ackId":1,"data":"in pieces"}"#.len()];
    soon("the reply", peer.stream.read_exact(&mut reply)).await.unwrap();
    assert!(reply.ends_with(br#""data":"in pieces"}"#));
}

#[tokio::test]
async fn an_invalid_handshake_is_refused_with_an_http_status() {
    let server = TestServer::start(app()).await;
    for (fault, request, status) in [
        ("plain HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426"),
        ("another version", HANDSHAKE.replace("Version: 13", "Version: 8"), "426"),
        ("a bad key", HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400"),
        ("another method", HANDSHAKE.replace("GET", "POST"), "405"),
        ("no HTTP at all", "\x16\x03\x01 hello\r\n\r\n".to_owned(), "400"),
    ] {
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(request.as_bytes()).await;
        let head = peer.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{fault}: {head}");
    }
}

#[tokio::test]
async fn a_frame_sent_with_the_handshake_is_handled() {
    let server = TestServer::start(app()).await;
    let mut peer = RawPeer::connect(server.address).await;
    let early = frame(0x81, br#"{"event":"/echo","data":1,"ackId":1}"#);
    peer.send(&[HANDSHAKE.as_bytes(), &early].concat()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    let mut reply = [0; 35];
    soon("the reply", peer.stream.read_exact(&mut reply)).await.unwrap();
    assert_eq!(&reply[2..], br#"{"type":"ack","ackId":1,"data":1}"#);
}
