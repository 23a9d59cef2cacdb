//! The dashboard and the alerts of `deploy/`: their form, and their queries against a real Prometheus.
//!
//! `./test` installs `promtool`; `deploy/test monitoring` runs the test that takes a minute.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use switchboard_server::metrics::{METRICS, Part};
use switchboard_testkit::redis::{free_port, signal_process};
use switchboard_testkit::{Peer, RedisServer, Scratch, TestCertificate, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::{demo, members, request};
use crate::support::Server;

const DASHBOARD: &str = include_str!("../../../../deploy/grafana/switchboard.json");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yml");
const ALERT_TESTS: &str = include_str!("../../../../deploy/prometheus/alerts_test.yml");
const CONFIG: &str = include_str!("../../../../deploy/prometheus/prometheus.yml");
const GUIDE: &str = include_str!("../../../../docs/guides/monitoring.md");

/// The width of a dashboard.
const COLUMNS: u64 = 24;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus")
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("the dashboard is JSON")
}

/// The panels that are no headings.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().expect("a list");
    panels.iter().filter(|panel| panel["type"] != "row").collect()
}

/// The queries of the panels and of the annotations, each with its title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().expect("a panel has queries") {
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("a list") {
        queries.push((text(&annotation["name"]), text(&annotation["expr"])));
    }
    queries
}

/// The names of metrics in a text, without the endings of distributions.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part_of_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let words = text.split(|byte| !is_part_of_name(byte));
    let names = words.filter(|word| word.starts_with("switchboard_") || word.starts_with("process_"));
    names
        .map(|name| ["_bucket", "_sum"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name))
        .collect()
}

/// The metrics of a server.
fn listed() -> BTreeSet<&'static str> {
    METRICS.iter().filter(|metric| metric.part != Part::Worker).map(|metric| metric.name).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard = dashboard();
    let queries: String = queries(&dashboard).into_iter().map(|(_, query)| query + "\n").collect();
    let mut expected = listed();
    // For these two a panel would not help.
    expected.remove("process_virtual_memory_bytes");
    expected.remove("process_threads");
    assert_eq!(metrics_in(&queries), expected);
}

#[test]
fn panels_of_the_dashboard_have_all_parts_and_do_not_overlap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("a list") {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "the id of {title} is used twice");
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title} is {w} wide at {x}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} overlaps another panel at {cell:?}");
        }
    }
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(["stat", "timeseries"].map(Value::from).contains(&panel["type"]), "{title}");
        assert!(
            panel["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{title} has no description"
        );
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().expect("a unit");
        assert!(
            ["short", "none", "ops", "cps", "s", "bytes", "Bps", "percentunit"].contains(&unit),
            "{title}: {unit}"
        );
        let targets = panel["targets"].as_array().expect("a list");
        let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str()).collect();
        assert_eq!(letters.len(), targets.len(), "{title}");
        for part in [panel].into_iter().chain(targets) {
            assert_eq!(
                part["datasource"],
                json!({ "type": "prometheus", "uid": "${datasource}" }),
                "{title}"
            );
        }
    }
    let variables = dashboard["templating"]["list"].as_array().expect("a list").iter();
    let variables: Vec<_> = variables.map(|variable| variable["name"].as_str().expect("a name")).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    for (title, query) in queries(&dashboard) {
        let selectors = query.matches('{').count();
        let selected = query.matches("{job=~\"$job\", instance=~\"$instance\"").count();
        assert_eq!(selectors, selected, "each metric of {title} is selected by job and node: {query}");
    }
}

#[test]
fn alerts_use_existing_metrics_and_are_tested_and_explained() {
    let unknown: Vec<_> = metrics_in(ALERTS).into_iter().filter(|name| !listed().contains(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
    let alerts: Vec<_> = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let fires = |alert: &&str| {
        ALERT_TESTS.split("- alertname: ").skip(1).any(|case| {
            let (name, case) = case.split_once('\n').expect("more lines");
            name == *alert && case.contains("exp_annotations")
        })
    };
    let untested: Vec<_> = alerts.iter().filter(|alert| !fires(alert)).collect();
    assert_eq!(untested, Vec::<&&str>::new());
    let unexplained: Vec<_> =
        alerts.iter().filter(|alert| !GUIDE.contains(&format!("| `{alert}` |"))).collect();
    assert_eq!(unexplained, Vec::<&&str>::new());
}

#[test]
fn promtool_accepts_the_alerts_and_runs_their_tests() {
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(arguments).current_dir(deploy()).output();
        let output = output.expect("promtool is installed, as ./test does");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && !said.contains("WARN"), "{arguments:?}: {said}");
    }
}

/// A Prometheus process. Dropping it stops it.
struct Prometheus {
    address: String,
    process: Child,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts one with the shipped configuration, in which only addresses and intervals are replaced.
    async fn start(nodes: &[&Server]) -> Self {
        let scratch = Scratch::new();
        let targets: Vec<&str> = nodes.iter().map(|node| &*node.health).collect();
        let alerts = deploy().join("alerts.yml");
        let config = replaced(CONFIG, r#"["node-1:3001", "node-2:3001"]"#, &json!(targets).to_string());
        let config = replaced(&config, "_interval: 15s", "_interval: 1s");
        let config = replaced(&config, "- alerts.yml", &format!("- {}", alerts.display()));
        let file = scratch.file("prometheus.yml");
        std::fs::write(&file, config).expect("the directory is ours");
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new("prometheus")
            .arg(format!("--config.file={file}"))
            .arg(format!("--storage.tsdb.path={}", scratch.file("data")))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("prometheus is installed, as deploy/test does");
        let prometheus = Prometheus { address, process, _scratch: scratch };
        soon("Prometheus is ready", async {
            while !prometheus.get("/-/ready").await.is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            }
        })
        .await;
        prometheus
    }

