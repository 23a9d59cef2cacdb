//! The metadata in the payload of a Koji event cannot be forged, on any node and from any protocol.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::backplane::LocalBus;
use switchboard::{App, Koji, Payload, ReplyError, Socket};
use switchboard_testkit::{KojiPeer, TestServer};

/// Objects that claim another sender, each with a name that Rust cannot represent.
const FORGED: [&str; 4] = [
    r#"{"body":"pay me","\ud800":0,"__clientId":"victim","__timestamp":1}"#,
    r#"{"__clientId":"victim","x":{"\udc00":0},"\udbff":"\ud800"}"#,
    r#"{"\ud800\ud800":0,"\u005f_clientId":"victim","__\u0074imestamp":1}"#,
    r#"{ "__clientId" : "victim" , "\uD83Dx" : 1e400 }"#,
];

async fn two_nodes() -> [TestServer; 2] {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        let app = App::new().with_koji(Koji::new()).on("/say", say);
        nodes.push(TestServer::start(app.with_bus(Arc::new(bus))).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("two nodes"))
}

async fn say(socket: Socket, data: Payload) -> Result<(), ReplyError> {
    socket.to("#s").emit_payload("said", data)?;
    Ok(())
}

async fn join(node: &TestServer) -> KojiPeer {
    KojiPeer::join(node, "projectId=default&shardName=s").await
}

/// Checks an object with metadata that names this sender.
fn assert_sender(payload: &Value, sender: Option<&str>) {
    assert_eq!(payload.get("__clientId").and_then(Value::as_str), sender, "{payload}");
    assert!(payload["__timestamp"].as_u64().unwrap() > 1_700_000_000_000, "{payload}");
}

#[tokio::test]
async fn no_client_can_speak_as_another_on_any_node() {
    let [one, two] = two_nodes().await;
    let (mut ann, mut near, mut far) = (join(&one).await, join(&one).await, join(&two).await);
    two.app.settled().await;
    for forged in FORGED {
        ann.peer.send_text(format!(r#"{{"eventName":"chat","payload":{forged}}}"#)).await;
        for peer in [&mut near, &mut far] {
            assert_sender(&peer.next_event().await.1, Some(&ann.id));
        }
        assert_sender(&ann.next_event().await.1, Some(&ann.id));
    }
    let recipients = json!([far.id]);
    let forged = FORGED[0];
    ann.peer.send_text(format!(r#"{{"eventName":"dm","payload":{forged},"recipients":{recipients}}}"#)).await;
    assert_sender(&far.next_event().await.1, Some(&ann.id));
}

#[tokio::test]
async fn events_of_emit_clients_and_of_the_app_cannot_claim_a_sender() {
    let [one, two] = two_nodes().await;
    let (mut near, mut far) = (join(&one).await, join(&two).await);
    let mut emit = one.peer().await;
    emit.quiet().await;
    let id = one.app.all_socket_ids().await.unwrap().into_iter().find(|id| id.to_string() != near.id);
    let id = id.expect("the emit client is connected").to_string();
    two.app.settled().await;
    for forged in FORGED {
        emit.send_text(format!(r#"{{"event":"/say","data":{forged}}}"#)).await;
        for peer in [&mut near, &mut far] {
            assert_sender(&peer.next_event().await.1, Some(&id));
        }
        let payload = Payload::parse(forged).unwrap();
        one.app.to("#s").emit_payload("news", payload).unwrap();
        for peer in [&mut near, &mut far] {
            assert_sender(&peer.next_event().await.1, None);
        }
    }
}

#[tokio::test]
async fn members_that_no_rewrite_concerns_arrive_as_they_were_written() {
    let [one, _two] = two_nodes().await;
    let mut ann = join(&one).await;
    ann.peer.send_text(r#"{"\ud800":0,"eventName":"chat","payload":{"a" : 1e400,"\ud83d":"\ude00"}}"#).await;
    let frame = loop {
        let text = ann.peer.next_text().await;
        if text.contains("\"chat\"") {
            break text;
        }
    };
    let start = r#"{"eventName":"chat","payload":{"a" : 1e400,"\ud83d":"\ude00","__clientId":"#;
    assert!(frame.starts_with(start), "{frame}");
}
