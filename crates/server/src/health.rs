//! Health and metrics: what an orchestrator and a dashboard ask.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{Router, get};
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use switchboard::App;

use crate::metrics;

/// What the routes answer from.
#[derive(Clone)]
struct Health {
    app: App,
    prometheus: PrometheusHandle,
}

/// `/livez`: the process answers. `/readyz`: it wants new connections, `degraded` without other nodes;
/// 503 while it stops. `/metrics`: Prometheus text.
pub(crate) fn routes(app: App, prometheus: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Health { app, prometheus })
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let hub = health.app.hub();
    let inbox_is_up = health.app.inbox().is_none_or(|inbox| inbox.is_up());
    match (health.app.is_stopping(), hub.bus().is_up() && hub.store().is_up() && inbox_is_up) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        (false, true) => (StatusCode::OK, "ready\n"),
        // Without Redis all nodes say so at once: none of them would be left to connect to.
        (false, false) => (StatusCode::OK, "degraded\n"),
    }
}

async fn scrape(State(health): State<Health>) -> impl IntoResponse {
    metrics::sample(&health.app);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], health.prometheus.render())
}
