//! `docs/reference/metrics.md`: the list of metrics in the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use switchboard_server::metrics::{HUB_LOSSES, Kind, METRICS, Metric, Part, UNDELIVERED, WORKER_METRICS};
use switchboard_testkit::generated;

use super::{cell, note};

fn table(metrics: &[Metric]) -> String {
    let mut text =
        "| metric | kind | unit | labels | present | meaning |\n|---|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let Metric { kind, name, help, .. } = metric;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (unit, labels, present) = (metric.unit(), labels.join(", "), present(metric.part));
        text += &format!("| `{name}` | {kind} | {unit} | {labels} | {present} | {} |\n", cell(help));
    }
    text
}

/// When a process has the metrics of a part.
fn present(part: Part) -> &'static str {
    match part {
        Part::Node => "always",
        Part::Process => "on Linux",
        Part::Tls => "with TLS",
        Part::Redis => "with Redis",
        Part::Inbox => "with an inbox",
        Part::RedisInbox => "with an inbox in Redis",
        Part::InboxFile => "with an inbox file",
        Part::Reports => "with reports",
        Part::RateRules => "with rate rules",
        Part::Resume => "if sessions are resumed",
        Part::Webhooks => "with webhooks",
        Part::HttpHandlers => "with handlers over HTTP",
        Part::Worker => "in a worker",
    }
}

/// The labels whose values are not listed elsewhere.
fn label_values() -> String {
    let mut text = "| metric | label | values |\n|---|---|---|\n".to_owned();
    for metric in METRICS {
        for label in metric.labels.iter().filter(|label| label.name != "protocol" && !label.values.is_empty())
        {
            let known: Vec<String> = label.values.iter().map(|value| format!("`{value}`")).collect();
            let others = if label.others.is_empty() { String::new() } else { format!("; {}", label.others) };
            text += &format!("| `{}` | `{}` | {}{others} |\n", metric.name, label.name, known.join(", "));
        }
    }
    text
}

#[test]
fn the_generated_metrics_are_current() {
    let intro = "# Metrics\n\n`/metrics` serves these metrics in Prometheus' text format, at `internal.listen` or, without \
                 it, at `listen`. Names, base units and types follow Prometheus' conventions. Counters start at 0 with the \
                 process, with a series for each [label value](#label-values), so a rate includes the first event. No label \
                 value is a text that a client has chosen. The label `protocol` is `emit`, `koji` or `mesa`. A dashboard and \
                 alert rules are in [deploy/](../../deploy/README.md#monitoring).\n\n";
    let labels = "\n## Label values\n\n";
    let undelivered = "\n## Undelivered messages\n\nThe reasons of `switchboard_undelivered_total`. A message that other messages \
                       remove from an inbox is counted in `switchboard_inbox_evicted_total`, one that expires there in \
                       `switchboard_inbox_expired_total`, and a message of another server that cannot be decoded in \
                       `switchboard_bus_undecodable_total`.\n\n| reason | what is counted |\n|---|---|\n";
    let reasons: String =
        UNDELIVERED.iter().map(|(reason, what)| format!("| `{reason}` | {} |\n", cell(what))).collect();
    let workers = "\n## Workers\n\nA worker of `switchboard-worker` records these through the `metrics` recorder of its \
                   process.\n\n";
    let text = [
        &note("the list of metrics"),
        intro,
        &table(METRICS),
        labels,
        &label_values(),
        undelivered,
        &reasons,
        workers,
        &table(WORKER_METRICS),
    ]
    .concat();
    generated::assert_current("docs/reference/metrics.md", &text);
}

#[test]
fn every_recorded_metric_is_in_the_list_and_the_reverse() {
    let mut recorded = BTreeSet::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for entry in fs::read_dir(crates).expect("the crates are there") {
        collect(&entry.expect("a readable folder").path().join("src"), &mut recorded);
    }
    // Those of the process are not recorded but read.
    let recorded_by_us = METRICS.iter().filter(|metric| metric.part != Part::Process);
    let listed = recorded_by_us.chain(WORKER_METRICS).map(|metric| metric.name.to_owned());
    assert_eq!(recorded, listed.collect::<BTreeSet<_>>());
}

#[test]
fn every_metric_has_the_form_of_prometheus_conventions() {
    for metric in METRICS.iter().chain(WORKER_METRICS) {
        let Metric { kind, name, part, labels, help } = metric;
        let prefix = match part {
            Part::Process => "process_",
            Part::Worker => "switchboard_worker_",
            _ => "switchboard_",
        };
        assert!(name.starts_with(prefix), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(*kind != Kind::Histogram || !metric.unit().is_empty(), "{name} has no unit");
        for unit in ["_ms", "_milliseconds", "_us", "_minutes", "_kb", "_percent", "_in_", "_out_"] {
            assert!(!name.contains(unit), "{name} is not in a base unit");
        }
        assert!(help.starts_with(char::is_uppercase) || help.starts_with(char::is_numeric), "{name}: {help}");
        assert!(!help.ends_with('.') && help.len() > 10, "{name}: {help}");
        for label in *labels {
            assert!(
                label.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}: {}",
                label.name
            );
            assert!(label.values.len() <= 30, "{name}: {}", label.name);
        }
    }
}

