//! `/metrics` of a running node, compared with the list of metrics and with Prometheus' own checks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use switchboard_server::metrics::{Kind, METRICS, Metric, Part};
use switchboard_testkit::{RedisServer, Scratch};

use crate::clients::{demo, member, request};
use crate::support::{Server, get, run};

/// The body of `/metrics`.
fn scrape(server: &Server) -> String {
    let answer = get(&server.health, "/metrics");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

/// A node with all parts that need Redis.
fn with_redis(redis: &RedisServer) -> Server {
    let sets = [
        "inbox.enabled=true",
        "mesa.enabled=true",
        "mesa.listen=127.0.0.1:0",
        "mesa.portal.enabled=true",
        "emit.reports.enabled=true",
    ];
    demo(&redis.url(), &sets)
}

/// A node with an inbox file.
fn with_inbox_file(scratch: &Scratch) -> Server {
    let path = format!("inbox.path={}", scratch.file("inbox"));
    Server::start(&[
        "demo",
        "--set",
        "mesa.enabled=true",
        "--set",
        "mesa.listen=127.0.0.1:0",
        "--set",
        "inbox.enabled=true",
        "--set",
        r#"limits.rules=[{ events = ["/never"], per = "user", rate = "1/h" }]"#,
        "--set",
        &path,
    ])
}

/// The series of an exposition with their values: the name and, in braces, the labels.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let mut series = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
        assert_eq!(series.insert(name, value), None, "{name} is there once");
    }
    series
}

/// The labels of a series.
fn labels(series: &str) -> Vec<(&str, &str)> {
    let Some((_, labels)) = series.split_once('{') else { return Vec::new() };
    let labels = labels.trim_end_matches('}').split("\",").map(|label| label.trim_end_matches('"'));
    labels.map(|label| label.split_once("=\"").expect("name and value")).collect()
}

/// The metrics that a node with these parts has, but has not.
fn missing(text: &str, parts: &[Part]) -> Vec<&'static str> {
    let is_missing = |metric: &&Metric| {
        let Metric { name, help, kind, .. } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        !text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}"))
    };
    let expected = METRICS.iter().filter(|metric| parts.contains(&metric.part));
    expected.filter(is_missing).map(|metric| metric.name).collect()
}

/// The bounds of the buckets are not labels of ours, and each metric of a distribution has three names.
fn metric_of(series: &str) -> Option<&'static Metric> {
    let name = series.split('{').next().unwrap_or_default();
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
    METRICS.iter().find(|metric| metric.name == name || base == Some(metric.name))
}

#[tokio::test]
async fn every_listed_metric_is_exposed_from_the_start_with_its_help_and_type() {
    let (redis, scratch) = (RedisServer::start().await, Scratch::new());
    let (in_redis, in_file) = (scrape(&with_redis(&redis)), scrape(&with_inbox_file(&scratch)));
    let always = [Part::Node, Part::Process, Part::Inbox];
    let redis_parts = [&always[..], &[Part::Redis, Part::RedisInbox, Part::Reports]].concat();
    let queues = ["publications", "presence", "inbox", "receipts", "reports"];
    assert_eq!(missing(&in_redis, &redis_parts), Vec::<&str>::new());
    assert_eq!(
        missing(&in_file, &[&always[..], &[Part::InboxFile, Part::RateRules, Part::Resume]].concat()),
        Vec::<&str>::new()
    );
    for queue in queues {
        assert!(in_redis.contains(&format!("switchboard_queue_bytes{{queue=\"{queue}\"}} 0\n")), "{queue}");
    }
    assert!(in_file.contains("switchboard_queue_bytes{queue=\"inbox_file\"} 0\n"));
    let counters = METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.part == Part::Node);
    for metric in counters {
        let expected: usize = metric.labels.iter().map(|label| label.values.len()).product();
        let found = series(&in_file)
            .into_keys()
            .filter(|series| metric_of(series).is_some_and(|of| of.name == metric.name))
            .count();
        assert_eq!(found, expected, "series of {}", metric.name);
    }
}

