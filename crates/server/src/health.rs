//! Health checks and metrics, for orchestrators and dashboards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{Router, get};
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use switchboard::App;
use switchboard::rates::RequestCost;

use crate::metrics;
use crate::tls::ServerTls;

/// A scrape visits every connection. On the clients' address one address may therefore scrape ten times per second by
/// default.
const SCRAPE_COST: RequestCost = RequestCost(500);

/// State of the routes.
#[derive(Clone)]
struct Health {
    app: App,
    prometheus: PrometheusHandle,
    tls: Option<Arc<ServerTls>>,
    leaving: Leaving,
}

/// Whether the process has received the signal to stop; the node may still accept clients.
#[derive(Clone, Default)]
pub(crate) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    /// From now on load balancers are told to choose other nodes.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `/livez`: 200 while the process runs. `/readyz`: 200 while the node accepts connections, and 503 while it drains or
/// stops. Its text is `degraded` while Redis, the inbox file or the history file is down; while publications wait for
/// long, and for a while after some were lost; and while a certificate cannot be replaced or is not valid. `/metrics`:
/// Prometheus text.
pub(crate) fn routes(
    app: App,
    prometheus: PrometheusHandle,
    tls: Option<Arc<ServerTls>>,
    leaving: Leaving,
) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Health { app, prometheus, tls, leaving })
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let hub = health.app.hub();
    let inbox_is_up = health.app.inbox().is_none_or(|inbox| inbox.is_up());
    let history_is_up = hub.history().is_none_or(|history| history.log.is_up());
    let tls_is_up = health.tls.is_none_or(|tls| !tls.is_degraded());
    let is_ready =
        !hub.bus().is_degraded() && hub.store().is_up() && inbox_is_up && history_is_up && tls_is_up;
    match is_ready {
        _ if health.app.is_stopping() || health.leaving.0.load(Ordering::Relaxed) => {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
        _ if health.app.is_draining() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        true => (StatusCode::OK, "ready\n"),
        // Redis is down for all nodes at once; with 503 a load balancer would remove every node. A node whose inbox file
        // fails does everything but store messages.
        false => (StatusCode::OK, "degraded\n"),
    }
}

async fn scrape(State(health): State<Health>) -> impl IntoResponse {
    metrics::sample(&health.app);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], Extension(SCRAPE_COST), metrics::render(&health.prometheus))
}
