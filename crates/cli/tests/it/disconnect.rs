//! Backends that close sockets: over the HTTP API, and with `switchboard disconnect`.

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer};

use crate::backend::{
    Answer, KEY, api, call, call_idempotent, connect_seven, message_to_seven, next_message, post, shell,
    wait_for_delivery,
};
use crate::clients::{request, until};
use crate::support::Server;

fn disconnect(address: &str, body: &Value) -> Answer {
    call(address, "disconnect", body)
}

const SECRET: &str = "auth.jwt_secret=a secret of this test alone, and long enough";

/// Makes the frame that sends a token.
type TokenFrame = fn(&str) -> Value;

/// For each protocol: the path of user 7, and the frame with its token.
const PROTOCOLS: [(&str, TokenFrame); 3] = [
    ("/?userId=7", |_| json!({ "event": "/stats", "data": {} })),
    (
        "/?projectId=default",
        |token| json!({ "eventName": "@@KOJI_DISPATCH/IDENTIFY", "payload": { "token": token } }),
    ),
    ("/mesa", |token| json!({ "op": 2, "d": { "token": token } })),
];

/// Connects a socket of a user on the emit protocol, and waits until dispatches reach it.
async fn connect_user(server: &Server, user: &str, address: &str) -> Peer {
    let mut peer = Peer::connect(&format!("{}/?userId={user}", server.url())).await;
    wait_for_delivery(&mut peer, user, address).await;
    peer
}

#[tokio::test]
async fn disconnect_closes_the_targeted_sockets_on_every_protocol_and_node() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let sets = [&through, "mesa.enabled=true", "mesa.listen=127.0.0.1:0", SECRET];
    let (_, token) = shell("token", &["make", "7", "--set", SECRET], None);
    let ((one, address), (two, _)) = (api(&sets), api(&sets));
    let (mut named, mut spared) = (Vec::new(), Vec::new());
    for server in [&one, &two] {
        for (path, token_frame) in PROTOCOLS {
            let mut peer = Peer::connect(&format!("{}{path}", server.url())).await;
            peer.send(&token_frame(token.trim())).await;
            wait_for_delivery(&mut peer, "7", &address).await;
            named.push(peer);
        }
        spared.push(connect_user(server, "8", &address).await);
        spared.push(connect_user(server, "9", &address).await);
    }
    let body = json!({ "to": { "users": ["7", "8"] }, "except": { "users": ["8"] }, "code": 4003, "reason": "banned" });
    let answer = disconnect(&address, &body);
    assert_eq!((answer.status, answer.body), (200, json!({ "sockets_here": 3 })));
    for peer in &mut named {
        assert_eq!(peer.closed().await, (4003, "banned".into()));
    }
    let elsewhere = json!({ "to": { "everyone": true }, "project": "other" });
    assert_eq!(disconnect(&address, &elsewhere).body, json!({ "sockets_here": 0 }));
    for peer in &mut spared {
        // A close would have been received before this reply.
        request(peer, "/stats", json!({ "tag": "x" })).await;
    }
    assert_eq!(
        disconnect(&address, &json!({ "to": { "everyone": true } })).body,
        json!({ "sockets_here": 2 })
    );
    for peer in &mut spared {
        assert_eq!(peer.closed().await, (1000, String::new()), "the default code and reason");
    }
}

#[tokio::test]
async fn a_refused_disconnect_gets_a_status_and_the_reason() {
    let (server, address) = api(&["api.body_bytes_max=1000", "api.requests_per_second=20"]);
    let mut seven = connect_seven(&server).await;
    let without_key = post(&address, "disconnect", &[], "{}").expect("an answer");
    assert_eq!((without_key.status, &without_key.body["code"]), (401, &json!("unauthorized")));
    let to = json!({ "everyone": true });
    for (body, error) in [
        (json!({}), "missing field `to`"),
        (json!({ "to": {} }), "to: expected at least one recipient"),
        (json!({ "to": { "users": [""] } }), "to.users[0]: "),
        (json!({ "to": to, "except": { "tag": ["x"] } }), "except.tag: unknown field `tag`"),
        (json!({ "to": to, "type": "SAID" }), "type: unknown field `type`"),
        (json!({ "to": to, "code": "1000" }), "code: invalid type"),
        (json!({ "to": to, "code": 70_000 }), "code: invalid value"),
        (json!({ "to": to, "code": 1005 }), "code: 1005 cannot be sent; 1000 to 1003, "),
        (json!({ "to": to, "code": 2999 }), "code: 2999 cannot be sent"),
        (json!({ "to": to, "reason": "é".repeat(62) }), "reason: 124 bytes, over the limit of 123"),
        (json!({ "to": to, "project": "" }), "project: "),
    ] {
        let answer = disconnect(&address, &body);
        let reason = answer.body["detail"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 400, "{body}: {reason}");
        assert!(reason.starts_with(error), "{body}: {reason}");
    }
    let large = json!({ "to": { "users": ["x".repeat(1000)] } });
    assert_eq!(disconnect(&address, &large).status, 413);
    until("the rate limit is reached", async || disconnect(&address, &json!({})).status == 429).await;
    assert_eq!(
        request(&mut seven, "/online", json!({ "userId": "7" })).await["online"],
        true,
        "no socket was closed"
    );
}

