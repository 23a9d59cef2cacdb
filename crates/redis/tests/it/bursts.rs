//! Bursts from other nodes.

use std::sync::atomic::Ordering;

use switchboard::{App, Limits};
use switchboard_redis::Redis;
use switchboard_testkit::{RawPeer, RedisServer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::support::options;

async fn start(redis: &Redis) -> TestServer {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 32 * 1024;
    TestServer::start(App::new().with_limits(limits).with_backplane(redis)).await
}

#[tokio::test]
async fn a_burst_from_another_node_reaches_a_receiver_that_accepts_it() {
    let server = RedisServer::start().await;
    let redis = [
        Redis::connect(options(&server)).await.expect("Redis answers"),
        Redis::connect(options(&server)).await.expect("Redis answers"),
    ];
    let (one, two) = (start(&redis[0]).await, start(&redis[1]).await);
    let mut receiver = RawPeer::open(two.address).await;
    let id = two.app.all_socket_ids().await.expect("Redis answers")[0];
    two.app.socket(id).expect("it is connected").join("#r").expect("it may join");
    two.app.settled().await;
    let (count, blob) = (64, "x".repeat(4 * 1024));
    for _ in 0..count {
        one.app.to("#r").emit("blob", &blob).expect("a valid event");
    }
    let expected = format!(r#"{{"event":"blob","data":"{blob}"}}"#);
    for n in 0..count {
        // A frame of the server has a header of four bytes here.
        let mut received = vec![0; 4 + expected.len()];
        let read = soon("a message", receiver.stream.read_exact(&mut received)).await;
        assert!(read.is_ok() && received[4..] == *expected.as_bytes(), "message {n} of {count}");
    }
    assert_eq!(two.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}
