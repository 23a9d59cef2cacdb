//! Accepting connections.

use std::future::{Future, IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use switchboard_ws::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::api::app::App;
use crate::net::stop::Stopping;
use crate::net::upgrade::UpgradeService;
use crate::protocols::http_routes;

/// Serves an app: WebSockets on every path, and the app's plain HTTP router, if it has one.
///
/// Runs until the signal given to [`with_graceful_shutdown`](Serve::with_graceful_shutdown), or
/// without end. When connections cannot be accepted, as with too many open files, it tries again.
///
/// ```no_run
/// use switchboard::{App, Reply, serve};
///
/// # async fn example() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve(listener, App::new().on("/ping", async || Reply("pong"))).await
/// # }
/// ```
///
/// # Panics
/// If the app's routes are wrong: an event with two handlers, a handler whose state is missing.
pub fn serve(listener: TcpListener, app: App) -> Serve {
    Serve { listener, app, stop: Box::pin(pending()), stopping: Stopping::default() }
}

/// A server that is about to run; `.await` runs it.
///
/// ```
/// # use switchboard::{App, Serve, serve};
/// fn server(listener: tokio::net::TcpListener, app: App) -> Serve {
///     serve(listener, app.on("/ping", async || {}))
/// }
/// ```
pub struct Serve {
    listener: TcpListener,
    app: App,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopping: Stopping,
}

impl Serve {
    /// Stops when `signal` is ready: no new connections, sockets closed with 1012, running handlers
    /// awaited within the time-out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # use switchboard::{App, serve};
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let server = serve(listener, App::new()).with_graceful_shutdown(async { drop(stopped.await) });
    /// // `stop.send(())` stops it, from a signal handler or from anywhere.
    /// # let stop_soon = async { drop(stop.send(())) };
    /// # let (served, ()) = tokio::join!(async { server.await }, stop_soon);
    /// # served }
    /// ```
    pub fn with_graceful_shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Box::pin(signal);
        self
    }

    /// Sets how it stops.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # use switchboard::{App, serve};
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// # let signal = async {};
    /// use std::time::Duration;
    /// use switchboard::Stopping;
    ///
    /// let stopping = Stopping::default().with_window(Duration::from_secs(5));
    /// serve(listener, App::new()).with_graceful_shutdown(signal).with_stopping(stopping).await
    /// # }
    /// ```
    pub fn with_stopping(mut self, stopping: Stopping) -> Self {
        self.stopping = stopping;
        self
    }

    async fn run(self) -> io::Result<()> {
        let Serve { listener, app, stop, stopping } = self;
        let door = UpgradeService::new(&app);
        let http = plain_http(&app, &door);
        let stopped = CancellationToken::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = speak_http(stream, peer, door.clone(), http.clone(), stopped.clone());
                    app.node().tasks.spawn(connection);
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    // Usually no more open files: existing connections go on, new ones wait.
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        stopped.cancel();
        app.close_within(stopping).await;
        Ok(())
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Speaks HTTP until the connection ends or becomes a WebSocket.
async fn speak_http(
    stream: TcpStream,
    peer: SocketAddr,
    door: UpgradeService,
    http: Option<axum::Router>,
    stopped: CancellationToken,
) {
    let timeout = door.app().limits().handshake_timeout;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        answer(door.clone(), http.clone(), request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection failed");
    }
}

async fn answer(
    mut door: UpgradeService,
    http: Option<axum::Router>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    match http {
        Some(mut router) if !handshake::is_upgrade(request.headers()) => router.call(request).await,
        _ => door.call(request).await,
    }
}

/// The router for requests that are no WebSocket handshakes; `None` if the upgrade service answers
/// them.
fn plain_http(app: &App, door: &UpgradeService) -> Option<axum::Router> {
    let own = app.setup().part::<axum::Router>().cloned();
    let Some(routes) = http_routes(app) else { return own };
    let rest = own.unwrap_or_else(|| axum::Router::new().fallback_service(door.clone()));
    Some(routes.merge(rest))
}

impl App {
    /// The app as an axum router: WebSockets on every path, and the app's plain HTTP router for
    /// everything else. Nest it in, or merge it with, a router of your own.
    ///
    /// Serve that with `into_make_service_with_connect_info::<SocketAddr>()`, or handlers and the
    /// limits per address see no address.
    ///
    /// ```no_run
    /// # use std::net::SocketAddr;
    /// # use axum::{Router, routing::get};
    /// # use switchboard::App;
    /// # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let live = App::new().on("/ping", async || {});
    /// let router = Router::new().route("/about", get(async || "a chat")).merge(live.into_router());
    /// let service = router.into_make_service_with_connect_info::<SocketAddr>();
    /// axum::serve(listener, service).await
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the app's routes are wrong, or outside a tokio runtime.
    pub fn into_router(self) -> axum::Router {
        let app = self.clone();
        let door = self.into_service();
        let Some(http) = plain_http(&app, &door) else { return axum::Router::new().fallback_service(door) };
        let either = tower::service_fn(move |request: Request<Body>| {
            let (mut door, mut http) = (door.clone(), http.clone());
            async move {
                match handshake::is_upgrade(request.headers()) {
                    true => door.call(request).await,
                    false => http.call(request).await,
                }
            }
        });
        axum::Router::new().fallback_service(either)
    }

    /// The app as a tower service for one route of an axum router: answers WebSocket handshakes,
    /// and everything else with 426.
    ///
    /// ```no_run
    /// # use std::net::SocketAddr;
    /// # use axum::{Router, routing::get};
    /// # use switchboard::App;
    /// # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let live = App::new().on("/ping", async || {});
    /// let router = Router::new()
    ///     .route("/about", get(async || "a chat"))
    ///     .route_service("/ws", live.clone().into_service()); // keep `live` to send with
    /// axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the app's routes are wrong, or outside a tokio runtime.
    pub fn into_service(self) -> UpgradeService {
        UpgradeService::new(&self)
    }
}
