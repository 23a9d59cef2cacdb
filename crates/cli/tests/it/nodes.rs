//! Several nodes with one Redis.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_testkit::{Forwarder, Peer, RedisServer, SOON, Scratch, redis::free_port};
use tokio::time::timeout;

use crate::clients::{
    assert_delivers, demo, member, members, next_line, request, send_line, socket_counts, until,
};
use crate::support::{SWITCHBOARD, run};

/// The shortest lease, for tests of its expiry.
const SHORT: &str = "node.lease_ms=1000";

/// Polls until `count` sockets are counted; returns the time that it took.
async fn wait_for_count(peer: &mut Peer, count: usize, within: Duration) -> Duration {
    let begun = now();
    let polling = async { while socket_counts(peer).await != (json!(count), json!(count)) {} };
    timeout(within, polling).await.unwrap_or_else(|_| panic!("not {count} within {within:?}"));
    begun.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "it measures what a user would")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn clients_of_two_nodes_exchange_messages_and_are_counted_together() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[]), demo(&redis.url(), &[]));
    assert!(one.banner.contains(&format!("connected to Redis at {}", redis.url())), "{}", one.banner);
    assert!(one.get("/readyz").ends_with("ready\n"));
    let (mut a, mut b) = (member(&one.url()).await, member(&two.url()).await);
    assert_delivers(&mut a, &mut b, "a").await;
    assert_delivers(&mut b, &mut a, "b").await;
    wait_for_count(&mut a, 2, SOON).await;
    request(&mut b, "/login", json!({ "userId": "bea" })).await;
    until("the user is online", async || {
        request(&mut a, "/online", json!({ "userId": "bea" })).await["online"] == json!(true)
    })
    .await;
    let alone = demo(&redis.url(), &["redis.prefix=other"]);
    let mut c = member(&alone.url()).await;
    assert_eq!(socket_counts(&mut c).await, (json!(1), json!(1)), "another prefix is another cluster");
    let metrics = one.get("/metrics");
    for name in [
        "switchboard_redis_up{connection=\"store\"} 1",
        "switchboard_redis_up{connection=\"publisher\"} 1",
        "switchboard_redis_up{connection=\"subscriber\"} 1",
        "switchboard_bus_published_total",
        "switchboard_bus_received_total",
        "switchboard_store_changes_total",
        "# HELP switchboard_nodes ",
    ] {
        assert!(metrics.contains(name), "{name} is in\n{metrics}");
    }
}

/// The sockets of a killed node are removed after its lease.
async fn assert_killed_node_is_removed(sets: &[&str], sockets: usize) {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), sets), demo(&redis.url(), sets));
    let mut a = member(&one.url()).await;
    let lost = members(&two.url(), sockets).await;
    wait_for_count(&mut a, 1 + sockets, SOON).await;
    two.signal("-KILL");
    let took = wait_for_count(&mut a, 1, Duration::from_secs(15)).await;
    println!("{sockets} sockets were gone {took:?} after the kill");
    drop(lost);
    until("its lease was swept", async || one.get("/metrics").contains("switchboard_leases_swept_total 1"))
        .await;
}

#[tokio::test]
async fn the_sockets_of_a_killed_node_are_removed_after_its_lease() {
    assert_killed_node_is_removed(&[SHORT], 300).await;
}

#[tokio::test]
#[ignore = "slow: a whole lease of the default length"]
async fn the_sockets_of_a_killed_node_are_removed_within_15_s_by_default() {
    assert_killed_node_is_removed(&[], 3000).await;
}

#[tokio::test]
async fn connected_users_are_written_for_original_mesa_dispatchers_and_removed_after_a_crash() {
    let redis = RedisServer::start().await;
    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", SHORT];
    let (one, two) = (demo(&redis.url(), &sets), demo(&redis.url(), &sets));
    assert!(one.banner.contains("; original Dispatchers on channel ws\n"), "{}", one.banner);
    let (mut a, mut b) = (member(&one.url()).await, member(&two.url()).await);
    request(&mut a, "/login", json!({ "userId": "ann" })).await;
    request(&mut b, "/login", json!({ "userId": "bea" })).await;
    let is_connected =
        async |user: &str| redis.ask(&format!("SISMEMBER connected_clients {user}")).await == ":1";
    until("both users are written", async || is_connected("ann").await && is_connected("bea").await).await;
    assert_eq!(redis.ask("INCRBY connected_clients_count 0").await, ":2");
    two.signal("-KILL");
    until("the user of the killed node is removed", async || !is_connected("bea").await).await;
    until("its connection is not counted", async || {
        redis.ask("INCRBY connected_clients_count 0").await == ":1"
    })
    .await;
    assert!(is_connected("ann").await);
}

