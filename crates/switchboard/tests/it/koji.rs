//! The Koji protocol over real sockets: connecting, events, recipients, and tokens.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::protocols::ProjectRules;
use switchboard::{App, Koji, Mesa, ProjectId, UserId};
use switchboard_testkit::{KojiPeer, Peer, RawPeer, TestServer, until};

pub(crate) fn app() -> App {
    App::new().with_koji(Koji::new())
}

pub(crate) async fn start() -> TestServer {
    TestServer::start(app()).await
}

pub(crate) async fn with_rules(rules: ProjectRules) -> TestServer {
    TestServer::start(App::new().with_koji(Koji::new().with_rules(rules))).await
}

pub(crate) async fn join(server: &TestServer, query: &str) -> KojiPeer {
    KojiPeer::join(server, query).await
}

/// Two clients on the shard `s` of the project `p`, both with the complete member list.
pub(crate) async fn two(server: &TestServer) -> (KojiPeer, KojiPeer) {
    let mut one = join(server, "projectId=p&shardName=s").await;
    let mut two = join(server, "projectId=p&shardName=s").await;
    one.list_of(2).await;
    two.list_of(2).await;
    (one, two)
}

pub(crate) fn without_metadata(mut payload: Value) -> Value {
    let object = payload.as_object_mut().expect("the payload is an object");
    for key in ["__clientId", "__timestamp", "clientId", "timestamp"] {
        object.remove(key);
    }
    payload
}

/// Sends `GET path` and returns the head and the body of the response.
pub(crate) async fn get(server: &TestServer, path: &str) -> (String, String) {
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let head = raw.read_head().await;
    let body = String::from_utf8(raw.read_to_end().await).unwrap();
    (head, body)
}

pub(crate) async fn shards(server: &TestServer, project: &str) -> Value {
    serde_json::from_str(&get(server, &format!("/info/{project}")).await.1).unwrap()
}

pub(crate) async fn until_shards_are(server: &TestServer, project: &str, expected: Value) {
    until("the project has these shards", async || shards(server, project).await == expected).await;
}

pub(crate) async fn status(server: &TestServer, path: &str) -> String {
    Peer::try_connect(&server.url(path), &[]).await.err().unwrap_or_default()
}

pub(crate) fn identity(user: UserId) -> switchboard::Identity {
    switchboard::Identity::new(user)
}

/// A client that knows its id may give it to others, and they may send to it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_received_connected_is_a_member_of_its_shard() {
    let has_run = Arc::new(AtomicBool::new(false));
    let hook = {
        let has_run = has_run.clone();
        move || {
            // Occupies this thread, so that another one could send the first frame meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            has_run.store(true, Ordering::Relaxed);
            ready(())
        }
    };
    let server = TestServer::start(App::new().with_koji(Koji::new().on("@connection", hook))).await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    assert!(has_run.swap(false, Ordering::Relaxed), "the hook runs before the first frame is sent");
    for n in 0..20 {
        let mut bob = join(&server, "projectId=p&shardName=s").await;
        ann.emit("tap", json!([n])).await;
        assert_eq!(bob.next_event().await, ("tap".into(), json!([n])));
    }
}

#[tokio::test]
async fn a_client_receives_its_shard_and_then_the_member_list() {
    let server = start().await;
    let mut ann = join(&server, "maxConnectionsPerShard=100&projectId=p").await;
    assert_eq!(ann.shard, "shard-1");
    let list = ann.next_list().await;
    let entry = &list[&ann.id];
    assert_eq!((list.as_object().unwrap().len(), &entry["userInfo"]), (1, &json!({})));
    assert!(entry["lastPing"].as_u64().unwrap() > 1_700_000_000_000, "{entry}");
    let named = join(&server, "projectId=p&shardName=a%20%23b").await;
    assert_eq!(named.shard, "a #b");
    let mut at_koji = Peer::connect(&server.url("/koji")).await;
    assert_eq!(at_koji.next().await["payload"]["shardName"], "shard-1");
    assert_eq!(
        shards(&server, "undefined").await,
        json!([{ "shardName": "shard-1", "numConnectedClients": 1 }])
    );
}