#[tokio::test]
async fn an_idempotency_key_cannot_be_used_for_another_endpoint() {
    let (server, address) = api(&[]);
    let first = connect_seven(&server).await;
    let body = json!({ "to": { "users": ["7"] }, "code": 4003 });
    assert_eq!(call_idempotent(&address, "disconnect", "a", &body).body, json!({ "sockets_here": 1 }));
    drop(first);
    let mut second = connect_seven(&server).await;
    let again = call_idempotent(&address, "disconnect", "a", &body);
    assert_eq!(again.body, json!({ "sockets_here": 1 }));
    assert!(again.head.contains("idempotency-replayed: true"), "{}", again.head);
    let elsewhere = call_idempotent(&address, "dispatch", "a", &body);
    assert_eq!((elsewhere.status, &elsewhere.body["code"]), (422, &json!("body_mismatch")));
    assert_eq!(call(&address, "dispatch", &message_to_seven(1)).body, json!({ "sockets_here": 1 }));
    assert_eq!(
        next_message(&mut second).await,
        json!(1),
        "a repeated disconnect does not close a later socket"
    );
}

#[tokio::test]
async fn a_disconnect_while_redis_is_down_is_marked_as_degraded() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let mut seven = connect_seven(&server).await;
    redis.kill();
    let nobody = json!({ "to": { "users": ["nobody"] } });
    let degraded = json!({ "sockets_here": 0, "degraded": true });
    until("the outage is noticed", async || disconnect(&address, &nobody).body == degraded).await;
    let answer = disconnect(&address, &json!({ "to": { "users": ["7"] } }));
    assert_eq!(answer.body, json!({ "sockets_here": 1, "degraded": true }));
    assert_eq!(seven.closed().await.0, 1000);
    let url = format!("http://{address}");
    let (status, text) = shell("disconnect", &["--url", &url, "--everyone"], Some(KEY));
    assert!(status == Some(1) && text.contains("because Redis is down"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disconnect_command_works_over_http_and_through_redis() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let (http, redis) = (format!("http://{address}"), redis.url());
    for connection in [["--url", &http], ["--redis", &redis]] {
        let mut named = connect_user(&server, "7", &address).await;
        let mut spared = connect_user(&server, "8", &address).await;
        let arguments =
            ["--to-user", "7", "--to-user", "8", "--except-user", "8", "--code", "4003", "--reason", "no"];
        let (code, text) = shell("disconnect", &[&connection[..], &arguments].concat(), Some(KEY));
        let over_http = format!(
            "closed 1 socket of the node at {http}; sockets of other nodes, if there are any, are closed"
        );
        let expected =
            if connection[0] == "--url" { &over_http } else { "published through Redis; how many sockets" };
        assert!(code == Some(0) && text.starts_with(expected), "{text}");
        assert_eq!(named.closed().await, (4003, "no".into()));
        request(&mut spared, "/stats", json!({ "tag": "x" })).await;
        assert_eq!(shell("disconnect", &[&connection[..], &["--everyone"]].concat(), Some(KEY)).0, Some(0));
        assert_eq!(spared.closed().await.0, 1000);
    }
    let long = "x".repeat(124);
    for (args, status, expected) in [
        (&["--url", &http][..], 2, "--to-user"),
        (&["--everyone"], 2, "--redis"),
        (&["--url", &http, "--everyone", "--code", "1006"], 2, "1006 cannot be sent"),
        (&["--url", &http, "--everyone", "--reason", &long], 2, "expected at most 123 bytes; found 124"),
        (&["--url", &http, "--to", "lobby"], 2, "`lobby` is neither a `#room` nor a `*tag`"),
        (&["--url", &http, "--to-user", ""], 2, "answered 400: to.users[0]: "),
        (&["--redis", &redis, "--legacy", "--everyone", "--code", "4003"], 1, "code 1000 and no reason"),
    ] {
        let (code, text) = shell("disconnect", args, Some(KEY));
        assert!(code == Some(status) && text.contains(expected), "{args:?}: {code:?} {text}");
    }
}
