//! The applications of the binary: data is forwarded as it was received, and bounded where it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use switchboard::{App, Koji};
use switchboard_server::Mode;
use switchboard_testkit::{KojiPeer, Peer, TestServer};

async fn demo() -> TestServer {
    TestServer::start(Mode::Demo.install(App::new().with_koji(Koji::new()))).await
}

async fn reply_to(peer: &mut Peer, event: &str, data: &str) -> String {
    peer.send_text(format!(r#"{{"event":"{event}","data":{data},"ackId":1}}"#)).await;
    let reply = peer.next_text().await;
    let data = reply.strip_prefix(r#"{"type":"ack","ackId":1,"data":"#);
    data.and_then(|data| data.strip_suffix('}')).unwrap_or_else(|| panic!("no reply: {reply}")).to_owned()
}

#[tokio::test]
async fn what_a_client_leaves_out_stays_absent() {
    let server = demo().await;
    let mut peer = server.peer().await;
    peer.request("/join", json!({})).await;
    for (sent, received) in [
        (json!({ "text": "hi" }), json!({ "text": "hi" })),
        (json!({ "text": null }), json!({ "text": null })),
        (json!({}), json!({})),
    ] {
        peer.emit("/message", sent).await;
        assert_eq!(peer.next_event().await, ("message".into(), received));
    }
    let me = peer.request("/whoami", json!({})).await["id"].clone();
    assert_eq!(peer.request("/who", json!({})).await, json!({ "members": [{ "id": me }] }));
    let mut other = server.peer().await;
    other.request("/join", json!({})).await;
    let (name, joined) = peer.next_event().await;
    assert_eq!((name.as_str(), joined.as_object().unwrap().len()), ("user-joined", 1));
    assert_eq!(other.request("/leave", json!({})).await, json!({}));
    let (name, left) = peer.next_event().await;
    assert_eq!((name.as_str(), left.as_object().unwrap().len()), ("user-left", 1));
    assert_eq!(other.request("/slow", json!({})).await, json!({}));
    peer.request("/login", json!({ "userId": "7" })).await;
    other.request("/dm", json!({ "to": "7" })).await;
    assert_eq!(peer.next_event().await, ("dm".into(), json!({})));
    other.request("/to", json!({ "id": me, "event": "bare" })).await;
    assert_eq!(peer.next_event().await, ("bare".into(), json!({})));
    other.request("/announce", json!({ "to": "#chat" })).await;
    assert_eq!(peer.next_event().await, ("announcement".into(), json!({})));
}

#[tokio::test]
async fn numbers_keep_their_digits_and_strings_their_escapes() {
    let server = demo().await;
    let mut peer = server.peer().await;
    for data in ["[1,1e400]", "-1e400", "12345678901234567890123", "1.50", "1E2", r#"{"\ud800":"\udfff"}"#] {
        assert_eq!(reply_to(&mut peer, "/echo", data).await, format!(r#"{{"data":{data}}}"#));
    }
    assert_eq!(reply_to(&mut peer, "/slow", r#"{"ms":1.0}"#).await, r#"{"slow":1.0}"#);
    assert_eq!(reply_to(&mut peer, "/join", r#"{"room":"n","x":1e400}"#).await, r#"{"joined":"n"}"#);
    peer.send_text(r#"{"event":"/message","data":{"room":"n","text":[1e400,"\ud800"],"\ud800":0}}"#).await;
    assert_eq!(peer.next_text().await, r#"{"event":"message","data":{"text":[1e400,"\ud800"]}}"#);
    let announced = reply_to(&mut peer, "/tag", r#"{"tag":"t"}"#).await;
    assert_eq!(announced, r#"{"ok":true}"#);
    peer.send_text(r#"{"event":"/announce","data":{"to":"*t","data":1e400}}"#).await;
    assert_eq!(peer.next_text().await, r#"{"event":"announcement","data":1e400}"#);
    peer.send_text(r#"{"event":"/ask","data":{"n":1e400},"ackId":1}"#).await;
    let question = peer.next().await;
    assert_eq!(question["data"]["n"], "1e400", "as the test reads such a number");
    let ack = question["ackId"].as_str().unwrap();
    peer.send_text(format!(r#"{{"type":"ack","ackId":"{ack}","data":[1e400]}}"#)).await;
    assert_eq!(peer.next_text().await, r#"{"type":"ack","ackId":1,"data":{"answer":[1e400]}}"#);
}

#[tokio::test]
async fn the_relay_forwards_messages_unchanged() {
    let server = TestServer::start(Mode::Serve.install(App::new())).await;
    let (mut ann, mut bob) = (server.peer().await, server.peer().await);
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.request("/join", json!({ "room": "r" })).await, json!({ "joined": "r" }));
    }
    let data = r#"{"\ud800":0, "room" : "r","sum":1e400,"text":"\udc00","room":"r"}"#;
    ann.send_text(format!(r#"{{"event":"/message","data":{data}}}"#)).await;
    assert_eq!(bob.next_text().await, format!(r#"{{"event":"message","data":{data}}}"#));
    let expected = "`room` is not a string; expected an object such as {\"room\":\"…\"}";
    for (data, error) in
        [(json!({}), expected), (json!("r"), expected), (json!({ "room": "" }), "a name cannot be empty")]
    {
        let refused = ann.request("/join", data).await;
        assert_eq!(refused, json!({ "error": error, "code": "bad_data" }));
    }
}

#[tokio::test]
async fn a_long_username_is_refused_and_not_stored() {
    let server = demo().await;
    let mut peer = server.peer().await;
    let longest = "é".repeat(128);
    peer.request("/join", json!({ "username": longest })).await;
    for long in [format!("{longest}x"), "x".repeat(1_000_000)] {
        let refused = peer.request("/join", json!({ "username": long })).await;
        let error = "`username` has more than 256 bytes";
        assert_eq!(refused, json!({ "error": error, "code": "bad_data" }));
    }
    let members = peer.request("/who", json!({})).await;
    assert_eq!(members["members"][0]["username"], longest);
}

#[tokio::test]
async fn no_client_can_send_a_reserved_event_to_another_through_the_demo() {
    let server = demo().await;
    let mut koji = KojiPeer::join(&server, "projectId=default").await;
    let mut peer = server.peer().await;
    for event in ["@@KOJI_DISPATCH/CONNECTED", "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED", "@disconnect"] {
        let refused = peer.request("/to", json!({ "id": koji.id, "event": event, "data": {} })).await;
        assert_eq!(refused["code"], "bad_data", "{event}");
    }
    let sent = peer.request("/to", json!({ "id": koji.id, "event": "hi", "data": [] })).await;
    assert_eq!(sent, json!({ "ok": true }));
    assert_eq!(koji.next_event().await, ("hi".into(), json!([])));
}

#[tokio::test]
async fn an_event_that_fails_on_purpose_costs_no_backtrace() {
    let is_called = Arc::new(AtomicBool::new(false));
    let hook = is_called.clone();
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() == Some(&"thrown on purpose") {
            hook.store(true, Ordering::Relaxed);
        }
        previous(panic);
    }));
    let server = demo().await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/throw", "ackId": 1 })).await;
    let pong: Value = peer.request("/ping", json!({})).await;
    assert_eq!(pong["pong"], true, "there is no reply, and the connection stays open");
    assert!(!is_called.load(Ordering::Relaxed), "the panic hook prints the backtrace");
}
