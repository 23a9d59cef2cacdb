//! Processes that are one through Redis.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_testkit::{Peer, RedisServer, SOON, Scratch, redis::free_port};
use tokio::time::timeout;

use crate::clients::{ask, counted, demo, hears, line, member, members, say, until};
use crate::support::{SWITCHBOARD, run};

/// The shortest lease there is, for tests of what happens after it.
const SHORT: &str = "node.lease_ms=1000";

/// Asks again and again until so many are counted; how long that took.
async fn until_counted(peer: &mut Peer, count: usize, within: Duration) -> Duration {
    let begun = begin();
    let asking = async { while counted(peer).await != (json!(count), json!(count)) {} };
    timeout(within, asking).await.unwrap_or_else(|_| panic!("not {count} within {within:?}"));
    begun.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "it measures what a user would")]
fn begin() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn clients_of_two_processes_hear_each_other_and_are_counted_together() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[]), demo(&redis.url(), &[]));
    assert!(one.banner.contains(&format!("in {}", redis.url())), "{}", one.banner);
    assert!(one.get("/readyz").ends_with("ready\n"));
    let (mut a, mut b) = (member(&one.url()).await, member(&two.url()).await);
    hears(&mut a, &mut b, "a").await;
    hears(&mut b, &mut a, "b").await;
    until_counted(&mut a, 2, SOON).await;
    ask(&mut b, "/login", json!({ "userId": "bea" })).await;
    until("the user is online", async || {
        ask(&mut a, "/online", json!({ "userId": "bea" })).await["online"] == json!(true)
    })
    .await;
    let alone = demo(&redis.url(), &["redis.prefix=other"]);
    let mut c = member(&alone.url()).await;
    assert_eq!(counted(&mut c).await, (json!(1), json!(1)), "another prefix is another server");
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

/// A process that is killed with all its sockets is not counted after its lease.
async fn a_killed_node_is_not_counted(sets: &[&str], sockets: usize) {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), sets), demo(&redis.url(), sets));
    let mut a = member(&one.url()).await;
    let lost = members(&two.url(), sockets).await;
    until_counted(&mut a, 1 + sockets, SOON).await;
    two.signal("-KILL");
    let took = until_counted(&mut a, 1, Duration::from_secs(15)).await;
    println!("{sockets} sockets were gone {took:?} after the kill");
    drop(lost);
    until("its lease was swept", async || one.get("/metrics").contains("switchboard_leases_swept_total 1"))
        .await;
}

#[tokio::test]
async fn what_a_killed_process_held_is_gone_after_its_lease() {
    a_killed_node_is_not_counted(&[SHORT], 300).await;
}

#[tokio::test]
#[ignore = "slow: a whole lease of the default length"]
async fn what_a_killed_process_held_is_gone_within_15_s_by_default() {
    a_killed_node_is_not_counted(&[], 3000).await;
}

#[tokio::test]
async fn original_mesa_dispatchers_see_who_is_here_and_not_who_was_on_a_killed_process() {
    let redis = RedisServer::start().await;
    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", SHORT];
    let (one, two) = (demo(&redis.url(), &sets), demo(&redis.url(), &sets));
    assert!(one.banner.contains("; Dispatchers by ws\n"), "{}", one.banner);
    let (mut a, mut b) = (member(&one.url()).await, member(&two.url()).await);
    ask(&mut a, "/login", json!({ "userId": "ann" })).await;
    ask(&mut b, "/login", json!({ "userId": "bea" })).await;
    let is_connected =
        async |user: &str| redis.ask(&format!("SISMEMBER connected_clients {user}")).await == ":1";
    until("both are there", async || is_connected("ann").await && is_connected("bea").await).await;
    assert_eq!(redis.ask("INCRBY connected_clients_count 0").await, ":2");
    two.signal("-KILL");
    until("one is gone", async || !is_connected("bea").await).await;
    until("so is its connection", async || redis.ask("INCRBY connected_clients_count 0").await == ":1").await;
    assert!(is_connected("ann").await);
}

