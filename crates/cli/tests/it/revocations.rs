//! Revoked tokens at the packaged server: over HTTP and by the command, on several nodes, and after restarts.

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, Scratch};

use crate::backend::{KEY, api, call, post, shell};
use crate::clients::{request, until};
use crate::support::Server;

const SECRET: &str = "auth.jwt_secret=a secret of this test, and long enough";

/// A token of Ann with an id.
fn token(id: &str) -> String {
    let claim = format!("jti={id}");
    let (_, token) = shell("token", &["make", "ann", "--set", SECRET, "--claim", &claim], None);
    token.trim().to_owned()
}

async fn show(peer: &mut Peer, token: &str) -> Value {
    request(peer, "@identify", json!({ "token": token })).await
}

/// Connects a client that is logged in by a token.
async fn log_in(server: &Server, token: &str) -> Peer {
    let mut peer = server.peer().await;
    assert_eq!(show(&mut peer, token).await, json!({ "user": "ann" }));
    peer
}

/// Waits until a server refuses a token because it is revoked.
async fn until_revoked(server: &Server, token: &str) {
    until("the token is revoked", async || show(&mut server.peer().await, token).await["code"] == "revoked")
        .await;
}

fn revoke(address: &str, body: Value) -> Value {
    let answer = call(address, "tokens/revoke", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_revocation_reaches_every_node_and_survives_restarts_of_all() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let ((_one, address), (two, _)) = (api(&[&through, SECRET]), api(&[&through, SECRET]));
    let (first, second) = (token("first"), token("second"));
    let mut peer = log_in(&two, &first).await;
    assert_eq!(
        revoke(&address, json!({ "tokens": ["first"] })),
        json!({ "sockets_here": 0, "stored_in": "redis" })
    );
    until_revoked(&two, &first).await;
    until("the socket is logged out", async || {
        request(&mut peer, "/profile", json!({})).await["error"] == "Unauthorized"
    })
    .await;
    let url = format!("http://{address}");
    let (status, output) = shell("revoke", &["--url", &url, "--user", "ann"], Some(KEY));
    assert_eq!(status, Some(0), "{output}");
    assert!(output.contains("stored in Redis"), "{output}");
    until_revoked(&two, &second).await;
    drop((_one, two));
    let (again, _) = api(&[&through, SECRET]);
    for token in [&first, &second] {
        until_revoked(&again, token).await;
    }
}

#[tokio::test]
async fn revocations_during_an_outage_of_redis_hold_at_once_and_reach_the_others_afterwards() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let ((one, address), (two, _)) = (api(&[&through, SECRET]), api(&[&through, SECRET]));
    let token = token("lost");
    redis.kill();
    until("the node has noticed", async || one.get("/readyz").contains("degraded")).await;
    let answer = revoke(&address, json!({ "tokens": ["lost"] }));
    assert_eq!(answer, json!({ "sockets_here": 0, "stored_in": "redis", "degraded": true }));
    until_revoked(&one, &token).await;
    let url = format!("http://{address}");
    let (status, output) = shell("revoke", &["--url", &url, "--jti", "other"], Some(KEY));
    assert_eq!(status, Some(1), "{output}");
    assert!(output.contains("it tries again every second"), "{output}");
    redis.run_again().await;
    until_revoked(&two, &token).await;
}

#[tokio::test]
async fn a_single_node_keeps_revocations_in_the_inbox_file_or_says_that_a_restart_loses_them() {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox"));
    let with_file = [&*path, "inbox.enabled=true", SECRET];
    let (server, address) = api(&with_file);
    let token = token("filed");
    let answer = revoke(&address, json!({ "tokens": ["filed"] }));
    assert_eq!(answer["stored_in"], "file");
    server.signal("-TERM");
    server.ended();
    let (again, _) = api(&with_file);
    until_revoked(&again, &token).await;

    let (server, address) = api(&[SECRET]);
    let url = format!("http://{address}");
    let (status, output) = shell("revoke", &["--url", &url, "--jti", "filed"], Some(KEY));
    assert!(status == Some(0) && output.contains("a restart loses it"), "{output}");
    until_revoked(&server, &token).await;
    let metrics = server.get("/metrics");
    assert!(metrics.contains("switchboard_revocations 1\n"), "{metrics}");
    let refused = "switchboard_tokens_refused_total{protocol=\"emit\",reason=\"revoked\"} 1\n";
    assert!(metrics.contains(refused), "{metrics}");
}

#[tokio::test]
async fn an_invalid_revocation_gets_a_status_and_the_reason() {
    let (_server, address) = api(&[SECRET, "limits.revocations_max=1"]);
    let without_key = post(&address, "tokens/revoke", &[], "{}").expect("an answer");
    assert_eq!((without_key.status, &without_key.body["code"]), (401, &json!("unauthorized")));
    for (body, error) in [
        (json!({}), "tokens, users: expected at least one token or user"),
        (json!({ "tokens": [] }), "tokens, users: expected at least one token or user"),
        (json!({ "tokens": "a" }), "tokens: invalid type"),
        (json!({ "tokens": ["a", ""] }), "tokens[1]: a name cannot be empty"),
        (json!({ "users": ["x".repeat(257)] }), "users[0]: name is 257 bytes"),
        (json!({ "jti": ["a"] }), "jti: unknown field"),
        (json!({ "users": ["7"], "issued_before": -1 }), "issued_before: expected seconds since 1970"),
        (json!({ "users": ["7"], "issued_before": "now" }), "issued_before: invalid type"),
        (json!({ "tokens": ["a"], "expires": 1 }), "expires: expected a time in the future"),
        (json!({ "tokens": ["a"], "expires": 1e300 }), "expires: expected seconds since 1970"),
        (json!({ "tokens": ["a"], "project": "" }), "project: "),
    ] {
        let answer = call(&address, "tokens/revoke", &body);
        let found = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && found.contains(error), "{body}: {} {found}", answer.status);
    }
    let full = call(&address, "tokens/revoke", &json!({ "tokens": ["a", "b"] }));
    assert_eq!((full.status, &full.body["code"]), (507, &json!("full")));
    revoke(&address, json!({ "tokens": ["a"] }));
    for args in [
        &["--url", "http://127.0.0.1:9"][..],
        &["--url", "http://127.0.0.1:9", "--jti", "a", "--issued-before", "5"],
        &["--url", "http://127.0.0.1:9", "--user", "a", "--expires", "soon"],
    ] {
        let (status, output) = shell("revoke", args, Some(KEY));
        assert_eq!(status, Some(2), "{args:?}: {output}");
    }
}
