//! Metrics in Prometheus format.
//!
//! [`METRICS`] lists every metric with its help. `/metrics` describes them with these texts, and
//! `docs/reference/metrics.md` is generated from them.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{
    Key, Level, Metadata, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    with_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use switchboard::App;
use switchboard::hub::HubStats;

use crate::version::Version;

pub use catalog::{Kind, Label, METRICS, Metric, Part, UNDELIVERED, WORKER_METRICS};

mod catalog;
#[cfg(target_os = "linux")]
mod process;

/// Upper bounds of handler durations, in seconds. A handler that never waits takes 10 to 100 µs, one that queries a
/// database milliseconds, and a request of the client times out after 10 s. Three bounds per decade: a quantile, which
/// Prometheus interpolates between two of them, is at most 2.5 times too high or too low.
pub(crate) const HANDLER_DURATION: &[f64] = &[
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of the time that a pipeline takes, in seconds: from a round trip to Redis on the same machine to the
/// time-out of a reply, 2 s, and a wait in the queue before it.
const PUBLISH_DURATION: &[f64] =
    &[100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Upper bounds of the duration of calls to backends of handlers over HTTP, in seconds: from a round trip on the same
/// machine to the default of `timeout_ms`, 2 s.
const HTTP_HANDLER_DURATION: &[f64] = &[1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Upper bounds of the time that a connection is not read, in seconds: from one look at its receivers to the default of
/// `limits.stall_max_ms`.
const STALL_DURATION: &[f64] = &[1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5];

/// How often recorded durations are added to their distributions. The recorder stores each of them, 8 bytes, until then.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Installs the recorder of this process and describes all metrics. Call it before the app is built, and poll
/// [`upkeep`] while the process runs.
pub(crate) fn install(version: Version) -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Full("switchboard_handler_duration_seconds".into()),
            HANDLER_DURATION,
        )?
        .set_buckets_for_metric(
            Matcher::Full("switchboard_bus_publish_duration_seconds".into()),
            PUBLISH_DURATION,
        )?
        .set_buckets_for_metric(
            Matcher::Full("switchboard_http_handler_duration_seconds".into()),
            HTTP_HANDLER_DURATION,
        )?
        .set_buckets_for_metric(Matcher::Full("switchboard_stall_duration_seconds".into()), STALL_DURATION)?
        .install_recorder()?;
    // With webhooks in Redis, the node is a worker.
    METRICS.iter().chain(WORKER_METRICS).for_each(describe);
    METRICS.iter().filter(|metric| metric.part == Part::Node).for_each(register);
    let Version { number, commit, rustc, .. } = version;
    gauge!("switchboard_build_info", "version" => number, "commit" => commit, "rustc" => rustc).set(1.0);
    Ok(handle)
}

/// Keeps the memory of a recorder constant, whether `/metrics` is requested or not.
pub(crate) async fn upkeep(prometheus: &PrometheusHandle) -> Infallible {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        prometheus.run_upkeep();
    }
}

fn describe(metric: &Metric) {
    let Metric { kind, name, help, .. } = *metric;
    let unit = match metric.unit() {
        "bytes" => Unit::Bytes,
        "seconds" => Unit::Seconds,
        _ => Unit::Count,
    };
    match kind {
        Kind::Counter => describe_counter!(name, unit, help),
        Kind::Gauge => describe_gauge!(name, unit, help),
        Kind::Histogram => describe_histogram!(name, unit, help),
    }
}

/// Registers all series of a counter that are known in advance, so that they begin at 0: a rate needs a value before the
/// first event. Gauges and histograms are registered by their owners.
fn register(metric: &Metric) {
    if metric.kind != Kind::Counter {
        return;
    }
    for labels in metric.series() {
        let key = Key::from_parts(metric.name, labels);
        let metadata = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        with_recorder(|recorder| recorder.register_counter(&key, &metadata).increment(0));
    }
}

/// The metrics of this process in Prometheus' text format.
pub(crate) fn render(prometheus: &PrometheusHandle) -> String {
    let text = prometheus.render();
    #[cfg(target_os = "linux")]
    let text = text + &process::render();
    text
}

