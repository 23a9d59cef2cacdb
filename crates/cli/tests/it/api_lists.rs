//! Lists and queries of the HTTP API: the same on every node, in pages, and without Redis refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, Scratch};

use crate::backend::{Answer, KEY, api, call, connect_seven, send, wait_for_delivery};
use crate::clients::{request, until};

fn get(address: &str, path: &str) -> Answer {
    let headers = [("Authorization", &*format!("Bearer {KEY}"))];
    send(address, "GET", &format!("/api/v1/{path}"), &headers, "").expect("an answer")
}

/// The member `key` of each entry of a list, over all pages of `limit`.
fn all(address: &str, path: &str, list: &str, key: &str, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = get(address, &format!("{path}{separator}limit={limit}{after}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.body["as_of_ms"].as_u64().is_some_and(|ms| ms > 0), "{}", answer.body);
        let page = answer.body[list].as_array().unwrap_or_else(|| panic!("{}", answer.body));
        assert!(page.len() <= limit);
        let text = |entry: &Value| if key.is_empty() { entry.clone() } else { entry[key].clone() };
        found.extend(page.iter().map(|entry| text(entry).as_str().expect("text").to_owned()));
        match answer.body["next"].as_str() {
            Some(next) => after = format!("&after={}", next.replace('#', "%23")),
            None => return found,
        }
    }
}

#[tokio::test]
async fn lists_contain_the_sockets_of_all_nodes_in_pages() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let ((one, first), (two, second)) = (api(&[&through]), api(&[&through]));
    let (mut seven, mut eight) = (connect_seven(&one).await, Peer::connect(&two.url()).await);
    request(&mut eight, "/login", json!({ "userId": "8" })).await;
    for (peer, rooms) in [(&mut seven, &["chat-1", "chat-2", "x"][..]), (&mut eight, &["chat-2", "chat-3"])] {
        for room in rooms {
            request(peer, "/join", json!({ "room": room })).await;
        }
    }
    for address in [&first, &second] {
        until("the store has both", async || {
            get(address, "info").body["users"] == 2
                && all(address, "rooms?prefix=chat-3", "rooms", "room", 9).len() == 1
        })
        .await;
        assert_eq!(all(address, "users", "users", "", 1), ["7", "8"]);
        let rooms = all(address, "rooms?prefix=chat-", "rooms", "room", 2);
        assert_eq!(rooms, ["#chat-1", "#chat-2", "#chat-3"]);
        assert_eq!(all(address, "rooms?prefix=%23chat-", "rooms", "room", 1), rooms);
        let sizes = get(address, "rooms?prefix=chat-2").body["rooms"].clone();
        assert_eq!(sizes, json!([{ "room": "#chat-2", "sockets": 2 }]));
        assert_eq!(get(address, "rooms/chat-2").body["sockets"], 2);
        assert_eq!(get(address, "rooms/%23chat-2?project=other").body["sockets"], 0);

        let sockets = all(address, "rooms/chat-2/members", "sockets", "socket", 1);
        assert_eq!((sockets.len(), sockets.is_sorted()), (2, true));
        assert_eq!(all(address, "sockets?room=chat-2", "sockets", "socket", 1), sockets);
        assert_eq!(all(address, "sockets", "sockets", "socket", 100).len(), 2);
        let of_seven = get(address, "users/7").body;
        assert_eq!((&of_seven["user"], &of_seven["online"]), (&json!("7"), &json!(true)));
        let socket = of_seven["sockets"][0]["socket"].as_str().expect("an id").to_owned();
        assert_eq!(all(address, "sockets?user=7", "sockets", "socket", 9), [&*socket]);
        let state = get(address, &format!("sockets/{socket}")).body;
        assert_eq!((&state["connected"], &state["node"]), (&json!(true), &json!(&socket[..8])));
        assert_eq!(
            (&state["user"], &state["address"], &state["protocol"]),
            (&json!("7"), &json!("127.0.0.1"), &json!("emit"))
        );
        let detailed = get(address, "rooms/chat-2/members?details=true").body["sockets"].clone();
        let users: BTreeSet<_> =
            detailed.as_array().unwrap().iter().map(|entry| entry["user"].to_string()).collect();
        assert_eq!(users, BTreeSet::from(["\"7\"".to_owned(), "\"8\"".to_owned()]), "{detailed}");
        for (filter, expected) in [
            ("address=127.0.0.1", 2),
            ("address=127.0.0.2", 0),
            ("protocol=emit&room=x", 1),
            ("protocol=koji", 0),
            ("protocol=emit&address=127.0.0.1&user=8", 1),
        ] {
            assert_eq!(
                all(address, &format!("sockets?{filter}"), "sockets", "socket", 1).len(),
                expected,
                "{filter}"
            );
        }
        for (filter, field) in
            [("protocol=tcp", "protocol"), ("address=x", "address"), ("details=maybe", "details")]
        {
            let refused = get(address, &format!("sockets?{filter}"));
            assert_eq!((refused.status, &refused.body["field"]), (400, &json!(field)), "{filter}");
        }
        assert_eq!(get(address, &format!("sockets/{socket}?project=other")).body["connected"], false);
        assert_eq!(get(address, "users/9").body["online"], false);

        let nodes = get(address, "nodes").body["nodes"].as_array().expect("nodes").clone();
        assert_eq!((nodes.len(), nodes.iter().filter(|node| node["is_this"] == true).count()), (2, 1));
        assert!(
            nodes.iter().all(|node| node["lease_left_ms"].as_u64().is_some_and(|left| left > 0)),
            "{nodes:?}"
        );
    }
}

