//! The reports of clients of each protocol, and the replies to them.

use serde_json::json;
use switchboard::{App, Koji, Next, Protocol, ReplyError, Request, Response};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, soon};

use crate::support::{Node, action, join, message, next_job, next_report, stored, summary};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_of_a_mesa_client_are_reported_in_order() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.mesa().await;
    for frame in [
        json!({ "op": 0, "d": { "n": 1 }, "t": "PING" }),
        json!({ "op": 0, "d": {}, "t": "HANDLED" }),
        json!({ "op": 1 }),
        json!({ "op": 5, "t": "DISCONNECT_CLIENT" }),
        json!({ "op": 11 }),
        json!({ "op": 2, "d": { "token": "7" } }),
        json!({ "op": -7, "t": "ODD" }),
        json!({ "op": 0, "d": [1] }),
    ] {
        peer.send(&frame).await;
    }
    assert_eq!(peer.next().await, json!({ "op": 11, "d": {} }));
    assert_eq!(peer.next().await["op"], 22);
    peer.send_close(4000).await;
    let of_seven = |action| json!({ "user": "7", "action": action });
    for expected in [
        action("connection"),
        message("PING", json!({ "n": 1 })),
        of_seven(json!("authentication")),
        of_seven(json!({ "op": -7, "kind": "ODD", "data": {}, "wantsReply": false })),
        of_seven(json!({ "op": 0, "kind": null, "data": [1], "wantsReply": false })),
        of_seven(json!({ "disconnection": 4000 })),
    ] {
        assert_eq!(next_report(&worker).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_replies_to_a_request_of_an_emit_client() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let app = App::new().on("/handled", async || switchboard::Reply("here"));
    let node = Node::start_with(&redis, crate::support::reports(), app).await;
    let mut peer = node.peer().await;
    assert_eq!(next_report(&worker).await, action("connection"));
    let replying = async {
        let job = next_job(&worker).await;
        assert_eq!(summary(job.report())["action"]["wantsReply"], true);
        assert_eq!(job.data::<u64>().unwrap(), 20);
        job.reply(&json!({ "sum": 41 })).unwrap();
        assert!(job.reply(&1).is_err(), "only one reply is allowed");
        job.ack();
        let job = next_job(&worker).await;
        job.reply_error("full", "no seat is free").unwrap();
        job.ack();
    };
    let requesting = async {
        assert_eq!(peer.request("/sum", json!(20)).await, json!({ "sum": 41 }));
        assert_eq!(
            peer.request("/sit", json!({})).await,
            json!({ "error": "no seat is free", "code": "full" })
        );
        assert_eq!(peer.request("/handled", json!({})).await, "here");
    };
    tokio::join!(replying, requesting);
    peer.emit("/chat", json!([1])).await;
    let job = next_job(&worker).await;
    assert_eq!(summary(job.report()), message("/chat", json!([1])));
    assert!(job.reply(&1).is_err(), "no reply was requested");
    job.ack();
    peer.close().await;
    assert_eq!(next_report(&worker).await, action(json!({ "disconnection": 1000 })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_reports_the_disconnects_of_its_clients() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let peers = [node.peer().await, node.peer().await, node.peer().await];
    for _ in &peers {
        assert_eq!(next_report(&worker).await, action("connection"));
    }
    let closing = peers.map(|mut peer| async move { peer.closed().await.0 });
    let (codes, ()) =
        tokio::join!(futures_util::future::join_all(closing), soon("the node stops", node.server.stopped()));
    assert_eq!(codes, [1012; 3]);
    soon("the worker leaves", node.redis.leave()).await;
    drop(node.redis);
    for _ in 0..3 {
        assert_eq!(next_report(&worker).await, action(json!({ "disconnection": 1012 })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_worker_group_messages_are_ignored_as_without_reports() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis).await;
    let (mut emit, mut mesa) = (node.peer().await, node.mesa().await);
    emit.emit("/chat", json!(1)).await;
    emit.quiet().await;
    mesa.send(&json!({ "op": 0, "t": "PING" })).await;
    mesa.silent().await.unwrap();
    assert_eq!(redis.ask("EXISTS switchboard:{default}:work:groups").await, ":0");
    // Joining creates the group, so messages are reported from now on.
    let worker = join(&redis, "all").await;
    node.knows_a_worker().await;
    mesa.send(&json!({ "op": 0, "t": "PONG" })).await;
    assert_eq!(next_report(&worker).await, message("PONG", json!({})));
    // The group remains without a worker, so reports are stored, but requests are refused.
    worker.leave().await;
    let project = crate::support::name("default");
    let sink = node.app().report_sink().unwrap().clone();
    crate::support::until("the node knows that no worker can reply", async || !sink.accepts(&project, true))
        .await;
    emit.quiet().await;
    emit.emit("/later", json!(1)).await;
    emit.quiet().await;
    crate::support::until("the report is stored for the group", async || stored(&redis, "all").await == 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_worker_replies_to_in_time_gets_a_timeout_error() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let mut limits = switchboard::Limits::default();
    // Long enough for the second reply to arrive.
    limits.request_timeout = std::time::Duration::from_secs(2);
    let app = App::new().with_limits(limits);
    let node = Node::start_with(&redis, crate::support::reports(), app).await;
    let mut peer = node.peer().await;
    assert_eq!(peer.request("/sum", json!(20)).await["code"], "timeout");
    assert_eq!(next_report(&worker).await, action("connection"));
    let late = next_job(&worker).await;
    late.reply(&1).unwrap();
    late.ack();
    let requesting = peer.request("/sum", json!(21));
    let replying = async {
        let job = next_job(&worker).await;
        job.reply(&2).unwrap();
        job.ack();
    };
    assert_eq!(tokio::join!(requesting, replying).0, 2, "the late reply is dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_refused_by_middleware_is_not_reported() {
    async fn only_numbers(request: Request, next: Next) -> Response {
        match request.data::<u64>() {
            Ok(_) => next.run(request).await,
            Err(_) => switchboard::IntoResponse::into_response(ReplyError::unauthorized()),
        }
    }
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let app = App::new().middleware(only_numbers);
    let node = Node::start_with(&redis, crate::support::reports(), app).await;
    let mut peer = node.peer().await;
    peer.emit("/chat", json!("no number")).await;
    peer.emit("/chat", json!(7)).await;
    assert_eq!(next_report(&worker).await, action("connection"));
    assert_eq!(next_report(&worker).await, message("/chat", json!(7)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_koji_clients_only_connects_and_authentications_are_reported() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let app = App::new().with_koji(Koji::new());
    let node = Node::start_with(&redis, crate::support::reports(), app).await;
    let shard = "projectId=default&shardName=s";
    let mut ann = KojiPeer::join(&node.server, &format!("{shard}&authorization=ann")).await;
    let mut bob = KojiPeer::join(&node.server, shard).await;
    ann.emit("tap", json!([1])).await;
    assert_eq!(bob.next_event().await, ("tap".into(), json!([1])));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next_report(&worker).await.to_string());
    }
    seen.sort();
    let mut expected =
        [action("connection"), action("connection"), json!({ "user": "ann", "action": "authentication" })]
            .map(|report| report.to_string());
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_clients_of_the_selected_protocols_are_reported() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let app = App::new().with_reports_of(&[Protocol::Mesa]);
    let node = Node::start_with(&redis, crate::support::reports(), app).await;
    let mut emit = node.peer().await;
    emit.quiet().await;
    let _mesa: Peer = node.mesa().await;
    let job = next_job(&worker).await;
    assert_eq!(job.report().protocol, Some(Protocol::Mesa));
    job.ack();
    soon("the worker leaves", worker.leave()).await;
    assert_eq!(stored(&redis, "all").await, 0);
}