/// A counter of the hub.
type HubCounter = fn(&HubStats) -> &AtomicU64;

/// The reasons for undelivered messages that the hub counts.
pub const HUB_LOSSES: &[(&str, HubCounter)] = &[
    ("receiver_too_slow", |stats| &stats.overflowed),
    ("receiver_closing", |stats| &stats.closed),
    ("reserved_name", |stats| &stats.reserved),
    ("receiver_gone", |stats| &stats.unsent),
    ("no_receiver", |stats| &stats.unreached),
    ("bus_full", |stats| &stats.bus_full),
    ("bus_down", |stats| &stats.bus_disconnected),
];

/// Copies the counters of the hub and of the log into the recorder.
pub(crate) fn sample(app: &App) {
    let stats = app.hub().stats();
    counter!("switchboard_deliveries_total").absolute(stats.queued.load(Ordering::Relaxed));
    counter!("switchboard_delivery_bytes_total").absolute(stats.queued_bytes.load(Ordering::Relaxed));
    let dropped = &stats.dropped;
    let mut all_dropped = 0;
    for (policy, count) in
        [("volatile", &dropped.volatile), ("latest", &dropped.latest), ("oldest", &dropped.oldest)]
    {
        let count = count.load(Ordering::Relaxed);
        all_dropped += count;
        counter!("switchboard_dropped_frames_total", "policy" => policy).absolute(count);
    }
    counter!("switchboard_undelivered_total", "reason" => "outbox_full").absolute(all_dropped);
    counter!("switchboard_lagging_deliveries_total").absolute(stats.lagging.load(Ordering::Relaxed));
    counter!("switchboard_frames_replaced_total").absolute(stats.replaced.load(Ordering::Relaxed));
    for (reason, count) in HUB_LOSSES {
        let count = count(stats).load(Ordering::Relaxed);
        counter!("switchboard_undelivered_total", "reason" => *reason).absolute(count);
    }
    counter!("switchboard_history_messages_total").absolute(stats.recorded.load(Ordering::Relaxed));
    counter!("switchboard_history_unavailable_total").absolute(stats.unrecorded.load(Ordering::Relaxed));
    let usage = app.hub().history().map(|history| history.log.usage()).unwrap_or_default();
    gauge!("switchboard_history_rooms").set(usage.rooms as f64);
    gauge!("switchboard_history_bytes").set(usage.bytes as f64);
    counter!("switchboard_history_evicted_rooms_total").absolute(usage.evicted_rooms);
    counter!("switchboard_log_lines_suppressed_total").absolute(switchboard_log::lines_suppressed());
    let totals = app.hub().outbox_totals();
    gauge!("switchboard_outbox_bytes").set(totals.queued as f64);
    gauge!("switchboard_outbox_held_bytes").set(totals.held as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES_PER_S: usize = 400_000;
    const SECONDS: usize = 20;

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("this runs on Linux");
        let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        pages * 4096
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn memory_does_not_grow_while_metrics_are_not_requested() {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("seconds".into()), HANDLER_DURATION)
            .expect("there are buckets")
            .build_recorder();
        let prometheus = recorder.handle();
        let seconds = metrics::with_local_recorder(&recorder, || metrics::histogram!("seconds"));
        let before = resident_bytes();
        let recording = async {
            for _ in 0..SECONDS {
                (0..SAMPLES_PER_S).for_each(|_| seconds.record(0.001));
                tokio::time::sleep(UPKEEP_INTERVAL).await;
            }
        };
        tokio::select! {
            () = recording => {}
            never = upkeep(&prometheus) => match never {},
        }
        let (grown, recorded) = (resident_bytes().saturating_sub(before), 8 * SECONDS * SAMPLES_PER_S);
        assert!(grown < recorded / 3, "{grown} bytes for {recorded} bytes of durations");
        assert!(prometheus.render().contains(&format!("seconds_count {}", SECONDS * SAMPLES_PER_S)));
    }
}