#[tokio::test]
async fn a_node_suspended_beyond_its_lease_is_counted_again_after_it_resumes() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[SHORT]), demo(&redis.url(), &[SHORT]));
    let mut a = member(&one.url()).await;
    let mut others = members(&two.url(), 20).await;
    wait_for_count(&mut a, 21, SOON).await;
    two.signal("-STOP");
    wait_for_count(&mut a, 1, SOON).await;
    two.signal("-CONT");
    wait_for_count(&mut a, 21, SOON).await;
    assert_delivers(&mut a, &mut others[7], "again").await;
}

#[tokio::test]
async fn stopped_nodes_leave_nothing_in_redis() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[SHORT]), demo(&redis.url(), &[SHORT]));
    let mut peers = members(&one.url(), 20).await;
    peers.extend(members(&two.url(), 20).await);
    let mut user = Peer::connect(&format!("{}/?userId=7", one.url())).await;
    assert_eq!(request(&mut user, "/online", json!({ "userId": "7" })).await["online"], json!(true));
    one.signal("-TERM");
    two.signal("-TERM");
    for peer in &mut peers {
        assert_eq!(peer.closed().await.0, 1012);
    }
    user.closed().await;
    // The servers would wait for their close frames.
    drop((peers, user));
    for server in [one, two] {
        let (status, log) = server.ended();
        assert_eq!(status, Some(0), "{log}");
        assert!(!log.contains("WARN"), "{log}");
    }
    // The fence of a released lease expires after the length of a lease.
    until("nothing is left", async || redis.ask("DBSIZE").await == ":0").await;
}

#[tokio::test]
async fn without_redis_a_node_starts_only_if_redis_is_not_required_and_is_degraded() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let address = format!("127.0.0.1:{}", redis.port());
    let setting = format!("redis=redis://me:s3cret@{address}");
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--set", &setting]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("cannot reach Redis at {address}")), "{error}");
    assert!(error.contains("because:") && !error.contains("s3cret"), "{error}");

    let server = demo(&redis.url(), &["redis.required=false"]);
    assert!(server.banner.contains("alone until it reaches Redis"), "{}", server.banner);
    let degraded = server.get("/readyz");
    assert!(degraded.starts_with("HTTP/1.1 200") && degraded.ends_with("degraded\n"), "{degraded}");
    let mut a = member(&server.url()).await;
    request(&mut a, "/join", json!({ "room": "lobby" })).await;
    send_line(&mut a, "lobby", "alone").await;
    assert_eq!(next_line(&mut a, "lobby").await, "alone", "messages within the node are delivered");
    redis.run_again().await;
    until("the node is ready", async || server.get("/readyz").ends_with("ready\n")).await;
    assert_eq!(socket_counts(&mut a).await, (json!(1), json!(1)));
    redis.kill();
    until("the node is degraded", async || server.get("/readyz").ends_with("degraded\n")).await;
    until("the metric shows the outage", async || {
        server.get("/metrics").contains("switchboard_redis_up{connection=\"store\"} 0")
    })
    .await;
}