/// The values of labels are a closed set, never a text that a client has chosen.
#[test]
fn every_label_value_in_the_code_is_in_the_list_and_the_reverse() {
    for (metric, label, sources) in [
        (
            "switchboard_connections_refused_total",
            "reason",
            &["switchboard/src/node/refusal_reason.rs#label", "server/src/run/host_check.rs#\"reason\" => "]
                [..],
        ),
        (
            "switchboard_client_addresses_unknown_total",
            "reason",
            &["switchboard/src/net/forwarded.rs#reason"],
        ),
        (
            "switchboard_ignored_frames_total",
            "reason",
            &["wire/src/error.rs#reason", "switchboard/src/protocols/emit/receive.rs#ignored_frame("],
        ),
        (
            "switchboard_refused_events_total",
            "reason",
            &["switchboard/src/protocols/koji/receive.rs#refused_event("],
        ),
        (
            "switchboard_tokens_refused_total",
            "reason",
            &[
                "switchboard/src/node/verifier.rs#reason",
                "switchboard/src/node/identity.rs#IdentifyError::refused(",
                "auth/src/error.rs#reason",
                "switchboard/src/protocols/mesa/login.rs#refused_token(",
            ],
        ),
        ("switchboard_connections_accepted_total", "protocol", &["event/src/event.rs#name"]),
        ("switchboard_rights_lost_total", "reason", &["switchboard/src/node/access/grants.rs#label"]),
        (
            "switchboard_webhook_calls_total",
            "outcome",
            &["hooks/src/outgoing.rs#label", "hooks/src/webhooks/endpoint.rs#call_outcome"],
        ),
        ("switchboard_webhook_reports_lost_total", "reason", &["hooks/src/webhooks/endpoint.rs#lost("]),
        (
            "switchboard_http_handler_calls_total",
            "outcome",
            &["hooks/src/outgoing.rs#label", "hooks/src/handlers/backend.rs#outcome"],
        ),
        ("switchboard_forbidden_total", "operation", &["switchboard/src/node/access/operation.rs#label: "]),
        (
            "switchboard_redis_connections_replaced_total",
            "reason",
            &["redis/src/connection/server_identity.rs#replaced: ["],
        ),
    ] {
        let metric = METRICS.iter().find(|listed| listed.name == metric).expect("it is listed");
        let listed = metric.labels.iter().find(|listed| listed.name == label).expect("it has the label");
        let in_code: BTreeSet<String> = sources.iter().flat_map(|source| label_values_of(source)).collect();
        assert_eq!(in_code, listed.values.iter().map(|value| value.to_string()).collect(), "{}", metric.name);
    }
}

/// The label values in a source: `file#function` has them as the texts that the function returns, `file#call(` as the
/// first arguments of a call, `file#field: ` as values of a field, `file#list[` as the elements of a list.
fn label_values_of(source: &str) -> Vec<String> {
    let (file, item) = source.split_once('#').expect("it names an item");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(path).expect("the source is there");
    let quoted =
        |text: &str| text.strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned);
    if item.ends_with('[') {
        let list =
            text.split(item).find(|rest| rest.starts_with('"')).and_then(|rest| rest.split(']').next());
        return list.expect("the list is there").split(", ").filter_map(quoted).collect();
    }
    if item.ends_with(['(', ' ']) {
        return text.split(item).skip(1).filter_map(quoted).collect();
    }
    let body = text.split(&format!("fn {item}(")).nth(1).expect("the function is there");
    let body = body.split("\n    }\n").next().expect("it has an end");
    let arms = body.split("=> ").skip(1).filter_map(quoted);
    arms.chain(body.lines().filter_map(|line| quoted(line.trim()))).collect()
}

/// The reasons of messages are a closed set, never a text that a client has chosen.
#[test]
fn every_reason_of_an_undelivered_message_is_in_the_list_and_the_reverse() {
    let mut reasons = BTreeSet::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for entry in fs::read_dir(crates).expect("the crates are there") {
        for_each_source(&entry.expect("a readable folder").path().join("src"), &mut |text| {
            let in_code = text.split("\"switchboard_undelivered_total\", \"reason\" => \"").skip(1);
            reasons.extend(in_code.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        });
    }
    reasons.extend(HUB_LOSSES.iter().map(|(reason, _)| reason.to_string()));
    let described: BTreeSet<String> = UNDELIVERED.iter().map(|(reason, _)| reason.to_string()).collect();
    assert_eq!(reasons, described);
    let metric =
        METRICS.iter().find(|metric| metric.name == "switchboard_undelivered_total").expect("it is listed");
    assert_eq!(described, metric.labels[0].values.iter().map(|value| value.to_string()).collect());
}

/// Adds the names of the metrics that the files of a folder record.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for_each_source(folder, &mut |text| {
        for call in ["counter!(", "gauge!(", "histogram!("] {
            for rest in text.split(call).skip(1) {
                let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                names.extend(name.filter(|name| name.starts_with("switchboard_")).map(str::to_owned));
            }
        }
    });
}

/// Calls `visit` with the text of each source file in a folder, except the list of metrics.
fn for_each_source(folder: &Path, visit: &mut dyn FnMut(&str)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            for_each_source(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("metrics/catalog.rs")
        {
            visit(&fs::read_to_string(&path).expect("a source is text"));
        }
    }
}
