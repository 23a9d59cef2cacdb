//! Running the server: start-up, serving, and the graceful stop.

mod app;
mod banner;
mod check;
mod console;
mod error;
mod file_size_signal;
mod host_check;
mod lifecycle;
mod listen_hint;
mod listeners;
mod open_files;
mod port_holder;
mod redirect;
mod reload;
mod service_manager;
mod signals;
mod unread_body;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use switchboard::net::{Serve, WorkerThreads};
use switchboard::{App, Stopping, serve};
use switchboard_hooks::{Webhooks, install_handlers};
use switchboard_log::printable;
use switchboard_redis::Redis;
use tokio_util::sync::CancellationToken;

pub use check::check;
pub use error::RunError;

use crate::api::{OfNode, SharedKeys};
use crate::apps::Mode;
use crate::config::{Config, Loaded, SharedRules, Sources, TlsListener};
use crate::figures::Figures;
use crate::health::Leaving;
use crate::log::LogControl;
use crate::node_answers::{self, SettingsHash, ThisNode, now_ms};
use crate::reload_handle::ReloadHandle;
use crate::tls::ServerTls;
use crate::version::Version;
use crate::{api, assets, front, health, metrics};
use banner::Banner;
use console::Operators;
use lifecycle::{Lifecycle, Start};
use listeners::{Listeners, serve_routes};
use reload::{Reloader, SharedHosts};
use service_manager::ServiceManager;
use signals::{Requests, Signals};

/// A server that can be started: its settings, and the sources from which it reads them again.
pub struct Server {
    sources: Sources,
    loaded: Loaded,
    mode: Mode,
    log: Option<LogControl>,
    version: Version,
    is_public: bool,
}

impl Server {
    /// A server with settings that were loaded from `sources`.
    pub fn new(sources: Sources, loaded: Loaded, mode: Mode) -> Self {
        Server { sources, loaded, mode, log: None, version: Version::default(), is_public: false }
    }

    /// Sets the version that the log shows. Default: the number of this crate, with an unknown commit.
    pub fn with_version(self, version: Version) -> Self {
        Server { version, ..self }
    }

    /// Lets the demo listen to other machines.
    pub fn with_public_demo(self, is_public: bool) -> Self {
        Server { is_public, ..self }
    }

    /// Lets a reload of the settings change the filter of the log.
    pub fn with_log(self, log: LogControl) -> Self {
        Server { log: Some(log), ..self }
    }

    /// Runs until SIGTERM or SIGINT; a second signal ends the process at once. SIGHUP reads the settings
    /// again. `ready` is called with the banner when clients can connect.
    pub async fn run(self, ready: impl FnOnce(&str)) -> Result<(), RunError> {
        self.check_access()?;
        self.loaded.check_files()?;
        let lifecycle = Arc::new(Lifecycle::begin(self.version));
        let open_files_max = open_files::raise_limit();
        // Installed first, so that a signal does not end a process that is still starting.
        let signals = Signals::install()?;
        file_size_signal::survive().map_err(RunError::Signals)?;
        // Installed second, so that the connections to Redis are counted from the start.
        let prometheus = metrics::install(self.version)?;
        self.log_notes();
        let manager = Arc::new(ServiceManager::from_environment());
        let process = Process {
            lifecycle: lifecycle.clone(),
            open_files_max,
            prometheus: prometheus.clone(),
            manager: manager.clone(),
        };
        let running = self.connect_and_run(signals, process, ready);
        tokio::select! {
            ended = running => ended.inspect(|()| lifecycle.log_stop()),
            never = metrics::upkeep(&prometheus) => match never {},
            never = manager.feed_watchdog() => match never {},
        }
    }

    /// The demo lets everybody do everything, so it listens to other machines only if that is wanted.
    fn check_access(&self) -> Result<(), RunError> {
        match self.mode {
            Mode::Serve => Ok(self.loaded.check_access()?),
            Mode::Demo if self.is_public || self.loaded.config.listen.ip().to_canonical().is_loopback() => {
                Ok(())
            }
            Mode::Demo => Err(RunError::PublicDemo(self.loaded.config.listen)),
        }
    }