/// New connections lead to the promoted replica, and the old master is demoted while the old ones stay open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: a failover with leases of the default length"]
async fn after_a_failover_behind_an_address_old_and_new_nodes_reach_each_other() {
    let (master, replica) = (RedisServer::start().await, RedisServer::start().await);
    let replicate = async |replica: &RedisServer, master: &RedisServer| {
        replica.ask(&format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
        until("the replica has the data of its master", async || {
            replica.ask_text("INFO replication").await.contains("master_link_status:up")
        })
        .await;
    };
    replicate(&replica, &master).await;
    let address = Forwarder::start(master.port()).await;
    let url = format!("redis://127.0.0.1:{}", address.port());
    let (old_one, old_two) = (demo(&url, &[]), demo(&url, &[]));
    let (mut a, mut b) = (member(&old_one.url()).await, member(&old_two.url()).await);
    assert_delivers(&mut a, &mut b, "before").await;
    replica.ask("REPLICAOF NO ONE").await;
    address.point_to(replica.port());
    replicate(&master, &replica).await;
    let new = demo(&url, &[]);
    let mut c = member(&new.url()).await;
    for server in [&old_one, &old_two] {
        until("the node is degraded", async || server.get("/readyz").ends_with("degraded\n")).await;
        let replaced = "switchboard_redis_connections_replaced_total{reason=\"";
        assert!(server.get("/metrics").contains(replaced));
    }
    assert_delivers(&mut c, &mut a, "new-to-old").await;
    assert_delivers(&mut a, &mut c, "old-to-new").await;
    assert_delivers(&mut a, &mut b, "old-to-old").await;
    wait_for_count(&mut c, 3, SOON).await;
    assert!(new.get("/readyz").ends_with("ready\n"));
}

#[tokio::test]
async fn the_password_of_redis_is_used_and_never_shown() {
    let redis = RedisServer::start_with(&["--requirepass", "s3cret"]).await;
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", redis.port());
    let start = |url: &str| {
        let args = ["serve", "--listen", "127.0.0.1:0"];
        Command::new(SWITCHBOARD).args(args).env("SWITCHBOARD_REDIS", url).output().expect("it runs")
    };
    for wrong in [url("wr0ng"), redis.url()] {
        let refused = start(&wrong);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains("cannot reach Redis") && !error.contains("wr0ng"), "{error}");
        assert_eq!(error.matches("because:").count(), 1, "{error}");
    }
    let checked = Command::new(SWITCHBOARD)
        .args(["check", "--listen", "127.0.0.1:0"])
        .envs([("SWITCHBOARD_REDIS", &*url("s3cret")), ("SWITCHBOARD_REDIS__PREFIX", "shop")])
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(shown.contains("prefix = \"shop\"") && shown.contains("redis://***@127.0.0.1"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");

    let server = demo(&url("s3cret"), &["log.filter=trace"]);
    let mut a = member(&server.url()).await;
    assert_eq!(socket_counts(&mut a).await, (json!(1), json!(1)));
    drop(a);
    let (banner, metrics) = (server.banner.clone(), server.get("/metrics"));
    server.signal("-TERM");
    let (status, log) = server.ended();
    assert_eq!(status, Some(0));
    for text in [banner, metrics, log] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn redis_is_reached_over_tls_with_a_private_authority() {
    let scratch = Scratch::new();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (scratch.file("certificate.pem"), scratch.file("key.pem"));
    std::fs::write(&certificate, cert.pem()).expect("the directory is ours");
    std::fs::write(&key, signing_key.serialize_pem()).expect("the directory is ours");
    let port = free_port();
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate];
    let tls = ["--tls-port", &port.to_string(), "--tls-auth-clients", "no"];
    let _redis = RedisServer::start_with(&[&files[..], &tls[..]].concat()).await;
    let url = format!("rediss://localhost:{port}");
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--set", &format!("redis={url}")]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot reach Redis") && error.to_lowercase().contains("certificate"), "{error}");

    let trusted = format!("redis.ca_file={certificate}");
    let (one, two) = (demo(&url, &[&trusted]), demo(&url, &[&trusted]));
    let (mut a, mut b) = (member(&one.url()).await, member(&two.url()).await);
    assert_delivers(&mut a, &mut b, "secure").await;
}

#[tokio::test]
async fn reports_are_announced_in_the_banner_and_need_redis() {
    let sets = ["emit.reports.enabled=true", "mesa.enabled=true", "mesa.listen=127.0.0.1:0"];
    let redis = RedisServer::start().await;
    let server = demo(&redis.url(), &[&sets[..], &["mesa.portal.enabled=true"]].concat());
    let reports =
        "reports  client actions of default go to workers and to original Portals without a namespace";
    assert!(server.banner.contains(reports), "{}", server.banner);
    assert!(server.get("/metrics").contains("# HELP switchboard_reports_total "));
    let refused = run(&["check", "--set", sets[0]]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    let expected = "emit.reports.enabled is `true` (--set emit.reports.enabled); redis.url is not set";
    assert!(error.contains(expected), "{error}");
}
