//! Sockets that a backend closes: by the HTTP API, and by `switchboard disconnect`.

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer};

use crate::backend::{Answer, KEY, api, call, called, post, said, seven, shell, to_seven, until_heard};
use crate::clients::{ask, until};
use crate::support::Server;

fn disconnect(address: &str, body: &Value) -> Answer {
    call(address, "disconnect", body)
}

const SECRET: &str = "auth.jwt_secret=a secret of this test alone, and long enough";

/// The frame that shows a token.
type Showing = fn(&str) -> Value;

/// How user 7 comes who speaks emit, Koji or Mesa.
const DOORS: [(&str, Showing); 3] = [
    ("/?userId=7", |_| json!({ "event": "/stats", "data": {} })),
    (
        "/?projectId=default",
        |token| json!({ "eventName": "@@KOJI_DISPATCH/IDENTIFY", "payload": { "token": token } }),
    ),
    ("/mesa", |token| json!({ "op": 2, "d": { "token": token } })),
];

/// A socket of a user that speaks emit, and hears what is sent to them.
async fn heard(server: &Server, user: &str, address: &str) -> Peer {
    let mut peer = Peer::connect(&format!("{}/?userId={user}", server.url())).await;
    until_heard(&mut peer, user, address).await;
    peer
}

#[tokio::test]
async fn who_is_named_is_closed_at_every_door_of_every_node_and_nobody_else_is() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let sets = [&through, "mesa.enabled=true", "mesa.listen=127.0.0.1:0", SECRET];
    let (_, token) = shell("token", &["make", "7", "--set", SECRET], None);
    let ((one, address), (two, _)) = (api(&sets), api(&sets));
    let (mut named, mut spared) = (Vec::new(), Vec::new());
    for server in [&one, &two] {
        for (door, showing) in DOORS {
            let mut peer = Peer::connect(&format!("{}{door}", server.url())).await;
            peer.send(&showing(token.trim())).await;
            until_heard(&mut peer, "7", &address).await;
            named.push(peer);
        }
        spared.push(heard(server, "8", &address).await);
        spared.push(heard(server, "9", &address).await);
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
        // Whatever was to close it came before this answer, or comes with what is next.
        ask(peer, "/stats", json!({ "tag": "x" })).await;
    }
    assert_eq!(
        disconnect(&address, &json!({ "to": { "everyone": true } })).body,
        json!({ "sockets_here": 2 })
    );
    for peer in &mut spared {
        assert_eq!(peer.closed().await, (1000, String::new()), "which is what is said if nothing is");
    }
}

#[tokio::test]
async fn an_order_that_is_not_done_is_told_why() {
    let (server, address) = api(&["api.body_bytes_max=1000", "api.requests_per_second=20"]);
    let mut seven = seven(&server).await;
    let nobody = post(&address, "disconnect", &[], "{}").expect("an answer");
    assert_eq!((nobody.status, &nobody.body["code"]), (401, &json!("unauthorized")));
    let to = json!({ "everyone": true });
    for (body, error) in [
        (json!({}), "missing field `to`"),
        (json!({ "to": {} }), "to: nobody is named"),
        (json!({ "to": { "users": [""] } }), "to.users[0]: "),
        (json!({ "to": to, "except": { "tag": ["x"] } }), "except.tag: unknown field `tag`"),
        (json!({ "to": to, "type": "SAID" }), "type: unknown field `type`"),
        (json!({ "to": to, "code": "1000" }), "code: invalid type"),
        (json!({ "to": to, "code": 70_000 }), "code: invalid value"),
        (json!({ "to": to, "code": 1005 }), "code: 1005 cannot be sent; 1000 to 1003, "),
        (json!({ "to": to, "code": 2999 }), "code: 2999 cannot be sent"),
        (json!({ "to": to, "reason": "é".repeat(62) }), "reason: 124 bytes, over the 123"),
        (json!({ "to": to, "project": "" }), "project: "),
    ] {
        let answer = disconnect(&address, &body);
        let said = answer.body["error"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 400, "{body}: {said}");
        assert!(said.starts_with(error), "{body}: {said}");
    }
    let large = json!({ "to": { "users": ["x".repeat(1000)] } });
    assert_eq!(disconnect(&address, &large).status, 413);
    until("there are too many", async || disconnect(&address, &json!({})).status == 429).await;
    assert_eq!(
        ask(&mut seven, "/online", json!({ "userId": "7" })).await["online"],
        true,
        "nothing was done"
    );
}

