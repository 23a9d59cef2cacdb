//! Dry runs: the sentences that say whether a message would arrive, and why not.

use std::sync::Arc;

use serde_json::json;
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::trace::{ExplainError, Planned};
use switchboard::{App, Data, HistoryLimits, Reply, ReplyError, Resuming, Socket, SocketId, Target};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{Peer, TestServer, until};

use crate::explain::{timeless, verify};

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join(&room)?))
}

fn app() -> App {
    App::new()
        .on("/join", join)
        .on("/id", async |socket: Socket| Reply(socket.id()))
        .with_verifier(verify)
        .with_resume(Resuming::default())
        .with_room_history("kept", HistoryLimits::default())
}

async fn connect(server: &TestServer, token: &str) -> (Peer, SocketId) {
    let token = token.replace(' ', "%20").replace('"', "%22").replace('#', "%23");
    let mut peer = Peer::connect(&server.url(&format!("/?sb=1&token={token}"))).await;
    assert_eq!(peer.next_event().await.0, "@session");
    assert_eq!(peer.next_event().await.0, "@identified");
    let id = serde_json::from_value(peer.request("/id", json!({})).await).unwrap();
    (peer, id)
}

async fn detach(server: &TestServer, peer: Peer, id: SocketId) {
    drop(peer);
    until("the session is detached", async || server.app.socket(id).unwrap().is_detached()).await;
}

/// Whether a message would arrive, and the sentences. Durations are `N ms`.
async fn explain(app: &App, planned: Planned) -> (bool, Vec<String>) {
    let explanation = app.explain(&planned).await.unwrap();
    (explanation.would_arrive, explanation.sentences.iter().map(|sentence| timeless(sentence)).collect())
}

fn to(recipients: &str) -> Planned {
    Planned::new(recipients, "order")
}

const NO_INBOX: &str = "The inbox is off, so messages are not stored for later.";

#[tokio::test]
async fn a_connected_user_would_receive_it_and_an_offline_one_would_not() {
    let server = TestServer::start(app()).await;
    let _peer = connect(&server, "7").await;
    let online = explain(&server.app, to("user:7")).await;
    let expected = ["User 7 has one socket. It would receive it.", NO_INBOX];
    assert_eq!(online, (true, expected.map(str::to_owned).to_vec()));
    let (arrives, sentences) = explain(&server.app, to("user:8")).await;
    assert_eq!((arrives, &*sentences[0]), (false, "User 8 has no socket on any node."));
    let (arrives, sentences) = explain(&server.app, to("#empty")).await;
    assert_eq!((arrives, &*sentences), (false, &["#empty has no socket on any node.".to_owned()][..]));
}

#[tokio::test]
async fn a_user_who_is_not_in_the_room_is_named() {
    let server = TestServer::start(app()).await;
    let (mut peer, _) = connect(&server, "7").await;
    let planned = to("#lobby").with_user("7");
    let (arrives, sentences) = explain(&server.app, planned.clone()).await;
    let outside = "User 7 has one socket. It is not in #lobby, so it would not receive it.";
    assert_eq!((arrives, &*sentences[0]), (false, outside));
    peer.request("/join", json!("lobby")).await;
    let (arrives, sentences) = explain(&server.app, planned).await;
    assert_eq!((arrives, &*sentences[0]), (true, "User 7 has one socket. It would receive it."));
}

#[tokio::test]
async fn a_sender_without_the_right_or_without_a_connection_is_named() {
    let server = TestServer::start(app()).await;
    let (_seven, _) = connect(&server, "7").await;
    let (peer, id) = connect(&server, "8 {\"#lobby\":\"s\"}").await;
    let (arrives, sentences) = explain(&server.app, to("user:7").with_sender(id)).await;
    let refused = format!("It would be refused: socket {id} has no send right on user:7.");
    assert_eq!((arrives, &sentences[0]), (false, &refused));
    let (_, sentences) = explain(&server.app, to("#lobby").with_sender(id)).await;
    assert_eq!(sentences, ["#lobby has no socket on any node."]);
    peer.close().await;
    until("it is gone", async || server.app.socket(id).is_none()).await;
    let (arrives, sentences) = explain(&server.app, to("user:7").with_sender(id)).await;
    let unknown = format!("No node has the sender, socket {id}, so it could not send.");
    assert_eq!((arrives, &sentences[0]), (false, &unknown));
}

