//! Requests that come twice, to servers that share a Redis: whichever they come to, they are done once.

use futures_util::future::join_all;
use serde_json::json;
use switchboard_testkit::{Peer, RedisServer};

use crate::backend::{Answer, KEY, api, called, post, said, seven, to_seven, until_heard};
use crate::clients::until;
use crate::support::Server;

/// Two nodes, and where the API of each is.
fn two_nodes(redis: &RedisServer) -> [(Server, String); 2] {
    let through = format!("redis={}", redis.url());
    [api(&[&through]), api(&[&through])]
}

fn dispatch(address: &str, name: &str, n: usize) -> Answer {
    called(address, "dispatch", name, &to_seven(n))
}

fn is_replayed(answer: &Answer) -> bool {
    answer.head.contains("idempotency-replayed: true")
}

/// A socket of user 7, which hears what is sent at another node.
async fn seven_heard_from(server: &Server, address: &str) -> Peer {
    let mut peer = seven(server).await;
    until_heard(&mut peer, "7", address).await;
    peer
}

/// Does something to the one request that Redis knows.
async fn to_the_request(redis: &RedisServer, script: &str) {
    let script = format!("local key = redis.call('KEYS', '*:request:*')[1] {script}");
    assert_eq!(redis.ask(&format!("EVAL \"{script}\" 0")).await, "$-1", "it runs");
}

/// How many requests hold a text, in what they are called or in what is known of them.
async fn requests_with(redis: &RedisServer, text: &str) -> String {
    let script = "local count = 0 for _, key in ipairs(redis.call('KEYS', '*:request:*')) do \
                  if (key .. redis.call('GET', key)):find(ARGV[1], 1, true) then count = count + 1 end end \
                  return count";
    redis.ask(&format!("EVAL \"{script}\" 0 {text}")).await
}

#[tokio::test]
async fn another_node_answers_again_and_does_nothing() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    let mut seven = seven_heard_from(&one, &second).await;
    let done = dispatch(&first, "order-7", 1);
    assert_eq!((done.status, &done.body), (200, &json!({ "sockets_here": 1 })));
    for address in [&second, &first, &second] {
        let again = dispatch(address, "order-7", 1);
        assert_eq!((again.status, &again.body), (200, &done.body));
        assert!(is_replayed(&again) && !is_replayed(&done), "{}", again.head);
        let other = dispatch(address, "order-7", 2);
        assert_eq!((other.status, &other.body["code"]), (422, &json!("another_body")));
    }
    assert_eq!(called(&first, "dispatch", "b", &json!({})).status, 400);
    assert!(!is_replayed(&dispatch(&second, "b", 3)), "what was not done is done by any");
    assert_eq!((said(&mut seven).await, said(&mut seven).await), (json!(1), json!(3)));
    assert_eq!(requests_with(&redis, "sockets_here").await, ":2");
    for secret in [KEY, "order-7", "SAID"] {
        assert_eq!(requests_with(&redis, secret).await, ":0", "{secret} can be read in Redis");
    }
}

#[tokio::test]
async fn senders_with_other_keys_mean_other_requests_by_the_same_name() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let other = "fedcba9876543210-key";
    let keys = |one: &str, two: &str| format!("api.keys=[\"{one}\",\"{two}\"]");
    // In another order: a key is known by what it is, and not by its place.
    let ((_one, first), (_two, second)) =
        (api(&[&through, &keys(KEY, other)]), api(&[&through, &keys(other, KEY)]));
    assert!(!is_replayed(&dispatch(&first, "a", 1)));
    let headers = [("Authorization", &*format!("Bearer {other}")), ("Idempotency-Key", "a")];
    let by_another = post(&second, "dispatch", &headers, &to_seven(2).to_string()).expect("an answer");
    assert_eq!(by_another.status, 200);
    assert!(!is_replayed(&by_another) && is_replayed(&dispatch(&second, "a", 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_that_come_to_all_nodes_at_once_one_is_done() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    let mut seven = seven_heard_from(&one, &second).await;
    for n in 0..20 {
        let asking = [&first, &second, &first, &second].map(|address| {
            let address = address.clone();
            tokio::task::spawn_blocking(move || dispatch(&address, &format!("race-{n}"), n))
        });
        let answers: Vec<Answer> = join_all(asking).await.into_iter().map(|done| done.unwrap()).collect();
        let done = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer)).count();
        assert_eq!(done, 1);
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
        assert_eq!(said(&mut seven).await, json!(n), "and heard once");
    }
}

#[tokio::test]
async fn what_a_node_was_doing_is_left_alone_until_its_claim_ends() {
    let redis = RedisServer::start().await;
    let [(one, first), (_two, second)] = two_nodes(&redis);
    dispatch(&first, "a", 1);
    // As if it had died before it was done.
    one.signal("-KILL");
    let claim = "redis.call('SET', key, redis.call('GET', key):sub(1, 32) .. '?12345678', 'PX', 30000)";
    to_the_request(&redis, claim).await;
    let under_way = dispatch(&second, "a", 1);
    assert_eq!((under_way.status, &under_way.body["code"]), (409, &json!("under_way")));
    assert!(under_way.head.contains("retry-after: 1"), "{}", under_way.head);
    assert_eq!(dispatch(&second, "a", 2).status, 422);
    to_the_request(&redis, "redis.call('PEXPIRE', key, 0)").await;
    let done = dispatch(&second, "a", 1);
    assert!(done.status == 200 && !is_replayed(&done));
}

#[tokio::test]
async fn while_redis_is_away_each_node_remembers_what_it_did() {
    let mut redis = RedisServer::start().await;
    let [(_one, first), (_two, second)] = two_nodes(&redis);
    assert_eq!(dispatch(&first, "before", 1).status, 200);
    redis.pause();
    assert_eq!(dispatch(&first, "paused", 1).status, 200, "it goes by its own memory");
    assert!(is_replayed(&dispatch(&first, "paused", 1)) && is_replayed(&dispatch(&first, "before", 1)));
    redis.resume();
    redis.kill();
    for (address, other) in [(&first, &second), (&second, &first)] {
        let done = dispatch(address, "away", 1);
        assert!(done.status == 200 && !is_replayed(&done), "the other node is not asked: {}", done.head);
        assert!(is_replayed(&dispatch(address, "away", 1)));
        assert!(is_replayed(&dispatch(&first, "before", 1)), "{other}");
    }
    redis.run_again().await;
    until("what is done is known to both again", async || {
        let name = format!("back-{}", redis.ask("INCR names").await);
        !is_replayed(&dispatch(&first, &name, 1)) && is_replayed(&dispatch(&second, &name, 1))
    })
    .await;
    assert!(is_replayed(&dispatch(&second, "away", 1)), "and nothing is forgotten");
}