#[tokio::test]
async fn a_name_used_for_one_thing_does_no_other() {
    let (server, address) = api(&[]);
    let first = seven(&server).await;
    let body = json!({ "to": { "users": ["7"] }, "code": 4003 });
    assert_eq!(called(&address, "disconnect", "a", &body).body, json!({ "sockets_here": 1 }));
    drop(first);
    let mut second = seven(&server).await;
    let again = called(&address, "disconnect", "a", &body);
    assert_eq!(again.body, json!({ "sockets_here": 1 }));
    assert!(again.head.contains("idempotency-replayed: true"), "{}", again.head);
    let elsewhere = called(&address, "dispatch", "a", &body);
    assert_eq!((elsewhere.status, &elsewhere.body["code"]), (422, &json!("another_body")));
    assert_eq!(call(&address, "dispatch", &to_seven(1)).body, json!({ "sockets_here": 1 }));
    assert_eq!(said(&mut second).await, json!(1), "who came later is not closed by what was done before");
}

#[tokio::test]
async fn while_redis_is_away_it_is_said_that_other_nodes_close_nobody() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let mut seven = seven(&server).await;
    redis.kill();
    let nobody = json!({ "to": { "users": ["nobody"] } });
    let degraded = json!({ "sockets_here": 0, "degraded": true });
    until("it is noticed", async || disconnect(&address, &nobody).body == degraded).await;
    let answer = disconnect(&address, &json!({ "to": { "users": ["7"] } }));
    assert_eq!(answer.body, json!({ "sockets_here": 1, "degraded": true }));
    assert_eq!(seven.closed().await.0, 1000);
    let url = format!("http://{address}");
    let (status, text) = shell("disconnect", &["--url", &url, "--everyone"], Some(KEY));
    assert!(status == Some(1) && text.contains("reached its own sockets alone"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_closes_sockets_by_http_and_through_redis() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let (http, redis) = (format!("http://{address}"), redis.url());
    for way in [["--url", &http], ["--redis", &redis]] {
        let mut named = heard(&server, "7", &address).await;
        let mut spared = heard(&server, "8", &address).await;
        let how =
            ["--to-user", "7", "--to-user", "8", "--except-user", "8", "--code", "4003", "--reason", "no"];
        assert_eq!(shell("disconnect", &[&way[..], &how].concat(), Some(KEY)), (Some(0), String::new()));
        assert_eq!(named.closed().await, (4003, "no".into()));
        ask(&mut spared, "/stats", json!({ "tag": "x" })).await;
        assert_eq!(shell("disconnect", &[&way[..], &["--everyone"]].concat(), Some(KEY)).0, Some(0));
        assert_eq!(spared.closed().await.0, 1000);
    }
    let long = "x".repeat(124);
    for (args, status, says) in [
        (&["--url", &http][..], 2, "--to-user"),
        (&["--everyone"], 2, "--redis"),
        (&["--url", &http, "--everyone", "--code", "1006"], 2, "1006 cannot be sent"),
        (&["--url", &http, "--everyone", "--reason", &long], 2, "124 bytes, over the 123"),
        (&["--url", &http, "--to", "lobby"], 2, "`lobby` is neither a `#room` nor a `*tag`"),
        (&["--url", &http, "--to-user", ""], 2, "answers 400: to.users[0]: "),
        (&["--redis", &redis, "--originals", "--everyone", "--code", "4003"], 1, "code 1000 and no reason"),
    ] {
        let (code, text) = shell("disconnect", args, Some(KEY));
        assert!(code == Some(status) && text.contains(says), "{args:?}: {code:?} {text}");
    }
}