#[tokio::test]
async fn the_sender_itself_would_not_receive_it() {
    let server = TestServer::start(app()).await;
    let (_peer, id) = connect(&server, "7").await;
    let (arrives, sentences) = explain(&server.app, to("@everyone").with_sender(id)).await;
    let own = "User 7 has one socket. It is the sender, which does not receive its own message.";
    assert_eq!((arrives, &*sentences[0]), (false, own));
}

#[tokio::test]
async fn a_detached_session_would_receive_only_what_is_kept() {
    let server = TestServer::start(app()).await;
    let (mut peer, id) = connect(&server, "7").await;
    peer.request("/join", json!("kept")).await;
    detach(&server, peer, id).await;
    let misses = "It is detached since N ms and would miss it: neither an inbox nor a history would have it.";
    let (arrives, sentences) = explain(&server.app, to("user:7")).await;
    assert_eq!((arrives, &sentences[0]), (false, &format!("User 7 has one socket. {misses}")));
    let resumes = "User 7 has one socket. It is detached since N ms and would receive it on resume.";
    let (arrives, sentences) = explain(&server.app, to("#kept")).await;
    let keeps = "#kept keeps its last 200 messages for N min.";
    assert_eq!((arrives, sentences), (false, vec![resumes.to_owned(), keeps.to_owned()]));
}

#[tokio::test]
async fn waiting_messages_of_the_inbox_are_counted() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits::default()));
    let server = TestServer::start(app().with_inbox(inbox)).await;
    let stores = "Sent with `inbox`, it would also be stored until a client acknowledges it;";
    for (count, waits) in [(0, "no messages wait"), (1, "one message waits"), (2, "two messages wait")] {
        let (_, sentences) = explain(&server.app, to("user:8")).await;
        assert_eq!(sentences[1], format!("{stores} {waits} there."), "{count}");
        server.app.to(Target::user("8").unwrap()).dispatch("order", &count).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_the_protocol_reserves_would_not_arrive() {
    let server = TestServer::start(app()).await;
    let _peer = connect(&server, "7").await;
    let (arrives, sentences) = explain(&server.app, Planned::new("user:7", "@session")).await;
    let reserved = "It would not receive it: its protocol reserves the name of the event.";
    assert_eq!((arrives, &sentences[0]), (false, &format!("User 7 has one socket. {reserved}")));
}

#[tokio::test]
async fn sockets_of_all_nodes_are_described() {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        nodes.push(TestServer::start(app().with_bus(Arc::new(bus))).await);
    }
    let (_near, far) = (connect(&nodes[0], "7").await, connect(&nodes[1], "7").await);
    nodes[1].app.settled().await;
    for node in &nodes {
        let explanation = node.app.explain(&to("user:7")).await.unwrap();
        assert!(explanation.would_arrive);
        let two = "User 7 has two sockets. One would receive it. The other would receive it.";
        assert_eq!(explanation.sentences[0], two);
        assert_eq!(explanation.nodes.len(), 2);
        let (_, sentences) = explain(&node.app, to(&format!("socket:{}", far.1))).await;
        assert_eq!(sentences[0], "User 7 has one socket. It would receive it.");
    }
}

#[tokio::test]
async fn an_invalid_question_is_refused_with_its_part() {
    let app = app();
    let explain = async |planned: Planned| app.explain(&planned).await.unwrap_err();
    for recipients in ["", "lobby", "team:7", "socket:7"] {
        assert!(matches!(explain(to(recipients)).await, ExplainError::To(..)), "{recipients}");
    }
    assert!(matches!(explain(Planned::new("user:7", "")).await, ExplainError::Event(_)));
    assert!(matches!(explain(to("user:7").with_user("")).await, ExplainError::User(_)));
}