#[tokio::test]
async fn an_exposed_series_has_listed_labels_and_values_only() {
    let redis = RedisServer::start().await;
    let server = with_redis(&redis);
    let mut peer = member(&server.url()).await;
    request(&mut peer, "/login", json!({ "userId": "ann" })).await;
    request(&mut peer, "/nobody handles this", json!({})).await;
    peer.send_text("no JSON").await;
    drop(peer);
    let text = scrape(&server);
    for series in series(&text).keys() {
        let metric = metric_of(series).unwrap_or_else(|| panic!("{series} is not in the list"));
        let listed: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
        let of_metric: Vec<_> = labels(series).into_iter().filter(|(name, _)| *name != "le").collect();
        assert_eq!(of_metric.iter().map(|(name, _)| *name).collect::<Vec<_>>(), listed, "{series}");
        for ((_, value), label) in of_metric.iter().zip(metric.labels) {
            assert!(label.values.is_empty() || label.values.contains(value), "{series}");
        }
    }
}

#[tokio::test]
async fn promtool_finds_no_fault_in_the_metrics_of_a_node() {
    let (redis, scratch) = (RedisServer::start().await, Scratch::new());
    let server = with_redis(&redis);
    let mut peer = member(&server.url()).await;
    request(&mut peer, "/login", json!({ "userId": "ann" })).await;
    for text in [scrape(&server), scrape(&with_inbox_file(&scratch))] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is installed, as ./test does");
        promtool.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("promtool reads it");
        let checked = promtool.wait_with_output().expect("promtool ends");
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn what_is_counted_for_a_connection_is_counted_for_its_protocol() {
    let server = Server::start(&["demo"]);
    let before = scrape(&server);
    let mut peer = server.peer().await;
    request(&mut peer, "/ping", json!({})).await;
    let after = scrape(&server);
    let (before, after) = (series(&before), series(&after));
    for (name, by) in [
        ("switchboard_connections", 1.0),
        ("switchboard_connections_accepted_total", 1.0),
        ("switchboard_messages_received_total", 1.0),
    ] {
        let difference = |protocol: &str| {
            let series = format!("{name}{{protocol=\"{protocol}\"}}");
            after[&*series] - before[&*series]
        };
        assert_eq!(["emit", "koji", "mesa"].map(difference), [by, 0.0, 0.0], "{name}");
    }
    let bytes = |series: &BTreeMap<&str, f64>, protocol: &str| {
        let of = |name: &str| series[&*format!("{name}{{protocol=\"{protocol}\"}}")];
        (of("switchboard_received_bytes_total"), of("switchboard_sent_bytes_total"))
    };
    assert!(bytes(&after, "emit").0 > 0.0 && bytes(&after, "emit").1 > 0.0);
    assert_eq!([bytes(&after, "koji"), bytes(&after, "mesa")], [(0.0, 0.0); 2]);
    let handled = "switchboard_handler_duration_seconds_count{protocol=\"emit\"}";
    assert_eq!(after[handled], 1.0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_metrics_of_the_process_are_those_of_the_server() {
    let server = Server::start(&["demo"]);
    let text = scrape(&server);
    let values = series(&text);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let started = values["process_start_time_seconds"];
    assert!((now - 600.0..now + 5.0).contains(&started), "started at {started}, and now it is {now}");
    let resident = values["process_resident_memory_bytes"];
    let factor = resident / server.resident_bytes() as f64;
    assert!((0.5..2.0).contains(&factor), "{resident} bytes");
    assert!(values["process_virtual_memory_bytes"] > resident);
    assert!(values["process_threads"] >= 1.0);
    let open = values["process_open_fds"];
    let peers = [server.peer().await, server.peer().await, server.peer().await];
    let with_peers = series(&scrape(&server))["process_open_fds"];
    assert!(with_peers >= open + 2.0, "{open} before and {with_peers} with {} clients", peers.len());
    assert!(with_peers < values["process_max_fds"]);
    let used = values["process_cpu_seconds_total"];
    assert!((0.0..600.0).contains(&used) && series(&scrape(&server))["process_cpu_seconds_total"] >= used);
}

#[test]
fn the_build_is_a_series_with_the_version_that_the_binary_prints() {
    let text = scrape(&Server::start(&["serve"]));
    let values = series(&text);
    let build =
        values.keys().find(|series| series.starts_with("switchboard_build_info{")).expect("it is there");
    let printed = String::from_utf8(run(&["--version"]).stdout).expect("a text");
    for (label, value) in labels(build) {
        match label {
            "rustc" => assert!(value.starts_with("1."), "{build}"),
            _ => assert!(
                !value.is_empty() && printed.contains(value),
                "{build}, and --version prints {printed}"
            ),
        }
    }
}

#[test]
fn every_metric_is_listed_once() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
}