    async fn connect_and_run(
        self,
        signals: Signals,
        process: Process,
        ready: impl FnOnce(&str),
    ) -> Result<(), RunError> {
        // Before the connection to Redis, which then finds the groups that receive reports.
        let webhooks = Box::pin(webhooks::start(&self.loaded.config)).await?.map(Arc::new);
        let redis = connect_redis(&self.loaded.config).await?;
        let backplane = Backplane { redis: redis.as_ref(), webhooks: webhooks.as_ref() };
        let ended = Box::pin(self.run_node(signals, process, backplane, ready)).await;
        if let Some(redis) = redis {
            redis.leave().await;
        }
        if let Some(webhooks) = webhooks {
            webhooks.stop().await;
        }
        ended
    }

    fn log_notes(&self) {
        for warning in &self.loaded.warnings {
            tracing::warn!(setting = printable(warning), "setting without effect");
        }
        let variables = self.loaded.foreign_variables().join(", ");
        if !variables.is_empty() {
            tracing::debug!(
                variables,
                "environment variables of an orchestrator are no settings; they are ignored"
            );
        }
    }

    async fn run_node(
        self,
        signals: Signals,
        process: Process,
        backplane: Backplane<'_>,
        ready: impl FnOnce(&str),
    ) -> Result<(), RunError> {
        let Backplane { redis, webhooks } = backplane;
        let Process { lifecycle, open_files_max, prometheus, manager } = process;
        let (origin, sources_of) = (self.loaded.origin().clone(), self.loaded.sources());
        let Server { sources, loaded: Loaded { config, .. }, mode, log, version, .. } = self;
        let config = mode.adapt(config);
        let tls = ServerTls::open(&config)?.map(Arc::new);
        let listeners = Listeners::bind(&config)?;
        let rules = SharedRules::new(&config.projects);
        let app = app::build(&config, &rules, redis)?;
        let app = webhooks::install(app, &config, webhooks.map(Arc::as_ref), redis);
        let app = install_handlers(mode.install(app), &config.http_handlers()?)?;
        let leaving = Leaving::default();
        let health = health::routes(app.clone(), prometheus.clone(), tls.clone(), leaving.clone());
        let figures = Arc::new(Figures::new(app.clone(), prometheus));
        let settings_hash = SettingsHash::of(&config);
        let this = ThisNode {
            version,
            started_at_ms: now_ms(),
            settings: settings_hash.clone(),
            webhooks: webhooks.cloned(),
        };
        node_answers::install(&app, this, &figures);
        let keys = Arc::new(SharedKeys::new(&config.api));
        let store = redis.map(Redis::idempotency_store);
        let (reload_handle, api_requests) = ReloadHandle::new();
        let drain_window = Duration::from_millis(config.stop.window_ms);
        let of_node = OfNode { webhooks: webhooks.cloned(), figures: figures.clone(), drain_window };
        let body_max = config.api.body_bytes_max;
        let api = api::routes(app.clone(), store, keys.clone(), reload_handle, of_node, body_max);
        let hosts = SharedHosts::new(&config);
        let routes = Operators { api, internal: health.clone() };
        let Operators { api, internal } = console::add(routes, &config, &keys, app.hub().bus().node());
        let api = unread_body::discard(host_check::guard(api, &hosts.api));
        let pages = match mode {
            Mode::Serve => front::serve(&config, listeners.clients_address(&config)),
            Mode::Demo => assets::demo().merge(front::demo(&config, listeners.clients_address(&config))),
        };
        let pages = if listeners.internal.is_none() { pages.merge(health) } else { pages };
        let internal = unread_body::discard(host_check::guard(internal, &hosts.internal));
        let app = app.with_http(pages);
        let Requests { stop, reload } = signals.watch()?;
        ready(&Banner::new(mode, &config, redis, &listeners).to_string());
        let (settings, bound) = (&config, &listeners);
        lifecycle.log_start(&Start {
            mode,
            config: settings,
            origin: &origin,
            redis,
            listeners: bound,
            open_files_max,
        });
        manager.ready();
        let (notifier, stopping_app) = (manager.clone(), app.clone());
        let notice = Duration::from_millis(config.stop.notice_ms);
        let stop = async move {
            // Without a signal, the process would never stop.
            let signal = stop.await.unwrap_or("none");
            notifier.stopping();
            lifecycle.stop_begins(signal, &stopping_app);
            leaving.set();
            tokio::time::sleep(notice).await;
        };
        let reloader = Reloader {
            sources,
            mode,
            config: config.clone(),
            sources_of,
            settings_hash,
            app: app.clone(),
            rules,
            keys,
            hosts,
            tls: tls.clone(),
            log,
            notifier: manager,
        };
        let watched = tls.clone();
        let keeping_certificates = async {
            match watched {
                Some(tls) => tls.keep_current().await,
                None => std::future::pending().await,
            }
        };
        let node = app.hub().bus().node();
        let served = Served { listeners, tls, internal, api };
        let history = app.hub().history().map(|history| history.log.clone());
        let ended = tokio::select! {
            ended = serve_all(served, app, &config, stop) => ended,
            () = keeping_certificates => Ok(()),
            () = sample(&figures, config.api.is_on()) => Ok(()),
            // The reloader ends with the watch for signals, so never before the server.
            () = reloader.run(reload, api_requests) => std::future::pending().await,
        };
        if let Some(webhooks) = webhooks {
            webhooks.report_empty_rooms().await;
            webhooks.report_drained(node);
        }
        if let Some(history) = history {
            history.close();
        }
        ended
    }
}

