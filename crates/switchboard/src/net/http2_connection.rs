//! HTTP/2 without TLS on one TCP connection, for clients that know that the server speaks it (h2c with prior knowledge).
//!
//! Bounds as on HTTP/1.1: the first request has to begin within the handshake time-out, a connection without requests ends
//! after the keep-alive time-out, and responses have to be read.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use switchboard_log::{limited, printable_error};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::net::timed_stream::TimedStream;
use crate::node::limits::Limits;
use crate::node::refusal_reason::RefusalReason;
use crate::node::tasks::Tasks;

/// Requests of one connection at the same time.
const STREAMS_MAX: u32 = 100;

/// The beginning of a connection that speaks HTTP/2. No method of HTTP/1 begins like it.
const PREFACE: &[u8] = b"PRI";

/// How long to wait for more bytes of a preface that has just begun.
const PREFACE_INTERVAL: Duration = Duration::from_millis(10);

/// Returns true if a connection begins with the preface of HTTP/2, which stays unread. `None` if it ends, or the server
/// stops, before it sends anything, or if it sends nothing within the handshake time-out.
pub(crate) async fn begins_with_preface(
    stream: &TcpStream,
    limits: &Limits,
    stopped: &CancellationToken,
) -> Option<bool> {
    let begin = async {
        let mut bytes = [0; PREFACE.len()];
        loop {
            match stream.peek(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(count) if bytes[..count] == *PREFACE => return Some(true),
                Ok(count) if !PREFACE.starts_with(&bytes[..count]) => return Some(false),
                Ok(_) => sleep(PREFACE_INTERVAL).await,
            }
        }
    };
    tokio::select! {
        begins = begin => begins,
        () = sleep(limits.handshake_timeout) => {
            RefusalReason::Timeout.count();
            None
        }
        () = stopped.cancelled() => None,
    }
}

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// A request that is not answered yet.
struct Running(Arc<Requests>);

impl Running {
    fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        requests.running.fetch_add(1, Ordering::Relaxed);
        Running(requests.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Requests {
    /// Completes when there is no first request in time, or no request for the keep-alive time-out, at most twice as long.
    async fn idle(&self, limits: &Limits) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            sleep(if begun == 0 { limits.handshake_timeout } else { limits.http_keep_alive_timeout }).await;
            if self.begun.load(Ordering::Relaxed) == begun && self.running.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

/// Serves requests until the connection ends. `stopped` is cancelled when the server stops.
pub(crate) async fn serve_connection<F>(
    stream: TcpStream,
    limits: &Limits,
    stopped: &CancellationToken,
    tasks: &Tasks,
    respond: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let requests = Arc::<Requests>::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (running, response) = (Running::begin(&requests), respond(with_host(request)));
        async move {
            let response = response.await;
            drop(running);
            io::Result::Ok(response)
        }
    });
    let connection = Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .serve_connection(
            TimedStream::new(stream.into(), limits.http_body_timeout, stopped.clone()),
            service,
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = async {
            tokio::select! {
                () = requests.idle(limits) => {}
                () = stopped.cancelled() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.http_body_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        limited!(DEBUG, error = printable_error(&error), "HTTP/2 connection failed");
        if requests.begun.load(Ordering::Relaxed) == 0 {
            RefusalReason::BadRequest.count();
        }
    }
}

/// Adds the header `Host`, in place of which HTTP/2 has a part of the address. Checks of the host read the header.
fn with_host(mut request: Request<Incoming>) -> Request<Incoming> {
    let authority = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = authority {
        request.headers_mut().insert(header::HOST, host);
    }
    request
}