#[tokio::test]
async fn addresses_are_compared_by_the_segments_of_their_path() {
    let server = TestServer::start(app().with_mesa(Mesa::new())).await;
    for path in ["/koji/?projectId=p", "//koji?projectId=p", "//?projectId=p", "/%6Boji/?projectId=p"] {
        let mut koji = Peer::connect(&server.url(path)).await;
        assert_eq!(koji.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED", "{path}");
    }
    for path in ["/mesa/", "//mesa", "/mesa//any"] {
        let mut mesa = Peer::connect(&server.url(path)).await;
        assert_eq!(mesa.next().await["op"], 10, "{path}");
    }
    for path in ["/kojis", "/chat/koji", "/chat?projectId=p", "/KOJI"] {
        Peer::connect(&server.url(path)).await.quiet().await;
    }
    let named = join(&server, "projectId=p&shardName=a").await;
    assert_eq!(get(&server, "//info/p").await.1, get(&server, "/info/p").await.1);
    drop(named);
}

#[tokio::test]
async fn an_event_reaches_the_whole_shard_with_its_sender_and_time() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    let mut on_other_shard = join(&server, "projectId=p&shardName=other").await;
    let mut in_other_project = join(&server, "projectId=q&shardName=s").await;
    ann.emit("chat", json!({ "body": "hi", "clientId": "mine" })).await;
    for peer in [&mut ann, &mut bob] {
        let (name, payload) = peer.next_event().await;
        assert_eq!(name, "chat");
        assert!(payload["__timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(payload["timestamp"], payload["__timestamp"]);
        assert_eq!(payload["clientId"], "mine");
    }
    bob.peer.send_text(r#"{"eventName":"new_tap"}"#).await;
    let (_, payload) = ann.next_event().await;
    assert_eq!((&payload["__clientId"], &payload["clientId"]), (&json!(bob.id), &json!(bob.id)));
    assert_eq!(without_metadata(payload), json!({}));
    bob.next_event().await;
    bob.peer.send_binary(br#"{"eventName":"list","payload":[1,null]}"#).await;
    assert_eq!(ann.next_event().await, ("list".into(), json!([1, null])));
    on_other_shard.quiet().await;
    in_other_project.quiet().await;
}

#[tokio::test]
async fn events_of_one_sender_arrive_once_and_in_order() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    for n in 0..500 {
        ann.emit("n", json!(n)).await;
    }
    for n in 0..500 {
        assert_eq!(bob.next_event().await, ("n".into(), json!(n)));
    }
    bob.quiet().await;
}

#[tokio::test]
async fn an_event_with_recipients_reaches_only_them_on_any_shard_of_the_project() {
    let app = app().with_verifier(async |token: String| UserId::new(&token).map(identity));
    let server = TestServer::start(app).await;
    let (mut ann, mut bob) = two(&server).await;
    let mut carl = join(&server, "projectId=p&shardName=other&authorization=carl").await;
    let in_other_project = join(&server, "projectId=q&authorization=carl").await;
    let to = json!([carl.id, "carl", carl.id, bob.id, 5, null, ["x"], "nobody"]);
    ann.emit_to("some", json!({ "x": 1 }), to).await;
    for peer in [&mut bob, &mut carl] {
        let (name, payload) = peer.next_event().await;
        assert_eq!((name.as_str(), without_metadata(payload)), ("some", json!({ "x": 1 })));
        peer.quiet().await;
    }
    ann.emit_to("one", json!("text"), json!("carl")).await;
    assert_eq!(carl.next_event().await, ("one".into(), json!("text")));
    for without_match in
        [json!([]), json!(["unknown"]), json!({ "a": 1 }), json!(7), json!([in_other_project.id])]
    {
        ann.emit_to("nobody", json!({}), without_match).await;
    }
    ann.quiet().await;
    for mut peer in [bob, carl, in_other_project] {
        peer.quiet().await;
    }
}

#[tokio::test]
async fn a_token_authenticates_the_connection_and_an_invalid_one_changes_nothing() {
    let app = app().with_verifier(async |token: String| match token.strip_prefix("user:") {
        Some(user) => UserId::new(user).map(identity).map_err(|error| error.to_string()),
        None => Err("no such token".to_owned()),
    });
    let server = TestServer::start(app).await;
    let (mut ann, mut bob) = two(&server).await;
    bob.identify("user:7").await;
    bob.identify("user:7").await;
    bob.identify("nonsense").await;
    bob.quiet().await;
    ann.emit_to("dm", json!(1), json!(["7"])).await;
    assert_eq!(bob.next_event().await, ("dm".into(), json!(1)));
    bob.identify("user:8").await;
    bob.quiet().await;
    ann.emit_to("dm", json!(2), json!(["7"])).await;
    ann.emit_to("dm", json!(3), json!(["8"])).await;
    assert_eq!(bob.next_event().await, ("dm".into(), json!(3)));
    bob.quiet().await;
    assert!(server.app.project(&ProjectId::new("p").unwrap()).is_user_online("8").await.unwrap());
    bob.emit("hi", json!({})).await;
    let payload = ann.next_event().await.1.to_string();
    assert!(!payload.contains("user") && !payload.contains('8') || !payload.contains("\"8\""), "{payload}");
}

#[tokio::test]
async fn an_expired_token_logs_the_user_out_and_the_connection_stays() {
    let app = app().with_verifier(async |_: String| {
        let expires = Some(std::time::SystemTime::now() + Duration::from_secs(2));
        UserId::new("7").map(|user| switchboard::Identity { expires, ..switchboard::Identity::new(user) })
    });
    let server = TestServer::start(app).await;
    let mut ann = join(&server, "projectId=p&authorization=t").await;
    let project = server.app.project(&ProjectId::new("p").unwrap());
    assert!(project.is_user_online("7").await.unwrap());
    until("the token expires", async || !project.is_user_online("7").await.unwrap()).await;
    ann.quiet().await;
}

#[tokio::test]
async fn shutdown_closes_with_1012_so_that_clients_reconnect() {
    let mut server = start().await;
    let mut ann = join(&server, "projectId=p").await;
    server.begin_stop();
    assert_eq!(ann.peer.closed().await.0, 1012);
    drop(ann);
    server.stopped().await;
}
