//! Running the server: start-up, serving, and the graceful stop.

mod app;
mod banner;
mod error;
mod file_size_signal;
mod listeners;
mod open_files;
mod signals;

use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use switchboard::{App, Stopping, serve};
use switchboard_redis::Redis;
use tokio_util::sync::CancellationToken;

pub use error::RunError;

use crate::apps::Mode;
use crate::config::Config;
use crate::{api, assets, health, metrics};
use banner::Banner;
use listeners::{Listeners, serve_routes};
use signals::stop_signal;

/// Runs until SIGTERM or SIGINT; a second signal ends the process at once. `ready` is called with the
/// banner when clients can connect.
pub async fn run(config: &Config, mode: Mode, ready: impl FnOnce(&str)) -> Result<(), RunError> {
    open_files::raise_limit();
    // Installed first, so that the connections to Redis are counted from the start.
    let prometheus = metrics::install()?;
    let running = async {
        let redis = connect_redis(config).await?;
        let ended = run_node(config, mode, prometheus.clone(), redis.as_ref(), ready).await;
        if let Some(redis) = redis {
            redis.leave().await;
        }
        ended
    };
    tokio::select! {
        ended = running => ended,
        never = metrics::upkeep(&prometheus) => match never {},
    }
}

async fn connect_redis(config: &Config) -> Result<Option<Redis>, RunError> {
    let Some(options) = config.redis()? else { return Ok(None) };
    if config.mesa.enabled && options.mesa.is_none() {
        tracing::warn!(
            "redis.mode is cluster, which original Mesa Dispatchers cannot use; their messages are not received"
        );
    }
    Ok(Some(Redis::connect(options).await?))
}

async fn run_node(
    config: &Config,
    mode: Mode,
    prometheus: PrometheusHandle,
    redis: Option<&Redis>,
    ready: impl FnOnce(&str),
) -> Result<(), RunError> {
    let listeners = Listeners::bind(config)?;
    let app = mode.install(app::build(config, redis)?);
    let health = health::routes(app.clone(), prometheus);
    let api = api::routes(app.clone(), redis.map(Redis::idempotency_store), &config.api);
    let pages = match mode {
        Mode::Serve => Router::new(),
        Mode::Demo => assets::demo(),
    };
    let pages = if listeners.internal.is_none() { pages.merge(health.clone()) } else { pages };
    let app = app.with_http(pages);
    let stop = stop_signal()?;
    file_size_signal::survive().map_err(RunError::Signals)?;
    ready(&Banner::new(mode, config, redis, &listeners).to_string());
    serve_all(listeners, app, health, api, config, stop).await
}

/// Serves all listeners until `stop` is ready and the clients are closed.
async fn serve_all(
    listeners: Listeners,
    app: App,
    health: Router,
    api: Router,
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let Listeners { clients, internal, mesa, api: api_listener } = listeners;
    let (limits, stopping) = (&config.limits, stopping(config));
    let stopped = CancellationToken::new();
    let (stop_mesa, mesa_app) = (stopped.clone().cancelled_owned(), app.for_mesa_only());
    let serving_mesa = async {
        match mesa {
            Some(listener) => {
                let serving = serve(listener, mesa_app).with_graceful_shutdown(stop_mesa);
                serving.with_stopping(stopping.clone()).await
            }
            None => Ok(()),
        }
    };
    let stop = async move {
        stop.await;
        stopped.cancel();
    };
    let serving_clients = serve(clients, app).with_graceful_shutdown(stop).with_stopping(stopping.clone());
    let serving = async { tokio::try_join!(serving_clients.into_future(), serving_mesa).map(drop) };
    // Health and the API answer until the end, so that a load balancer sees the 503 of `/readyz`.
    tokio::select! {
        ended = serving => ended.map_err(RunError::Serve),
        () = serve_routes(internal, health, limits) => Ok(()),
        () = serve_routes(api_listener, api, limits) => Ok(()),
    }
}

fn stopping(config: &Config) -> Stopping {
    Stopping::default()
        .with_window(Duration::from_millis(config.stop.window_ms))
        .with_timeout(Duration::from_millis(config.stop.timeout_ms))
}
