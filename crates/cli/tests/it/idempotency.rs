//! Repeated requests to nodes that share a Redis: they are performed once, on any node.

use futures_util::future::join_all;
use serde_json::json;
use switchboard_testkit::{Peer, RedisServer};

use crate::backend::{
    Answer, KEY, api, call_idempotent, connect_seven, message_to_seven, next_message, post, wait_for_delivery,
};
use crate::clients::until;
use crate::support::Server;

/// Starts two nodes, and returns the address of each one's API.
fn two_nodes(redis: &RedisServer) -> [(Server, String); 2] {
    let through = format!("redis={}", redis.url());
    [api(&[&through]), api(&[&through])]
}

fn dispatch(address: &str, name: &str, n: usize) -> Answer {
    call_idempotent(address, "dispatch", name, &message_to_seven(n))
}

fn is_replayed(answer: &Answer) -> bool {
    answer.head.contains("idempotency-replayed: true")
}

/// Connects a socket of user 7, and waits until a dispatch on another node reaches it.
async fn connect_seven_known_to(server: &Server, address: &str) -> Peer {
    let mut peer = connect_seven(server).await;
    wait_for_delivery(&mut peer, "7", address).await;
    peer
}

/// Runs a script on the key of the only request in Redis.
async fn run_on_the_request(redis: &RedisServer, script: &str) {
    let script = format!("local key = redis.call('KEYS', '*:request:*')[1] {script}");
    assert_eq!(redis.ask(&format!("EVAL \"{script}\" 0")).await, "$-1", "it runs");
}

/// The number of requests with a text in their key or value.
async fn count_requests_with(redis: &RedisServer, text: &str) -> String {
    let script = "local count = 0 for _, key in ipairs(redis.call('KEYS', '*:request:*')) do \
                  if (key .. redis.call('GET', key)):find(ARGV[1], 1, true) then count = count + 1 end end \
                  return count";
    redis.ask(&format!("EVAL \"{script}\" 0 {text}")).await
}

#[tokio::test]
async fn another_node_returns_the_stored_response_of_a_repeated_request() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    let mut seven = connect_seven_known_to(&one, &second).await;
    let done = dispatch(&first, "order-7", 1);
    assert_eq!((done.status, &done.body), (200, &json!({ "sockets_here": 1 })));
    for address in [&second, &first, &second] {
        let again = dispatch(address, "order-7", 1);
        assert_eq!((again.status, &again.body), (200, &done.body));
        assert!(is_replayed(&again) && !is_replayed(&done), "{}", again.head);
        let other = dispatch(address, "order-7", 2);
        assert_eq!((other.status, &other.body["code"]), (422, &json!("body_mismatch")));
    }
    assert_eq!(call_idempotent(&first, "dispatch", "b", &json!({})).status, 400);
    assert!(!is_replayed(&dispatch(&second, "b", 3)), "a refused request can be repeated on any node");
    assert_eq!((next_message(&mut seven).await, next_message(&mut seven).await), (json!(1), json!(3)));
    assert_eq!(count_requests_with(&redis, "sockets_here").await, ":2");
    for secret in [KEY, "order-7", "SAID"] {
        assert_eq!(count_requests_with(&redis, secret).await, ":0", "{secret} can be read in Redis");
    }
}

#[tokio::test]
async fn backends_with_different_keys_do_not_share_idempotency_keys() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let other = "fedcba9876543210-key";
    let keys = |one: &str, two: &str| format!("api.keys=[\"{one}\",\"{two}\"]");
    // In another order: a backend is identified by its key, not by the position of the key.
    let ((_one, first), (_two, second)) =
        (api(&[&through, &keys(KEY, other)]), api(&[&through, &keys(other, KEY)]));
    assert!(!is_replayed(&dispatch(&first, "a", 1)));
    let headers = [("Authorization", &*format!("Bearer {other}")), ("Idempotency-Key", "a")];
    let by_another =
        post(&second, "dispatch", &headers, &message_to_seven(2).to_string()).expect("an answer");
    assert_eq!(by_another.status, 200);
    assert!(!is_replayed(&by_another) && is_replayed(&dispatch(&second, "a", 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_simultaneous_equal_requests_is_performed() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    let mut seven = connect_seven_known_to(&one, &second).await;
    for n in 0..20 {
        let requests = [&first, &second, &first, &second].map(|address| {
            let address = address.clone();
            tokio::task::spawn_blocking(move || dispatch(&address, &format!("race-{n}"), n))
        });
        let answers: Vec<Answer> = join_all(requests).await.into_iter().map(|done| done.unwrap()).collect();
        let done = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer)).count();
        assert_eq!(done, 1);
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
        assert_eq!(next_message(&mut seven).await, json!(n), "and received once");
    }
}

#[tokio::test]
async fn a_request_of_a_crashed_node_is_refused_until_its_claim_expires() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    dispatch(&first, "a", 1);
    // As if the node had crashed before it completed the request.
    one.signal("-KILL");
    let claim = "redis.call('SET', key, redis.call('GET', key):sub(1, 32) .. '?12345678', 'PX', 30000)";
    run_on_the_request(&redis, claim).await;
    let in_progress = dispatch(&second, "a", 1);
    assert_eq!((in_progress.status, &in_progress.body["code"]), (409, &json!("in_progress")));
    assert!(in_progress.head.contains("retry-after: 1"), "{}", in_progress.head);
    assert_eq!(dispatch(&second, "a", 2).status, 422);
    run_on_the_request(&redis, "redis.call('PEXPIRE', key, 0)").await;
    let done = dispatch(&second, "a", 1);
    assert!(done.status == 200 && !is_replayed(&done));
}

#[tokio::test]
async fn while_redis_is_down_each_node_remembers_its_own_requests() {
    let mut redis = RedisServer::start().await;
    let [(_one, first), (_two, second)] = two_nodes(&redis);
    assert_eq!(dispatch(&first, "before", 1).status, 200);
    redis.pause();
    assert_eq!(dispatch(&first, "paused", 1).status, 200, "the memory of the node is enough");
    assert!(is_replayed(&dispatch(&first, "paused", 1)) && is_replayed(&dispatch(&first, "before", 1)));
    redis.resume();
    redis.kill();
    for (address, other) in [(&first, &second), (&second, &first)] {
        let done = dispatch(address, "away", 1);
        assert!(done.status == 200 && !is_replayed(&done), "the other node has not stored it: {}", done.head);
        assert!(is_replayed(&dispatch(address, "away", 1)));
        assert!(is_replayed(&dispatch(&first, "before", 1)), "{other}");
    }
    redis.run_again().await;
    until("both nodes share requests again", async || {
        let name = format!("back-{}", redis.ask("INCR names").await);
        !is_replayed(&dispatch(&first, &name, 1)) && is_replayed(&dispatch(&second, &name, 1))
    })
    .await;
    assert!(is_replayed(&dispatch(&second, "away", 1)), "and nothing was lost");
}
