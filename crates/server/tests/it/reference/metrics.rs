//! `docs/reference/metrics.md`: the list of metrics in the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use switchboard_server::metrics::{HUB_LOSSES, Kind, METRICS, Metric, UNDELIVERED, WORKER_METRICS};
use switchboard_testkit::generated;

use super::{cell, note};

fn table(metrics: &[Metric]) -> String {
    let mut text = "| metric | kind | label | meaning |\n|---|---|---|---|\n".to_owned();
    for Metric { kind, name, label, help } in metrics {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let label = if label.is_empty() { String::new() } else { format!("`{label}`") };
        text += &format!("| `{name}` | {kind} | {label} | {} |\n", cell(help));
    }
    text
}

#[test]
fn the_generated_metrics_are_current() {
    let intro = "# Metrics\n\n`/metrics` serves these metrics in Prometheus' text format, at `internal.listen` or, without \
                 it, at `listen`. Counters start at 0 with the process. A metric appears when it is first recorded.\n\n";
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
    let listed = METRICS.iter().chain(WORKER_METRICS).map(|metric| metric.name.to_owned());
    assert_eq!(recorded, listed.collect::<BTreeSet<_>>());
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
    assert_eq!(reasons, UNDELIVERED.iter().map(|(reason, _)| reason.to_string()).collect());
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
