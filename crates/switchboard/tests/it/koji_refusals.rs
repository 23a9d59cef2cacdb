//! What the Koji protocol refuses: paths, projects, frames, and events against the rules of a project.

use serde_json::json;
use switchboard::protocols::ProjectRules;
use switchboard::{App, Koji, UserId};
use switchboard_testkit::{Peer, RawPeer, TestServer, raw, soon};

use crate::koji::{identity, join, start, status, two, until_shards_are};

#[tokio::test]
async fn a_path_that_no_protocol_serves_is_refused() {
    let server = start().await;
    for path in ["/koji/x", "/koji/x?projectId=p", "//koji//info/"] {
        assert!(status(&server, path).await.contains("404"), "{path}");
    }
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(raw::HANDSHAKE.replace("GET / ", "GET /koji/x ").as_bytes()).await;
    raw.read_head().await;
    let body = soon("the reason", async {
        let mut body = [0; 66];
        tokio::io::AsyncReadExt::read_exact(&mut raw.stream, &mut body).await.map(|_| body)
    });
    let body = String::from_utf8(body.await.unwrap().to_vec()).unwrap();
    assert_eq!(body, "no protocol is served at this path; Koji clients connect to /koji\n");
}

#[tokio::test]
async fn invalid_names_and_forbidden_projects_are_refused_in_the_handshake() {
    let server = start().await;
    let long = "x".repeat(257);
    for path in [format!("/?projectId=p&shardName={long}"), format!("/?projectId={long}")] {
        let error = status(&server, &path).await;
        assert!(error.contains("400"), "{error}");
    }
    for invalid in ["0", "-1", "1e9", "NaN", "x", "", "0x10", "%00", "10001", "[]"] {
        join(&server, &format!("projectId=invalid&maxConnectionsPerShard={invalid}")).await;
    }
    let only_p = Koji::new()
        .with_projects(|id| (*id == "p").then(|| ProjectRules::default().into()))
        .with_undefined_project(false);
    let server = TestServer::start(App::new().with_koji(only_p)).await;
    join(&server, "projectId=p").await;
    assert!(status(&server, "/?projectId=q").await.contains("403"));
    assert!(status(&server, "/koji").await.contains("400"));
}

#[tokio::test]
async fn invalid_frames_are_ignored_and_do_not_affect_other_clients() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    let deep = format!(r#"{{"eventName":"a","payload":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let long = json!({ "eventName": "x".repeat(257) }).to_string();
    let over = format!(r#"{{"eventName":"a","payload":"{}"}}"#, "x".repeat(128_000));
    for invalid in [
        "",
        "{",
        "null",
        "[]",
        "5",
        "{}",
        "\"x\"",
        r#"{"eventName":5}"#,
        r#"{"eventName":""}"#,
        r#"{"event":"a","data":1}"#,
        r#"{"eventName":"a","recipients":5}"#,
        &deep,
        &long,
        &over,
        r#"{"eventName":"@@KOJI_DISPATCH/CONNECTED","payload":{"clientId":"x","shardName":"y"}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED","payload":{"connectedClients":{}}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":{"a":1}}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY"}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":"a.b.c"}}"#,
    ] {
        ann.peer.send_text(invalid).await;
    }
    ann.peer.send_binary(b"\xff\x00not json").await;
    ann.quiet().await;
    bob.quiet().await;
    let exact = format!(r#"{{"eventName":"a","payload":"{}"}}"#, "€".repeat(128_000 - 30));
    ann.peer.send_text(exact).await;
    assert_eq!(bob.next_event().await.0, "a");
}

#[tokio::test]
async fn a_frame_over_512_kib_closes_with_1009() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    ann.peer.send_text("x".repeat(512 * 1024 + 1)).await;
    assert_eq!(ann.peer.closed().await.0, 1009);
    drop(ann);
    bob.list_of(1).await;
    bob.quiet().await;
}

#[tokio::test]
async fn project_rules_are_enforced() {
    let rules = ProjectRules {
        connections_max: Some(2),
        capacity_max: 1,
        events: Some(vec!["chat_*".into()]),
        emit_needs_identity: true,
        message_units_max: 100,
        ..ProjectRules::default()
    };
    let app = App::new()
        .with_koji(Koji::new().with_rules(rules))
        .with_verifier(async |token: String| UserId::new(&token).map(identity));
    let server = TestServer::start(app).await;
    let mut ann = join(&server, "projectId=p&maxConnectionsPerShard=50").await;
    let mut bob = join(&server, "projectId=p&maxConnectionsPerShard=50&authorization=bob").await;
    assert_eq!(
        (ann.shard.as_str(), bob.shard.as_str()),
        ("shard-1", "shard-2"),
        "the project rules allow one seat per shard"
    );
    let mut third = Peer::connect(&server.url("/?projectId=p")).await;
    assert_eq!(third.closed().await, (1013, "the project is full".into()));
    ann.emit_to("chat_line", json!("without identity"), json!(["bob"])).await;
    bob.emit_to("tap", json!(1), json!([ann.id])).await;
    bob.emit_to("chat_line", json!("x".repeat(100)), json!([ann.id])).await;
    bob.emit_to("chat_line", json!("hi"), json!([ann.id])).await;
    assert_eq!(ann.next_event().await, ("chat_line".into(), json!("hi")));
    ann.identify("ann").await;
    ann.emit_to("chat_line", json!("hello"), json!(["bob"])).await;
    assert_eq!(bob.next_event().await, ("chat_line".into(), json!("hello")));
    ann.peer.close().await;
    let expected = json!([{ "shardName": "shard-2", "numConnectedClients": 1 }]);
    until_shards_are(&server, "p", expected).await;
    join(&server, "projectId=p").await;
}