    /// The answer to a request, head and body. HTTP/1.0, so that it has no chunks.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The data of a successful answer of the API.
    async fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{path}")).await.expect("Prometheus answers");
        let body = answer.split_once("\r\n\r\n").expect("a head and a body").1;
        let mut body: Value = serde_json::from_str(body).expect("the API answers in JSON");
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"].take()
    }

    /// The values of a query of the dashboard, with the variables as Grafana replaces them.
    async fn values(&self, query: &str) -> Vec<f64> {
        let query = query
            .replace("$__rate_interval", "10s")
            .replace("$job", "switchboard")
            .replace("$instance", ".*");
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("query?query={encoded}")).await;
        let series = data["result"].as_array().expect("a list of series");
        series.iter().filter_map(|series| series["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The names of the alerts that are pending or fire.
    async fn alerts(&self) -> BTreeSet<String> {
        let data = self.api("alerts").await;
        let alerts = data["alerts"].as_array().expect("a list").iter();
        alerts.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal_process(self.process.id(), "-TERM");
        let _ = self.process.wait();
    }
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is in\n{text}");
    text.replace(old, new)
}

/// Sends to a room of clients on both nodes, and as requests, until it is dropped.
async fn load(peers: &mut [Peer]) {
    for peer in peers.iter_mut() {
        request(peer, "/join", json!({ "room": "load" })).await;
    }
    loop {
        for peer in peers.iter_mut() {
            peer.emit("/message", json!({ "room": "load", "text": "to all" })).await;
            request(peer, "/ping", json!({})).await;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "needs prometheus, and takes a minute: deploy/test monitoring"]
async fn every_query_of_the_dashboard_has_data_and_alerts_follow_an_outage() {
    let (redis, scratch) = (RedisServer::start().await, Scratch::new());
    let hook = r#"hooks.endpoints.down={url="http://127.0.0.1:1", allow_private=true, events=["connected"]}"#;
    let rule = r#"limits.rules=[{ events = ["/never"], per = "user", rate = "1/h" }]"#;
    let backend = r#"handlers.backends.down={url="http://127.0.0.1:1", allow_private=true, events=["/ping"], on_failure="allow"}"#;
    let always = ["internal.listen=127.0.0.1:0", "inbox.enabled=true", "emit.reports.enabled=true"];
    let sets = [&always[..], &[hook, rule, backend]].concat();
    let path = format!("inbox.path={}", scratch.file("inbox"));
    let (one, two) = (demo(&redis.url(), &sets), demo(&redis.url(), &sets));
    let (cert, key) = (scratch.file("cert.pem"), scratch.file("key.pem"));
    // Further from its end than the seven days of the alert.
    let in_a_month = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
    TestCertificate::valid_until(&["localhost"], in_a_month).write(&cert, &key);
    let tls = format!("tls.certificates=[{{cert = \"{cert}\", key = \"{key}\"}}]");
    // Only the API uses TLS, so the clients below need none.
    let tls = ["--set", &tls, "--set", "tls.listeners=[\"api\"]"];
    let with_file = [&["demo", "--set", sets[0], "--set", sets[1], "--set", &path][..], &tls].concat();
    let with_file = Server::start(&with_file);
    let prometheus = Prometheus::start(&[&one, &two, &with_file]).await;
    let mut peers = members(&one.url(), 5).await;
    peers.extend(members(&two.url(), 5).await);
    peers.extend(members(&with_file.url(), 1).await);

    let dashboard = dashboard();
    let all_have_data = async {
        for (title, query) in queries(&dashboard) {
            // An annotation marks rare events.
            let has_data = async || match title == "Restarts" {
                true => prometheus.values(&query).await.is_empty(),
                false => prometheus.values(&query).await.iter().any(|value| value.is_finite()),
            };
            until(&format!("{title} has data: {query}"), has_data).await;
        }
        for name in
            ["switchboard_deliveries_total", "switchboard_bus_received_total", "process_cpu_seconds_total"]
        {
            let grows =
                async || prometheus.values(&format!("rate({name}[10s])")).await.iter().sum::<f64>() > 0.0;
            until(&format!("{name} grows"), grows).await;
        }
        // A node that has just started is in the leases of the other at its next renewal.
        until("no alert is pending", async || prometheus.alerts().await.is_empty()).await;
    };
    tokio::select! {
        () = all_have_data => {}
        () = load(&mut peers) => {}
    }

    let rules = prometheus.api("rules").await;
    let rules = rules["groups"][0]["rules"].as_array().expect("a list");
    assert_eq!(rules.len(), ALERTS.matches("- alert: ").count());
    assert!(rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");

    drop(redis);
    for alert in ["SwitchboardRedisDown", "SwitchboardMessagesLost"] {
        let mut last = 0;
        until(&format!("{alert} is pending"), async || {
            // Messages for the other node are lost now.
            last += 1;
            peers[0].emit("/message", json!({ "room": "load", "text": last })).await;
            prometheus.alerts().await.contains(alert)
        })
        .await;
    }
    drop(two);
    until("the node that ended is reported", async || prometheus.alerts().await.contains("SwitchboardDown"))
        .await;
}
