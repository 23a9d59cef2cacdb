//! The guides for moving from the original servers: their settings do what they promise.

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, Scratch};

use crate::backend::shell;
use crate::clients::until;
use crate::support::Server;

const MESA_GUIDE: &str = include_str!("../../../../docs/guides/moving-from-mesa.md");

/// The first block of settings of a guide.
fn settings(guide: &str) -> String {
    let block = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the guide has settings").to_owned()
}

/// Replaces a part of the settings, which has to be there.
fn replace(settings: &str, part: &str, by: &str) -> String {
    assert!(settings.contains(part), "{part} is in\n{settings}");
    settings.replace(part, by)
}

/// The secret in the settings.
fn secret(settings: &str) -> &str {
    settings.split("jwt_secret = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a secret")
}

/// Starts a server with the settings of the guide, except for addresses. Returns it with its own address for Mesa
/// clients.
fn start(settings: &str, redis: &RedisServer, scratch: &Scratch) -> (Server, String) {
    let settings = replace(settings, "redis://127.0.0.1:6379", &redis.url());
    let file = scratch.file("switchboard.toml");
    std::fs::write(&file, replace(&settings, "0.0.0.0:4000", "127.0.0.1:0"))
        .expect("the folder is the test's own");
    let server = Server::start(&["serve", "--config", &file, "--set", "stop.window_ms=0"]);
    let own = server.banner.split("/mesa, ws://").nth(1).and_then(|rest| rest.split('/').next());
    let own = own.expect("the banner has both addresses").to_owned();
    (server, own)
}

/// Sends as an original Dispatcher of the namespace `api`.
fn dispatch(redis: &RedisServer, kind: &str, to: &[&str]) {
    let connection = ["{}", "--redis", &redis.url(), "--legacy", "--namespace", "api"];
    let (status, output) = shell("dispatch", &[&[kind], &connection[..], to].concat(), None);
    assert_eq!(status, Some(0), "{output}");
}

/// Repeats a dispatch until the client receives it, because its interest reaches Redis after its handshake.
async fn assert_receives(peer: &mut Peer, redis: &RedisServer, kind: &str, to: &[&str]) {
    until("the dispatch is received", async || {
        dispatch(redis, kind, to);
        let received = async { while !peer.next().await.to_string().contains(kind) {} };
        tokio::time::timeout(std::time::Duration::from_millis(200), received).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn dispatches_of_the_namespace_reach_clients_of_all_three_protocols() {
    let (redis, scratch) = (RedisServer::start().await, Scratch::new());
    let settings = settings(MESA_GUIDE);
    let (server, mesa) = start(&settings, &redis, &scratch);
    let token = switchboard_auth::sign(secret(&settings), "7", None, Default::default()).expect("it signs");
    let login = json!({ "op": 2, "d": { "token": token } });
    let identify = json!({ "eventName": "@@KOJI_DISPATCH/IDENTIFY", "payload": { "token": token } });
    for (url, login, user) in [
        (server.url(), Value::Null, None),
        (format!("{}/?projectId=api", server.url()), identify, Some("7")),
        (format!("{}/mesa", server.url()), login.clone(), Some("7")),
        (format!("ws://{mesa}/"), login, Some("7")),
    ] {
        let mut peer = Peer::connect(&url).await;
        assert_receives(&mut peer, &redis, "TO_EVERYONE", &["--everyone"]).await;
        if let Some(user) = user {
            peer.send(&login).await;
            assert_receives(&mut peer, &redis, "TO_USER", &["--to-user", user]).await;
        }
    }
    let mut elsewhere = Peer::connect(&format!("{}/?projectId=other", server.url())).await;
    let mut here = Peer::connect(&server.url()).await;
    assert_receives(&mut here, &redis, "TO_EVERYONE", &["--everyone"]).await;
    let greeting = elsewhere.next().await.to_string();
    assert!(greeting.contains("CONNECTED"), "{greeting}");
    until("nothing but member lists comes", async || elsewhere.silent().await.is_ok()).await;
}

#[test]
fn a_secret_of_the_guide_is_long_enough() {
    assert!(secret(&settings(MESA_GUIDE)).len() >= switchboard_auth::SECRET_BYTES_MIN);
}
