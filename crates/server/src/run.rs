//! Running the server: listeners, banner, signals, and the stop.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use switchboard::{AcceptOptions, App, Backplane, NodeId, ProjectId, Stopping, serve};
use switchboard_disk::{DiskInbox, OpenError};
use switchboard_redis::{ConnectError, LegacyPortals, MesaBridge, Redis, ReportOptions};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::apps::Mode;
use crate::config::{Auth, Config, ConfigError, ProjectSettings, Projects, Redis as RedisSettings};
use crate::{api, assets, health, metrics};

/// Connections that may wait to be accepted: after an outage all clients come back at once. The
/// system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 65_535;

/// Why the server did not run, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another program has the port, or the address is not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A metrics recorder is installed already.
    #[error("cannot count")]
    Metrics(#[from] BuildError),
    /// A file that a setting names is no longer as it was when the settings were checked.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no connection to Redis, and there has to be one.
    #[error(transparent)]
    Redis(#[from] ConnectError),
    /// There is no place where messages could wait.
    #[error(transparent)]
    Inbox(#[from] OpenError),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    /// The listener failed while running.
    #[error("the server ended")]
    Serve(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT; a second signal ends the process at once. `ready` is called with
/// what to print when clients can connect.
pub async fn run(config: &Config, mode: Mode, ready: impl FnOnce(&str)) -> Result<(), RunError> {
    // The connections to Redis count from their beginning.
    let prometheus = metrics::install()?;
    let redis = match config.redis()? {
        Some(options) => {
            if config.mesa.enabled && options.mesa.is_none() {
                tracing::warn!(
                    "Redis is a cluster, which original Mesa Dispatchers cannot share: they are not heard"
                );
            }
            Some(Redis::connect(options).await?)
        }
        None => None,
    };
    let ended = run_node(config, mode, prometheus, redis.as_ref(), ready).await;
    if let Some(redis) = redis {
        redis.leave().await;
    }
    ended
}

async fn run_node(
    config: &Config,
    mode: Mode,
    prometheus: PrometheusHandle,
    redis: Option<&Redis>,
    ready: impl FnOnce(&str),
) -> Result<(), RunError> {
    let listener = listen(config.listen)?;
    let internal = match config.internal.listen {
        Some(address) => Some(listen(address)?),
        None => None,
    };
    let mesa = match config.mesa.enabled {
        true => Some(listen(config.mesa.listen)?),
        false => None,
    };
    let api = match config.api.is_on() {
        true => Some(listen(config.api.listen)?),
        false => None,
    };
    let app = match redis {
        Some(redis) => app(config).with_backplane(redis).with_reports_of(&config.reported()),
        None if config.inbox.is_on() => {
            app(config).with_inbox(Arc::new(DiskInbox::open(&config.inbox.path, config.inbox.limits())?))
        }
        None => app(config),
    };
    let app = mode.install(app);
    let health = health::routes(app.clone(), prometheus);
    let api_routes = api::routes(app.clone(), redis.map(Redis::repeats), &config.api);
    let pages = match mode {
        Mode::Serve => axum::Router::new(),
        Mode::Demo => assets::demo(),
    };
    let banner = Banner {
        mode,
        address: listener.local_addr().map_err(RunError::Serve)?,
        koji: config.koji.enabled.then_some(&config.projects),
        mesa: mesa.as_ref().and_then(|own| Some((&*config.mesa.path, own.local_addr().ok()?))),
        dispatchers: redis.and(config.mesa.bridge(&config.projects, &config.redis)),
        inbox: config.inbox.is_on().then(|| match redis {
            Some(_) => "Redis".to_owned(),
            None => config.inbox.path.display().to_string(),
        }),
        api: api.as_ref().and_then(|listener| listener.local_addr().ok()),
        tokens: &config.auth,
        redis: redis.map(|redis| (redis.bus().node(), redis.bus().is_up(), &config.redis)),
        reports: config.report_options(),
        internal: internal.as_ref().and_then(|listener| listener.local_addr().ok()),
        origins: config.clients.allowed_origins.as_deref(),
        limited: config.limits.enabled,
    };
    let app = app.with_http(if internal.is_none() { pages.merge(health.clone()) } else { pages });
    let stop = stop_signal()?;
    let stopping = Stopping::default()
        .with_window(Duration::from_millis(config.stop.window_ms))
        .with_timeout(Duration::from_millis(config.stop.timeout_ms));
    ready(&banner.to_string());
    let stopped = CancellationToken::new();
    let (stop_mesa, mesa_app) = (stopped.clone().cancelled_owned(), app.for_mesa_only());
    let for_mesa = async {
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
    let for_all = serve(listener, app).with_graceful_shutdown(stop).with_stopping(stopping.clone());
    let serving = async { tokio::try_join!(for_all.into_future(), for_mesa).map(drop) };
    // Health and the API answer until the very end, so that readiness is seen to go.
    tokio::select! {
        ended = beside(internal, health) => ended,
        ended = beside(api, api_routes) => ended,
        ended = serving => ended,
    }
    .map_err(RunError::Serve)
}

/// Serves routes on a listener of their own, if there is one, as long as somebody polls.
async fn beside(listener: Option<TcpListener>, routes: axum::Router) -> io::Result<()> {
    match listener {
        Some(listener) => axum::serve(listener, routes).await,
        None => std::future::pending().await,
    }
}

fn app(config: &Config) -> App {
    let door = AcceptOptions {
        allowed_origins: config.clients.allowed_origins.clone(),
        trusted_proxies: config.clients.trusted_proxies.clone(),
    };
    let project = ProjectId::new(&config.projects.default).expect("the settings were checked");
    let mut app = App::new().with_limits(config.limits.clone()).with_accept_options(door);
    if config.koji.enabled {
        app = app.with_koji(config.koji.door().with_projects(config.projects.rules()));
    }
    if config.mesa.enabled {
        app = app.with_mesa(config.mesa.door(&config.projects));
    }
    if let Some(verifier) = config.auth.verifier().expect("the settings were checked") {
        app = app.with_verifier(verifier);
    }
    app.project(&project)
}

fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|cause| RunError::Listen { address, cause })
}

/// Ready at the first signal; ends the process at the second.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, RunError> {
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let (first, stopped) = tokio::sync::oneshot::channel();
    let watch = async move {
        let mut next = async || tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        tracing::info!("stopping; a second signal ends at once");
        let _ = first.send(());
        next().await;
        tracing::warn!("ended at once by a second signal");
        std::process::exit(1);
    };
    #[expect(clippy::disallowed_methods, reason = "it outlives the app's tasks: it can end their stop")]
    tokio::spawn(watch);
    Ok(async {
        let _ = stopped.await;
    })
}

/// What is open, to whom.
struct Banner<'a> {
    mode: Mode,
    address: SocketAddr,
    /// The projects that Koji clients can be of; none while that door is closed.
    koji: Option<&'a Projects>,
    /// Where Mesa clients connect, among others and alone; none while that door is closed.
    mesa: Option<(&'a str, SocketAddr)>,
    /// Which originals are heard.
    dispatchers: Option<MesaBridge>,
    /// Where messages wait; none if they do not.
    inbox: Option<String>,
    /// Where backends ask; none if they cannot.
    api: Option<SocketAddr>,
    tokens: &'a Auth,
    /// The node's id, whether it is one with others now, and through which Redis.
    redis: Option<(NodeId, bool, &'a RedisSettings)>,
    /// Of which projects clients are reported.
    reports: Option<ReportOptions>,
    internal: Option<SocketAddr>,
    origins: Option<&'a [String]>,
    limited: bool,
}

impl std::fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Banner {
            mode,
            address,
            koji,
            mesa,
            dispatchers,
            inbox,
            api,
            tokens,
            redis,
            reports,
            internal,
            origins,
            limited,
        } = self;
        let name = match mode {
            Mode::Serve => "serve",
            Mode::Demo => "demo",
        };
        writeln!(f, "switchboard {} {name}", env!("CARGO_PKG_VERSION"))?;
        if *mode == Mode::Demo {
            writeln!(f, "  page     http://{address}/  (open it in two tabs)")?;
            if koji.is_some() {
                writeln!(f, "  canvas   http://{address}/canvas/  (open it in five)")?;
            }
            match switchboard_pages::EXAMPLES_MISSING {
                None => writeln!(f, "  examples http://{address}/examples/")?,
                Some(reason) => writeln!(f, "  examples not in this build: {reason}")?,
            }
        }
        let who = match origins {
            Some(origins) => format!("pages of {}; programs from anywhere", origins.join(", ")),
            None => "everyone".to_owned(),
        };
        writeln!(f, "  emit     ws://{address}/  open to {who}; no identity is asked for")?;
        if let Some(projects) = koji {
            let which = if projects.any { "any project".into() } else { listed(&projects.named) };
            writeln!(f, "  koji     ws://{address}/?projectId=…  open to {who}; {which}")?;
        }
        if let Some((path, own)) = mesa {
            let heard = dispatchers.as_ref().map(|bridge| format!("; Dispatchers by {}", bridge.channel()));
            let heard = heard.unwrap_or_default();
            writeln!(f, "  mesa     ws://{address}{path}, ws://{own}/  open to {who}{heard}")?;
        }
        if let Some(place) = inbox {
            writeln!(f, "  inbox    messages wait for users in {place}")?;
        }
        if let Some(api) = api {
            writeln!(f, "  api      http://{api}/api/v1/  open to who has a key of api.keys")?;
        }
        if koji.is_some() || mesa.is_some() {
            writeln!(f, "  tokens   {}", accepted(tokens))?;
        }
        if let Some((node, is_up, settings)) = redis {
            let (through, prefix) = (settings.url.shown().join(", "), &settings.prefix);
            let now = if *is_up { "one with" } else { "Redis is away; alone until it is one with" };
            writeln!(f, "  node     {node}, {now} all of prefix {prefix} in {through}")?;
        }
        if let Some(reports) = reports {
            writeln!(f, "  reports  {}", reported(reports))?;
        }
        let health = internal.unwrap_or(*address);
        writeln!(f, "  health   http://{health}/livez /readyz /metrics  open to everyone")?;
        if !limited {
            writeln!(f, "  limits   off: rates and numbers of connections are not bounded")?;
        }
        if !address.ip().is_loopback() {
            writeln!(f, "  warning  other machines can connect")?;
        }
        Ok(())
    }
}

fn listed(projects: &BTreeMap<String, ProjectSettings>) -> String {
    match projects.len() {
        0 => "no project: none is named in projects.named".into(),
        1..=5 => format!("projects {}", projects.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        many => format!("{many} projects"),
    }
}

fn reported(reports: &ReportOptions) -> String {
    let projects: Vec<&str> = reports.projects.iter().map(ProjectId::as_str).collect();
    let originals = match &reports.legacy_portals {
        Some(LegacyPortals { namespace: Some(namespace), .. }) => {
            format!(", and to original Portals of the namespace {namespace}")
        }
        Some(_) => ", and to original Portals without a namespace".into(),
        None => String::new(),
    };
    format!("what clients of {} do goes to workers{originals}", projects.join(", "))
}

fn accepted(tokens: &Auth) -> String {
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("a {what}")),
        many => Some(format!("{many} {what}s")),
    };
    let secrets = counted(tokens.jwt_secret.len(), "secret");
    let keys = counted(tokens.public_keys.len(), "public key");
    let by: Vec<String> = secrets.into_iter().chain(keys).chain(tokens.jwks_url.clone()).collect();
    match by.is_empty() {
        true => "none is accepted; auth.jwt_secret, auth.public_keys and auth.jwks_url are not set".into(),
        false => format!("accepted by {}", by.join(", ")),
    }
}
