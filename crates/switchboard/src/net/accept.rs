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
use crate::net::http::plain_http;
use crate::net::stop::{Stopping, stop};
use crate::net::upgrade::UpgradeService;

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
    Serve { listener, app, signal: Box::pin(pending()), stopping: Stopping::default() }
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
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
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
        self.signal = Box::pin(signal);
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
        let Serve { listener, app, signal, stopping } = self;
        let door = UpgradeService::new(&app);
        let http = plain_http(&app, &door);
        let stopped = CancellationToken::new();
        let mut signal = pin!(signal);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut signal => break,
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
        stop(&app, stopping).await;
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
