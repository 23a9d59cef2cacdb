//! HTTP/1.1 on one TCP connection, with or without TLS, and with bounds on the time and the size of requests.
//!
//! The TLS handshake and the first request have to be complete within the handshake time-out, each later one within the
//! keep-alive time-out, and answers have to be read. When the server stops, connections without a request end at once.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use switchboard_log::{limited, printable_error};
use switchboard_ws::handshake;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::net::http_stream::HttpStream;
use crate::net::timed_stream::TimedStream;
use crate::net::tls::Tls;
use crate::node::limits::Limits;
use crate::node::refusal_reason::RefusalReason;

/// An extension of requests that arrived through TLS of this server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsEncrypted;

/// Serves requests until the connection ends or is upgraded. `stopped` is cancelled when the server stops.
pub(crate) async fn serve_connection<F>(
    stream: TcpStream,
    tls: Option<&Tls>,
    limits: &Limits,
    stopped: &CancellationToken,
    respond: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>>,
{
    let has_request = AtomicBool::new(false);
    let mut first_request_due = pin!(tokio::time::sleep(limits.handshake_timeout));
    let stream = match tls {
        None => stream.into(),
        Some(tls) => tokio::select! {
            accepted = Box::pin(tls.accept(stream)) => match accepted {
                Ok(peer) => HttpStream::Tls(peer),
                Err(error) => return refuse_handshake(&error),
            },
            () = first_request_due.as_mut() => return RefusalReason::Timeout.count(),
            () = stopped.cancelled() => return,
        },
    };
    let service = service_fn(|mut request: Request<Incoming>| {
        has_request.store(true, Ordering::Relaxed);
        if tls.is_some() {
            request.extensions_mut().insert(IsEncrypted);
        }
        let response = respond(request);
        async { io::Result::Ok(response.await) }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.http_keep_alive_timeout.max(limits.handshake_timeout))
        .max_header_size(limits.header_bytes_max)
        .serve_connection(TimedStream::new(stream, limits.http_body_timeout, stopped.clone()), service)
        .with_upgrades();
    let no_first_request = async {
        first_request_due.await;
        if has_request.load(Ordering::Relaxed) {
            pending().await
        }
    };
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = no_first_request => return RefusalReason::Timeout.count(),
        () = stopped.cancelled() => {
            if !has_request.load(Ordering::Relaxed) {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        limited!(DEBUG, error = printable_error(&error), "HTTP connection failed");
        refusal_reason(&error).into_iter().for_each(RefusalReason::count);
    }
}

/// Counts and logs a failed TLS handshake.
fn refuse_handshake(error: &io::Error) {
    RefusalReason::TlsHandshake.count();
    limited!(DEBUG, error = printable_error(error), "TLS handshake failed; connection closed");
}

/// The reason why hyper refused a request by itself. The end of an idle connection is not a refusal.
fn refusal_reason(error: &hyper::Error) -> Option<RefusalReason> {
    match error {
        error if error.is_parse_too_large() => Some(RefusalReason::HeadTooLarge),
        error if error.is_parse() => Some(RefusalReason::BadRequest),
        _ => None,
    }
}

/// Refuses a request with an invalid `Host`, which hyper does not check. Handshakes are checked on their own.
pub(crate) fn refuse_invalid<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let error = handshake::check_host(request.headers()).err()?;
    RefusalReason::BadRequest.count();
    let mut response = Response::new(Body::from(format!("{error}\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    Some(response)
}