#[tokio::test]
async fn a_process_that_stood_still_beyond_its_lease_is_counted_again_when_it_goes_on() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[SHORT]), demo(&redis.url(), &[SHORT]));
    let mut a = member(&one.url()).await;
    let mut others = members(&two.url(), 20).await;
    until_counted(&mut a, 21, SOON).await;
    two.signal("-STOP");
    until_counted(&mut a, 1, SOON).await;
    two.signal("-CONT");
    until_counted(&mut a, 21, SOON).await;
    hears(&mut a, &mut others[7], "again").await;
}

#[tokio::test]
async fn processes_that_are_stopped_leave_nothing_in_redis() {
    let redis = RedisServer::start().await;
    let (one, two) = (demo(&redis.url(), &[SHORT]), demo(&redis.url(), &[SHORT]));
    let mut peers = members(&one.url(), 20).await;
    peers.extend(members(&two.url(), 20).await);
    let mut user = Peer::connect(&format!("{}/?userId=7", one.url())).await;
    assert_eq!(ask(&mut user, "/online", json!({ "userId": "7" })).await["online"], json!(true));
    one.signal("-TERM");
    two.signal("-TERM");
    for peer in &mut peers {
        assert_eq!(peer.closed().await.0, 1012);
    }
    user.closed().await;
    // Or the servers wait for their answers.
    drop((peers, user));
    for server in [one, two] {
        let (status, log) = server.ended();
        assert_eq!(status, Some(0), "{log}");
        assert!(!log.contains("WARN"), "{log}");
    }
    // What keeps a swept lease from writing stands for as long as a lease.
    until("nothing is left", async || redis.ask("DBSIZE").await == ":0").await;
}

#[tokio::test]
async fn without_redis_it_does_not_start_unless_it_may_and_then_is_degraded() {
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
    assert!(server.banner.contains("Redis is away"), "{}", server.banner);
    let degraded = server.get("/readyz");
    assert!(degraded.starts_with("HTTP/1.1 200") && degraded.ends_with("degraded\n"), "{degraded}");
    let mut a = member(&server.url()).await;
    ask(&mut a, "/join", json!({ "room": "lobby" })).await;
    say(&mut a, "lobby", "alone").await;
    assert_eq!(line(&mut a, "lobby").await, "alone", "what needs no other node goes on");
    redis.run_again().await;
    until("it is ready", async || server.get("/readyz").ends_with("ready\n")).await;
    assert_eq!(counted(&mut a).await, (json!(1), json!(1)));
    redis.kill();
    until("it is degraded", async || server.get("/readyz").ends_with("degraded\n")).await;
    until("the metrics say so", async || {
        server.get("/metrics").contains("switchboard_redis_up{connection=\"store\"} 0")
    })
    .await;
}

#[tokio::test]
async fn a_password_opens_redis_and_is_never_shown() {
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
        .arg("check")
        .envs([("SWITCHBOARD_REDIS", &*url("s3cret")), ("SWITCHBOARD_REDIS__PREFIX", "shop")])
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(shown.contains("prefix = \"shop\"") && shown.contains("redis://***@127.0.0.1"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");

    let server = demo(&url("s3cret"), &["log.filter=trace"]);
    let mut a = member(&server.url()).await;
    assert_eq!(counted(&mut a).await, (json!(1), json!(1)));
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
async fn redis_is_spoken_to_over_tls_with_an_authority_of_its_own() {
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
    hears(&mut a, &mut b, "secure").await;
}

#[tokio::test]
async fn a_door_whose_clients_are_reported_says_so_and_needs_redis() {
    let sets = ["emit.reports.enabled=true", "mesa.enabled=true", "mesa.listen=127.0.0.1:0"];
    let redis = RedisServer::start().await;
    let server = demo(&redis.url(), &[&sets[..], &["mesa.portal.enabled=true"]].concat());
    let reports =
        "reports  what clients of default do goes to workers, and to original Portals without a namespace";
    assert!(server.banner.contains(reports), "{}", server.banner);
    assert!(server.get("/metrics").contains("# HELP switchboard_reports_total "));
    let refused = run(&["check", "--set", sets[0]]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("emit.reports.enabled is on, and redis.url is not set"), "{said}");
}
