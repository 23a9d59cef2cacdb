//! Metrics in Prometheus format.
//!
//! [`METRICS`] lists every metric with its help. `/metrics` describes them with these texts, and
//! `docs/reference/metrics.md` is generated from them.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use switchboard::App;

pub use catalog::{Kind, METRICS, Metric, WORKER_METRICS};

mod catalog;

/// Upper bounds of the handler times, in seconds: from 10 µs to 10 s.
const HANDLER_SECONDS: &[f64] = &[0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];

/// Installs the recorder of this process and describes all metrics. Call it before the app is built.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("switchboard_handler_seconds".into()), HANDLER_SECONDS)?
        .install_recorder()?;
    METRICS.iter().for_each(describe);
    Ok(handle)
}

fn describe(metric: &Metric) {
    let Metric { kind, name, help, .. } = *metric;
    let unit = match name {
        name if name.contains("_bytes") => Unit::Bytes,
        name if name.ends_with("_seconds") => Unit::Seconds,
        _ => Unit::Count,
    };
    match kind {
        Kind::Counter => describe_counter!(name, unit, help),
        Kind::Gauge => describe_gauge!(name, unit, help),
        Kind::Histogram => describe_histogram!(name, unit, help),
    }
}

/// Copies the hub's own counters into the recorder.
pub(crate) fn sample(app: &App) {
    let stats = app.hub().stats();
    let outcome = |outcome: &'static str, count: &AtomicU64| {
        counter!("switchboard_deliveries_total", "outcome" => outcome)
            .absolute(count.load(Ordering::Relaxed));
    };
    outcome("queued", &stats.queued);
    outcome("dropped", &stats.dropped);
    outcome("closed", &stats.overflowed);
    counter!("switchboard_deliveries_bytes_total").absolute(stats.queued_bytes.load(Ordering::Relaxed));
    counter!("switchboard_bus_lost_total").absolute(stats.lost.load(Ordering::Relaxed));
    let queued: usize =
        app.hub().index().all_sessions().iter().map(|session| session.outbox.queued_bytes()).sum();
    gauge!("switchboard_outbox_bytes").set(queued as f64);
}
