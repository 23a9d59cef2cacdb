//! Serves an axum router without WebSockets, with the same bounds on requests as [`serve`](crate::serve).

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::net::accept::accept_each;
use crate::net::http_connection::{refuse_invalid, serve_connection};
use crate::net::http2_connection::{self, begins_with_preface};
use crate::net::limiter::AddressLimiter;
use crate::net::timed_body::TimedBody;
use crate::net::tls::Tls;
use crate::node::address_table::SWEEP_INTERVAL;
use crate::node::clock::now;
use crate::node::limits::Limits;
use crate::node::refusal_reason::RefusalReason;
use crate::node::tasks::Tasks;

/// Serves an axum router over HTTP/1.1, and over HTTP/2 to clients that use it without TLS, for example health checks on an address of their own. Requests that are
/// sent slowly or too large are cut off at the HTTP limits of [`Limits`], which `axum::serve` does not have.
///
/// Runs until the future is dropped. Then idle connections end, and requests in progress are still answered.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use switchboard::{Limits, serve_http};
///
/// # async fn example(listener: tokio::net::TcpListener) {
/// serve_http(listener, Router::new().route("/health", get(async || "ok")), Limits::default()).await;
/// # }
/// ```
pub fn serve_http(listener: TcpListener, router: axum::Router, limits: Limits) -> ServeHttp {
    ServeHttp { listener, router, limits, tls: None }
}

/// A configured server of a router; `.await` runs it. Made by [`serve_http`].
#[must_use = "the server runs only while it is awaited: add `.await`"]
pub struct ServeHttp {
    listener: TcpListener,
    router: axum::Router,
    limits: Limits,
    tls: Option<Tls>,
}

impl ServeHttp {
    /// Encrypts all connections with TLS, as [`Serve::with_tls`](crate::net::Serve::with_tls) does.
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use switchboard::net::Tls;
    /// use switchboard::{Limits, serve_http};
    ///
    /// # async fn example(listener: tokio::net::TcpListener, tls: Tls) {
    /// let health = Router::new().route("/health", get(async || "ok"));
    /// serve_http(listener, health, Limits::default()).with_tls(tls).await;
    /// # }
    /// ```
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    async fn run(self) {
        let ServeHttp { listener, router, limits, tls } = self;
        let (tasks, limiter) = (Tasks::default(), Arc::new(AddressLimiter::default()));
        let stopped = CancellationToken::new();
        let _stop = stopped.clone().drop_guard();
        let limits = Arc::new(limits.effective());
        let accepting = accept_each(&listener, |stream, peer| {
            let ip = peer.ip().to_canonical();
            let permit =
                (!ip.is_loopback()).then(|| limiter.admit_http_connection(ip, &limits, now())).transpose();
            let Ok(permit) = permit else { return RefusalReason::HttpConnections.count() };
            let (router, limits, tls, stopped) =
                (router.clone(), limits.clone(), tls.clone(), stopped.clone());
            let requests = tasks.clone();
            tasks.spawn(async move {
                serve_router((stream, peer), tls.as_ref(), router, &limits, &stopped, &requests).await;
                drop(permit);
            });
        });
        let sweeps = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                limiter.sweep(&limits, now());
            }
        };
        tokio::select! {
            () = accepting => {}
            () = sweeps => {}
        }
    }
}

impl IntoFuture for ServeHttp {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

async fn serve_router(
    (stream, peer): (TcpStream, SocketAddr),
    tls: Option<&Tls>,
    router: axum::Router,
    limits: &Limits,
    stopped: &CancellationToken,
    tasks: &Tasks,
) {
    let respond = |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let refusal = refuse_invalid(&request);
        let timed = |body: Incoming| TimedBody::new(body, limits.http_body_timeout, stopped.clone());
        let request = request.map(timed);
        let mut router = router.clone();
        async move {
            if let Some(refusal) = refusal {
                return refusal;
            }
            let Ok(response) = router.call(request).await;
            response
        }
    };
    let is_http_2 = match tls {
        None => begins_with_preface(&stream, limits, stopped).await,
        // Clients with TLS would negotiate HTTP/2, which is not offered.
        Some(_) => Some(false),
    };
    match is_http_2 {
        Some(true) => http2_connection::serve_connection(stream, limits, stopped, tasks, respond).await,
        Some(false) => serve_connection(stream, tls, limits, stopped, respond).await,
        None => {}
    }
}