/// The connections of a node to other nodes and to backends.
#[derive(Clone, Copy)]
struct Backplane<'a> {
    redis: Option<&'a Redis>,
    webhooks: Option<&'a Arc<Webhooks>>,
}

/// State of the process that is not part of its node.
struct Process {
    lifecycle: Arc<Lifecycle>,
    open_files_max: Option<u64>,
    prometheus: PrometheusHandle,
    manager: Arc<ServiceManager>,
}

/// Takes samples of the figures for ever. Without the API nobody could see them.
async fn sample(figures: &Figures, is_on: bool) {
    match is_on {
        true => match figures.run().await {},
        false => std::future::pending().await,
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

/// The listeners, and the services on them besides the app.
struct Served {
    listeners: Listeners,
    tls: Option<Arc<ServerTls>>,
    internal: Router,
    api: Router,
}

/// Serves all listeners until `stop` is ready and the clients are closed.
async fn serve_all(
    Served { listeners, tls, internal: internal_routes, api }: Served,
    app: App,
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let redirects = redirect::routes(listeners.clients_address(config).port());
    let Listeners { clients, internal, mesa, api: api_listener, redirect } = listeners;
    let limits = &config.limits;
    let threads = WorkerThreads::start(config.worker_threads).map_err(RunError::Threads)?;
    let tls_of = |listener| tls.as_ref().and_then(|tls| tls.of(listener, config));
    let stopped = CancellationToken::new();
    let (stop_mesa, mesa_app) = (stopped.clone().cancelled_owned(), app.for_mesa_only());
    let configured = |serving: Serve, listener| {
        let serving = serving.with_worker_threads(&threads).with_stopping(stopping(config));
        match tls_of(listener) {
            Some(tls) => serving.with_tls(tls),
            None => serving,
        }
    };
    let serving_mesa = async {
        match mesa {
            Some(listener) => {
                let serving = serve(listener, mesa_app).with_graceful_shutdown(stop_mesa);
                configured(serving, TlsListener::Mesa).await
            }
            None => Ok(()),
        }
    };
    let stop = async move {
        stop.await;
        stopped.cancel();
    };
    let serving_clients = configured(serve(clients, app).with_graceful_shutdown(stop), TlsListener::Clients);
    let serving = async { tokio::try_join!(serving_clients.into_future(), serving_mesa).map(drop) };
    // Health and the API answer until the end, so that a load balancer sees the 503 of `/readyz`.
    tokio::select! {
        ended = serving => ended.map_err(RunError::Serve),
        () = serve_routes(internal, tls_of(TlsListener::Internal), internal_routes, limits) => Ok(()),
        () = serve_routes(api_listener, tls_of(TlsListener::Api), api, limits) => Ok(()),
        () = serve_routes(redirect, None, redirects, limits) => Ok(()),
    }
}

fn stopping(config: &Config) -> Stopping {
    Stopping::default()
        .with_window(Duration::from_millis(config.stop.window_ms))
        .with_timeout(Duration::from_millis(config.stop.timeout_ms))
}
