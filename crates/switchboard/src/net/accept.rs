//! Accepts TCP connections and serves HTTP on them until they are upgraded.

use std::future::{Future, IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::Incoming;
use socket2::SockRef;
use switchboard_log::{limited, printable_error};
use switchboard_ws::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::app::App;
use crate::net::http::HttpService;
use crate::net::http_connection::{refuse_invalid, serve_connection};
use crate::net::listener::{Listener, UnboundListener};
use crate::net::stop::{Stopping, stop};
use crate::net::tcp_options;
use crate::net::timed_body::TimedBody;
use crate::net::tls::Tls;
use crate::net::upgrade::UpgradeService;
use crate::net::worker_threads::WorkerThreads;
use crate::node::tasks::Tasks;

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
    let signal = Box::pin(pending());
    Serve { listener, app, tls: None, signal, stopping: Stopping::default(), threads: None }
}

/// A configured server; `.await` runs it. Made by [`serve`].
///
/// ```
/// # use switchboard::net::Serve;
/// # use switchboard::{App, serve};
/// fn server(listener: tokio::net::TcpListener, app: App) -> Serve {
///     serve(listener, app.on("/ping", async || {}))
/// }
/// ```
#[must_use = "the server runs only while it is awaited: add `.await`"]
pub struct Serve {
    listener: TcpListener,
    app: App,
    tls: Option<Tls>,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopping: Stopping,
    threads: Option<WorkerThreads>,
}

impl Serve {
    /// Runs the connections and their handlers on worker threads. The timers of the server and the connection to
    /// Redis stay on the current runtime. Several servers may share the threads.
    ///
    /// ```no_run
    /// # use switchboard::net::WorkerThreads;
    /// # use switchboard::{App, serve};
    /// # async fn example(public: tokio::net::TcpListener, private: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let threads = WorkerThreads::start(0)?;
    /// let app = App::new();
    /// let public = serve(public, app.clone()).with_worker_threads(&threads);
    /// let private = serve(private, app).with_worker_threads(&threads);
    /// # use std::future::IntoFuture;
    /// tokio::try_join!(public.into_future(), private.into_future()).map(drop)
    /// # }
    /// ```
    pub fn with_worker_threads(mut self, threads: &WorkerThreads) -> Self {
        self.threads = Some(threads.clone());
        self
    }

    /// Encrypts all connections with TLS: clients connect to `wss://` and `https://` addresses. The handshake counts
    /// towards [`Limits::handshake_timeout`](crate::Limits::handshake_timeout), and connections in it towards
    /// [`Limits::http_connections_per_address_max`](crate::Limits::http_connections_per_address_max).
    ///
    /// ```no_run
    /// # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard::net::Tls;
    /// # use switchboard::{App, serve};
    /// let tls = Tls::from_pem(std::fs::read("fullchain.pem")?, std::fs::read("privkey.pem")?)?;
    /// serve(listener, App::new()).with_tls(tls).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

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
        let Serve { listener, app, tls, signal, stopping, threads } = self;
        let websockets = UpgradeService::with_worker_threads(&app, threads.as_ref());
        let http = HttpService::new(&app, websockets);
        let context = Arc::new(ListenerContext { http, tls, stopped: CancellationToken::new() });
        let accepting = async {
            match &threads {
                Some(threads) => context.clone().accept_for(threads.clone(), listener).await,
                None => {
                    context.accept(listener).await;
                    Ok(())
                }
            }
        };
        tokio::select! {
            failed = accepting => failed?,
            () = signal => {}
        }
        context.stopped.cancel();
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

/// Connections that may wait to be accepted when the server starts: an upper bound of the listener's backlog.
const BACKLOG_MAX: u32 = 4096;

/// Passes every accepted connection to `serve`, with the [options](tcp_options) of connections.
pub(crate) async fn accept_each<L: Listener>(listener: &L, mut serve: impl FnMut(L::Stream, SocketAddr)) {
    // On Linux connections inherit the options of their listener, which saves system calls for each. Those that arrived
    // before have inherited nothing.
    let is_inherited = cfg!(target_os = "linux") && tcp_options::set(SockRef::from(listener)).is_ok();
    let mut may_be_older = BACKLOG_MAX;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if !is_inherited || may_be_older > 0 {
                    may_be_older = may_be_older.saturating_sub(1);
                    let _ = tcp_options::set(SockRef::from(&stream));
                }
                serve(stream, peer);
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
}

/// Returns true if the peer closed the connection before it was accepted.
fn is_peer_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// State that a listener's connections share.
struct ListenerContext {
    http: HttpService,
    tls: Option<Tls>,
    /// Cancelled when the server stops.
    stopped: CancellationToken,
}

impl ListenerContext {
    /// Serves every connection on the current runtime.
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        accept_each(&listener, |stream, peer| self.tasks().spawn(self.clone().serve(stream, peer))).await;
    }

    /// Serves each connection on the thread that has the fewest. The first thread accepts them, so that its share passes to no
    /// other thread.
    async fn accept_for(self: Arc<Self>, threads: WorkerThreads, listener: TcpListener) -> io::Result<()> {
        let first = threads.handles()[0].clone();
        let accepting = first.spawn(async move {
            let listener = UnboundListener::new(listener)?;
            accept_each(&listener, |stream, peer| self.clone().serve_on(threads.least_busy(), stream, peer))
                .await;
            Ok(())
        });
        AbortOnDropHandle::new(accepting).await.expect("accepting does not panic")
    }

    fn serve_on(self: Arc<Self>, thread: &Handle, stream: std::net::TcpStream, peer: SocketAddr) {
        self.tasks().clone().spawn_on(thread, async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => self.serve(stream, peer).await,
                Err(error) => {
                    limited!(
                        ERROR,
                        error = printable_error(&error),
                        "cannot serve a connection; it is closed"
                    );
                }
            }
        });
    }

    fn tasks(&self) -> &Tasks {
        &self.http.websockets().app().node().tasks
    }

    /// Serves HTTP until the connection ends or is upgraded to a WebSocket.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let websockets = self.http.websockets();
        let Ok(_permit) = websockets.admit_http_connection(peer.ip()) else { return };
        let limits = websockets.app().limits();
        serve_connection(stream, self.tls.as_ref(), limits, &self.stopped, |mut request| {
            request.extensions_mut().insert(ConnectInfo(peer));
            self.respond(request)
        })
        .await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let websockets = self.http.websockets();
        if handshake::is_upgrade(request.headers()) {
            return websockets.respond(request);
        }
        if let Some(refusal) = refuse_invalid(&request) {
            return refusal;
        }
        let timeout = websockets.app().limits().http_body_timeout;
        self.http.respond_plain(request.map(|body| TimedBody::new(body, timeout, self.stopped.clone()))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_accepted_connection_sends_without_a_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, mut streams) = tokio::sync::mpsc::channel(3);
        let _in_the_backlog = TcpStream::connect(address).await.unwrap();
        let check = async {
            let stream: TcpStream = streams.recv().await.unwrap();
            assert!(stream.nodelay().unwrap());
            for _ in 0..2 {
                let _client = TcpStream::connect(address).await.unwrap();
                let stream: TcpStream = streams.recv().await.unwrap();
                assert!(stream.nodelay().unwrap());
            }
        };
        tokio::select! {
            () = accept_each(&listener, |stream, _| accepted.try_send(stream).unwrap()) => {}
            () = check => {}
        }
    }
}
