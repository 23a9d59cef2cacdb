//! Accepts TCP connections and serves HTTP on them until they are upgraded.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use switchboard_log::{limited, printable_error};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::api::app::App;
use crate::net::http::HttpService;
use crate::net::stop::{Stopping, stop};
use crate::net::upgrade::UpgradeService;

/// Serves an app: WebSockets on every path, and the app's plain HTTP router, if it has one.
///
/// Runs until the signal of [`with_graceful_shutdown`](Serve::with_graceful_shutdown) completes; without
/// one it runs forever. If accepting fails, for example because too many files are open, it retries after
/// 100 ms.
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
/// If the app's routes are invalid: an event has two handlers, or a handler's state is missing.
pub fn serve(listener: TcpListener, app: App) -> Serve {
    Serve { listener, app, signal: Box::pin(pending()), stopping: Stopping::default() }
}

/// A configured server; `.await` runs it. Made by [`serve`].
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
    /// Stops when `signal` completes: the server refuses new connections, closes sockets with 1012 and
    /// waits for running handlers, at most for [`Stopping::timeout`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # use switchboard::{App, serve};
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let server = serve(listener, App::new()).with_graceful_shutdown(async { drop(stopped.await) });
    /// // `stop.send(())` stops it, for example in a signal handler.
    /// # let stop_soon = async { drop(stop.send(())) };
    /// # let (served, ()) = tokio::join!(async { server.await }, stop_soon);
    /// # served }
    /// ```
    pub fn with_graceful_shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.signal = Box::pin(signal);
        self
    }

    /// Sets the window and the time-out of the stop.
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
        let http = HttpService::new(&app, UpgradeService::new(&app));
        let stopped = CancellationToken::new();
        let mut signal = pin!(signal);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut signal => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let timeout = app.limits().handshake_timeout;
                    let connection = serve_http(stream, peer, http.clone(), timeout, stopped.clone());
                    app.node().tasks.spawn(connection);
                }
                Err(error) if is_peer_error(&error) => {}
                Err(error) => {
                    // Usually too many open files. New connections wait in the listener's backlog.
                    limited!(
                        ERROR,
                        error = printable_error(&error),
                        "cannot accept connections; retrying in 100 ms"
                    );
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

/// Returns true if the peer closed the connection before it was accepted.
fn is_peer_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves HTTP until the connection ends or is upgraded to a WebSocket.
async fn serve_http(
    stream: TcpStream,
    peer: SocketAddr,
    http: HttpService,
    timeout: Duration,
    stopped: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let http = http.clone();
        async move { Ok::<_, Infallible>(http.respond(request).await) }
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
        limited!(DEBUG, %peer, error = printable_error(&error), "HTTP connection failed");
    }
}