#[tokio::test]
async fn shards_are_listed_with_their_clients() {
    let (server, address) = api(&[]);
    let url = format!("{}/?projectId=default&shardName=", server.url());
    let mut clients = Vec::new();
    for shard in ["b", "a", "b"] {
        let mut client = Peer::connect(&format!("{url}{shard}")).await;
        assert_eq!(client.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
        clients.push(client);
    }
    assert_eq!(all(&address, "shards", "shards", "shard", 1), ["a", "b"]);
    assert_eq!(get(&address, "shards").body["shards"][1], json!({ "shard": "b", "seated": 2 }));
    let shard = get(&address, "shards/b").body;
    assert_eq!(shard["clients"].as_array().expect("clients").len(), 2, "{shard}");
    assert_eq!(all(&address, "sockets?shard=b", "sockets", "socket", 1).len(), 2);
    assert_eq!(get(&address, "shards/c").body["clients"], json!([]));
}

#[tokio::test]
async fn an_inbox_is_listed_and_cleared_once_for_each_idempotency_key() {
    let scratch = Scratch::new();
    let redis = RedisServer::start().await;
    let (disk, through) =
        (format!("inbox.path={}", scratch.file("inbox.redb")), format!("redis={}", redis.url()));
    for place in [disk, through] {
        let (server, address) = api(&[&place, "inbox.enabled=true"]);
        let store = |n: usize| {
            let body = json!({ "event": "SAID", "data": n, "to": { "users": ["7"] }, "inbox": true });
            assert_eq!(call(&address, "send", &body).body["inboxes"], 1, "{place}");
        };
        (0..3).for_each(store);
        let page = get(&address, "inbox/7?limit=2").body;
        let messages = page["messages"].as_array().expect("messages");
        assert_eq!((&messages[0]["event"], &messages[1]["data"]), (&json!("SAID"), &json!(1)));
        assert_eq!(all(&address, "inbox/7", "messages", "number", 2).len(), 3, "{place}");
        let clear = || {
            let headers = [("Authorization", &*format!("Bearer {KEY}")), ("Idempotency-Key", "a")];
            send(&address, "DELETE", "/api/v1/inbox/7", &headers, "").expect("an answer")
        };
        let cleared = clear();
        assert_eq!((cleared.status, cleared.body), (200, json!({})), "{place}");
        assert_eq!(get(&address, "inbox/7").body["messages"], json!([]));
        store(3);
        assert!(clear().head.contains("idempotency-replayed: true"));
        assert_eq!(
            get(&address, "inbox/7").body["messages"][0]["data"],
            3,
            "the repeated request removes nothing"
        );
        drop(server);
    }
}

#[tokio::test]
async fn an_invalid_parameter_is_named() {
    let (_server, address) = api(&[]);
    for (path, field) in [
        ("rooms?limit=0", "limit"),
        ("rooms?limit=1001", "limit"),
        ("rooms?limit=-1", "limit"),
        ("rooms?limit=x", "limit"),
        ("rooms?unknown=1", "unknown"),
        ("rooms?project=", "project"),
        ("rooms?after=*tag", "after"),
        ("rooms/%2Atag", "room"),
        ("sockets?after=7", "after"),
        ("sockets?user=7&room=x", "room"),
        ("sockets?tag=%23room", "tag"),
        ("sockets/7", "socket"),
        ("info?limit=1", "limit"),
        ("keys?project=x", "project"),
    ] {
        let answer = get(&address, path);
        assert_eq!((answer.status, &answer.body["field"]), (400, &json!(field)), "{path}: {}", answer.body);
    }
    let without_inbox = get(&address, "inbox/7");
    assert_eq!((without_inbox.status, &without_inbox.body["code"]), (400, &json!("invalid")));
    for path in ["rooms?limit=1&limit=2", "rooms/%FF"] {
        assert_eq!(get(&address, path).status, 400, "{path}");
    }
}

#[tokio::test]
async fn queries_without_an_answer_of_redis_are_refused_with_503() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let mut seven = connect_seven(&server).await;
    wait_for_delivery(&mut seven, "7", &address).await;
    redis.kill();
    for path in ["rooms", "rooms/x", "users", "users/7", "sockets", "nodes", "info", "shards"] {
        let answer = get(&address, path);
        assert_eq!((answer.status, &answer.body["code"]), (503, &json!("unavailable")), "{path}");
    }
}
